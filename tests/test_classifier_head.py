"""Heads of Hugging Face classification models; test_import_model compares their logits."""

import pytest
import torch
from original_models import HIDDEN, write_classifier
from twinhead.model.classifier_head import read_sequence_head, read_token_head
from twinhead.model.config import Activation, LinearHead, MlpHead, Pooling
from twinhead.model.errors import ImportModelError

TANH, RELU, GELU = Activation.TANH, Activation.RELU, Activation.GELU


@pytest.mark.parametrize(
    ("family", "activation", "norm"),
    [
        ("bert", TANH, False),
        ("distilbert", RELU, False),
        ("roberta", TANH, False),
        ("deberta-v2", GELU, False),
        ("modernbert", GELU, True),
    ],
)
def test_a_sequence_head(tmp_path, family, activation, norm):
    read = read_sequence_head(write_classifier(tmp_path, family))
    assert read.pooling is Pooling.CLS
    assert isinstance(read.head, MlpHead)
    assert (read.head.activation, read.head.layer_norm) == (activation, norm)
    assert read.head.hidden_size == HIDDEN
    assert read.tensors["output.weight"].shape == (3, HIDDEN)


def test_a_token_head(tmp_path):
    model = write_classifier(tmp_path, "bert", "Token", hidden_dropout_prob=0.2)
    read = read_token_head(model)
    assert read.head == LinearHead(dropout=0.2)
    assert read.tensors.keys() == {"output.weight", "output.bias"}
    assert torch.equal(read.tensors["output.bias"], model.classifier.bias)


def test_a_layer_without_bias_has_one_of_zero(tmp_path):
    model = write_classifier(tmp_path, "modernbert")
    assert model.head.dense.bias is None
    read = read_sequence_head(model)
    assert not read.tensors["hidden.linear.bias"].any()
    assert not read.tensors["hidden.norm.bias"].any()


def test_the_weights_are_copies(tmp_path):
    model = write_classifier(tmp_path, "bert")
    read = read_sequence_head(model)
    with torch.no_grad():
        model.classifier.bias.fill_(7.0)
    assert not (read.tensors["output.bias"] == 7.0).any()


@pytest.mark.parametrize("read", [read_sequence_head, read_token_head])
def test_an_unknown_model_type(tmp_path, read):
    model = write_classifier(tmp_path, "bert")
    model.config.__class__.model_type, before = "abacus", model.config.model_type
    try:
        with pytest.raises(ImportModelError, match="heads of abacus models are not known; known"):
            read(model)
    finally:
        model.config.__class__.model_type = before
