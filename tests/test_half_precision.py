import numpy as np
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


ROWS = np.arange(10)


class Answers:
    """Rows that are answered otherwise when all of some tensors are rounded."""

    def __init__(self, given, causes):
        self.given = given
        self.causes = causes  # row: numbers of tensors
        self.asked = []

    def __call__(self, rows):
        self.asked.append(rows if rows is None else rows.tolist())
        changed = [
            row
            for row, numbers in self.causes.items()
            if all(is_rounded(self.given[number][1]) for number in numbers)
        ]
        return np.intersect1d(changed, ROWS if rows is None else rows).astype(np.int64)


def test_what_changes_nothing_is_rounded_at_once_and_stays_float32():
    given = tensors()
    answers = Answers(given, {})
    assert round_where_harmless(given, answers) == tuple(name for name, _ in given)
    assert answers.asked == [[], None]
    for _, parameter in given:
        assert parameter.dtype == torch.float32
        assert is_rounded(parameter)


def test_what_changes_an_answer_stays_as_it_was_and_the_others_are_rounded():
    given = tensors()
    answers = Answers(given, {4: [1], 7: [3]})
    assert round_where_harmless(given, answers) == ("tensor 0", "tensor 2", "tensor 4")
    for number, (_, parameter) in enumerate(given):
        assert is_rounded(parameter) is (number not in (1, 3))
        assert number not in (1, 3) or parameter[0].item() == torch.tensor(EXACT[number]).item()
    # Only what had changed was looked at for each half.
    assert answers.asked.count(None) == 2
    assert all(rows in ([], [4, 7]) for rows in answers.asked if rows is not None)


def test_tensors_that_only_together_change_an_answer_are_not_both_rounded():
    given = tensors()
    round_where_harmless(given, Answers(given, {4: [0, 4]}))
    assert is_rounded(given[0][1])
    assert not is_rounded(given[4][1])


def test_what_changes_only_when_something_is_taken_back_is_seen_too():
    given = tensors()
    answers = Answers(given, {4: [1]})

    def changed(rows):
        # Row 7 is right only as long as tensor 1 is rounded, or tensor 2 is not.
        more = [7] if not is_rounded(given[1][1]) and is_rounded(given[2][1]) else []
        if rows is not None:
            more = [row for row in more if row in rows]
        return np.union1d(answers(rows), more).astype(np.int64)

    names = round_where_harmless(given, changed)
    assert set(names) == {"tensor 0", "tensor 3", "tensor 4"}
    assert answers.asked.count(None) == 3


def test_a_row_that_changes_by_its_company_alone_means_that_nothing_is_rounded():
    given = tensors()

    def changed(rows):
        other = rows is None and any(is_rounded(parameter) for _, parameter in given)
        return np.array([4] if other else [], dtype=np.int64)

    assert round_where_harmless(given, changed) == ()
    for (_, parameter), value in zip(given, EXACT, strict=True):
        assert parameter[0].item() == torch.tensor(value).item()


def test_what_half_precision_cannot_hold_stays_as_it_was():
    given = tensors(70_000.0, 0.1)
    assert round_where_harmless(given, Answers(given, {})) == ("tensor 1",)
    assert given[0][1][0].item() == 70_000
