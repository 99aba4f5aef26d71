import torch
from torch import nn
from twinhead.trainer.half_precision import round_where_harmless

# Half precision holds none of these exactly.
EXACT = [0.1, 0.2, 1 / 3, 0.7, 1e-3]


def tensors(*values):
    made = values or EXACT
    return [
        (f"tensor {n}", nn.Parameter(torch.tensor([value, 2.0]))) for n, value in enumerate(made)
    ]


def is_rounded(parameter):
    return torch.equal(parameter, parameter.half().float())


def test_what_changes_nothing_is_rounded_at_once_and_stays_float32():
    given, asked = tensors(), []
    names = round_where_harmless(given, lambda: not asked.append(1))
    assert names == tuple(name for name, _ in given)
    assert len(asked) == 1
    for _, parameter in given:
        assert parameter.dtype == torch.float32
        assert is_rounded(parameter)


def test_what_changes_an_answer_stays_as_it_was_and_the_others_are_rounded():
    given = tensors()
    bad = (1, 3)
    names = round_where_harmless(given, lambda: not any(is_rounded(given[n][1]) for n in bad))
    assert names == ("tensor 0", "tensor 2", "tensor 4")
    for number, (_, parameter) in enumerate(given):
        assert is_rounded(parameter) is (number not in bad)
        assert number not in bad or parameter[0].item() == torch.tensor(EXACT[number]).item()


def test_tensors_that_only_together_change_an_answer_are_not_both_rounded():
    given = tensors()
    round_where_harmless(given, lambda: not (is_rounded(given[0][1]) and is_rounded(given[4][1])))
    assert is_rounded(given[0][1])
    assert not is_rounded(given[4][1])


def test_what_half_precision_cannot_hold_stays_as_it_was():
    given = tensors(70_000.0, 0.1)
    assert round_where_harmless(given, lambda: True) == ("tensor 1",)
    assert given[0][1][0].item() == 70_000
