"""Task heads, before any training."""

import pytest
import torch
from twinhead.model.config import TaskConfig
from twinhead.model.heads import build_head


def task(labels: int) -> TaskConfig:
    return TaskConfig(name="t", labels=tuple(f"label {n}" for n in range(labels)))


@pytest.mark.parametrize("labels", [2, 3, 150])
@pytest.mark.parametrize("dimensions", [4, 384])
@pytest.mark.parametrize("batch", [1, 5])
def test_shape(labels, dimensions, batch):
    logits = build_head(task(labels), dimensions)(torch.zeros(batch, dimensions))
    assert logits.shape == (batch, labels)
    assert logits.dtype == torch.float32


def test_a_linear_head_is_a_matrix_and_a_bias():
    head = build_head(task(3), 8)
    vectors = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    weight, bias = head.get_parameter("weight").detach(), head.get_parameter("bias").detach()
    for row, vector in zip(head(vectors).detach(), vectors, strict=True):
        for label in range(3):
            expected = float((weight[label] * vector).sum() + bias[label])
            assert float(row[label]) == pytest.approx(expected, abs=1e-6)


def test_weights_do_not_follow_the_default_type():
    torch.set_default_dtype(torch.float64)
    try:
        head = build_head(task(2), 4)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {parameter.dtype for parameter in head.parameters()} == {torch.float32}


def test_each_head_is_fresh_and_follows_the_seed():
    torch.manual_seed(5)
    first, second = build_head(task(2), 8), build_head(task(2), 8)
    torch.manual_seed(5)
    again = build_head(task(2), 8)
    assert not torch.equal(first.get_parameter("weight"), second.get_parameter("weight"))
    assert torch.equal(first.get_parameter("weight"), again.get_parameter("weight"))
