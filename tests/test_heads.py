"""Task heads, before any training."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from twinhead.model.config import (
    Activation,
    HeadConfig,
    LinearHead,
    MlpHead,
    Pooling,
    TaskConfig,
    TaskKind,
)
from twinhead.model.errors import ConfigError
from twinhead.model.heads import Head

MLPS = [
    MlpHead(),
    MlpHead(hidden_size=5),
    MlpHead(hidden_size=20, activation=Activation.RELU),
    MlpHead(activation=Activation.TANH, layer_norm=True),
    MlpHead(residual=True),
    MlpHead(hidden_size=8, layer_norm=True, residual=True, activation=Activation.RELU),
]


def task(labels: int = 3, head: HeadConfig | None = None, **more: Any) -> TaskConfig:
    names = tuple(f"label {n}" for n in range(labels))
    return TaskConfig(name="t", labels=names, head=head or LinearHead(), **more)


def seeded(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def randomized(head: Head) -> Head:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(0, 0.5, generator=generator)
    return head.eval()


@pytest.mark.parametrize("labels", [2, 3, 150])
@pytest.mark.parametrize("dimensions", [4, 384])
@pytest.mark.parametrize("batch", [(1,), (5,), (2, 7)])
def test_shape(labels, dimensions, batch):
    logits = Head(task(labels), dimensions)(torch.zeros(*batch, dimensions))
    assert logits.shape == (*batch, labels)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize("head", [LinearHead(), *MLPS], ids=repr)
@pytest.mark.parametrize(
    ("kind", "labels", "logits"),
    [
        (TaskKind.SINGLE_LABEL, 4, 4),
        (TaskKind.BINARY, 2, 1),
        (TaskKind.MULTI_LABEL, 1, 1),
        (TaskKind.MULTI_LABEL, 4, 4),
        (TaskKind.TOKEN, 4, 4),
    ],
)
def test_logits_of_each_kind(head, kind, labels, logits):
    assert Head(task(labels, head, kind=kind), 8)(torch.zeros(3, 8)).shape == (3, logits)


def test_a_linear_head_is_a_matrix_and_a_bias():
    head = Head(task(3), 8)
    vectors = seeded(4, 8)
    weight, bias = head.output.weight.detach(), head.output.bias.detach()
    for row, vector in zip(head(vectors).detach(), vectors, strict=True):
        for label in range(3):
            expected = float((weight[label] * vector).sum() + bias[label])
            assert float(row[label]) == pytest.approx(expected, abs=1e-6)
    assert set(head.state_dict()) == {"output.weight", "output.bias"}


@pytest.mark.parametrize("config", MLPS, ids=repr)
def test_an_mlp_by_hand(config):
    head = randomized(Head(task(3, config), 8))
    tensors = head.state_dict()
    vectors = seeded(4, 8)
    activation = {
        Activation.GELU: functional.gelu,
        Activation.RELU: torch.relu,
        Activation.TANH: torch.tanh,
    }[config.activation]
    hidden = activation(vectors @ tensors["hidden.linear.weight"].T + tensors["hidden.linear.bias"])
    assert hidden.shape == (4, config.hidden_size or 8)
    if config.residual:
        hidden = hidden + vectors
    if config.layer_norm:
        centred = hidden - hidden.mean(dim=1, keepdim=True)
        scale = (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        hidden = centred / scale * tensors["hidden.norm.weight"] + tensors["hidden.norm.bias"]
    expected = hidden @ tensors["output.weight"].T + tensors["output.bias"]
    torch.testing.assert_close(head(vectors), expected, rtol=0, atol=1e-5)
    assert ("hidden.norm.weight" in tensors) is config.layer_norm


def test_normalize_makes_a_head_blind_for_length():
    plain, scaled = task(3), task(3, normalize=True)
    vectors = seeded(4, 8)
    for config, alike in ((plain, False), (scaled, True)):
        head = randomized(Head(config, 8))
        same = torch.allclose(head(vectors), head(vectors * 7), rtol=0, atol=1e-5)
        assert same is alike
    head = randomized(Head(scaled, 8))
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    torch.testing.assert_close(head(vectors), head.output(unit), rtol=0, atol=1e-6)


def test_a_zero_vector_never_becomes_nan():
    for config in (LinearHead(), *MLPS):
        head = Head(task(3, config, normalize=True), 8).eval()
        assert bool(torch.isfinite(head(torch.zeros(2, 8))).all())


def test_cls_mean_begins_as_the_average_of_both():
    head = Head(task(3, pooling=Pooling.CLS_MEAN), 8)
    cls, mean = seeded(2, 4, 8)
    torch.testing.assert_close(
        head(torch.cat([cls, mean], dim=1)), head.output((cls + mean) / 2), rtol=0, atol=1e-6
    )


def test_cls_mean_can_learn_to_tell_both_apart():
    head = randomized(Head(task(3, pooling=Pooling.CLS_MEAN), 8))
    cls, mean = seeded(2, 4, 8)
    combine = head.state_dict()
    both = torch.cat([cls, mean], dim=1)
    projected = both @ combine["combine.weight"].T + combine["combine.bias"]
    torch.testing.assert_close(head(both), head.output(projected), rtol=0, atol=1e-5)
    assert not torch.allclose(head(both), head(torch.cat([mean, cls], dim=1)))


@pytest.mark.parametrize("pooling", [Pooling.MEAN, Pooling.CLS, Pooling.MAX])
def test_only_cls_mean_has_a_projection(pooling):
    assert not any(
        name.startswith("combine") for name in Head(task(3, pooling=pooling), 8).state_dict()
    )


@pytest.mark.parametrize("width", [4, 16])
def test_a_residual_needs_the_same_width(width):
    config = task(3, MlpHead(hidden_size=width, residual=True))
    with pytest.raises(ConfigError, match=f"task t: .* 8, as its hidden_size, not {width}"):
        Head(config, 8)


@pytest.mark.parametrize("config", [LinearHead(dropout=0.5), MlpHead(dropout=0.5)], ids=repr)
def test_dropout_is_for_training_only(config):
    head = randomized(Head(task(3, config), 8))
    vectors = seeded(4, 8)
    assert torch.equal(head(vectors), head(vectors))
    without = copy.deepcopy(head)
    for module in without.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    assert torch.equal(head(vectors), without(vectors))
    head.train()
    torch.manual_seed(0)
    assert not torch.equal(head(vectors), head(vectors))


@pytest.mark.parametrize("config", [LinearHead(), MLPS[-1]], ids=repr)
def test_every_parameter_takes_part(config):
    """Each one gets a gradient: none is there for nothing."""
    head = Head(task(3, config, pooling=Pooling.CLS_MEAN), 8)
    head(seeded(4, 16)).square().sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_weights_do_not_follow_the_default_type():
    torch.set_default_dtype(torch.float64)
    try:
        head = Head(task(2, MLPS[-1], pooling=Pooling.CLS_MEAN), 8)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {parameter.dtype for parameter in head.parameters()} == {torch.float32}


def test_each_head_is_fresh_and_follows_the_seed():
    torch.manual_seed(5)
    first, second = Head(task(2), 8), Head(task(2), 8)
    torch.manual_seed(5)
    again = Head(task(2), 8)
    assert not torch.equal(first.output.weight, second.output.weight)
    assert torch.equal(first.output.weight, again.output.weight)
