from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from twinhead.trainer.freezing import NamedPart
from twinhead.trainer.half_precision import round_where_harmless


def part(name, *values):
    parameters = [nn.Parameter(torch.tensor(value)) for value in values]
    return NamedPart(name, None, parameters, [])


def deciding(parts, of):
    """Decides by the parts' values, and counts how often it was asked."""
    asked = SimpleNamespace(times=0)

    def decide():
        asked.times += 1
        return {"task": [np.array([of(parts)])]}

    return decide, asked


def test_what_changes_nothing_is_rounded_and_stays_float32():
    parts = [part("layer 6", [0.1, 1e-12], [2.0]), part("head", [1 / 3])]
    decide, asked = deciding(parts, lambda _: 1)
    assert round_where_harmless(parts, decide) == ("layer 6", "head")
    assert asked.times == 3
    for one in parts:
        for parameter in one.parameters:
            assert parameter.dtype == torch.float32
            assert torch.equal(parameter, parameter.half().float())
    assert parts[0].parameters[0].tolist() == [torch.tensor(0.1).half().item(), 0.0]


def test_a_part_that_changes_a_decision_stays_as_it_was():
    exact = 0.1000001
    parts = [part("layer 6", [0.2]), part("head", [exact])]
    decide, _ = deciding(parts, lambda all_: int(all_[1].parameters[0].item() > 0.1))
    assert round_where_harmless(parts, decide) == ("layer 6",)
    assert parts[1].parameters[0].item() == torch.tensor(exact).item()


def test_what_half_precision_cannot_hold_stays_as_it_was():
    parts = [part("head", [70_000.0])]
    decide, asked = deciding(parts, lambda _: 1)
    assert round_where_harmless(parts, decide) == ()
    assert parts[0].parameters[0].item() == 70_000
    assert asked.times == 1
