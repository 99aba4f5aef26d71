"""The head of a Hugging Face classification model, as one of ours with the same logits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .config import Activation, HeadConfig, LinearHead, MlpHead, Pooling
from .errors import ImportModelError

# What our LayerNorm has (PyTorch's default); a model with another would answer otherwise.
_LAYER_NORM_EPS = 1e-5


@dataclass(frozen=True)
class ClassifierHead:
    """Description and weights of a head."""

    pooling: Pooling
    head: HeadConfig
    tensors: dict[str, torch.Tensor]
    """The state of a `heads.Head`."""


def read_sequence_head(model: Any) -> ClassifierHead:
    """Read the head of an AutoModelForSequenceClassification.

    Raises:
        ImportModelError: the model type or its activation is not known here.
    """
    return _reader(_SEQUENCE_HEADS, model)(model)


def read_token_head(model: Any) -> ClassifierHead:
    """Read the head of an AutoModelForTokenClassification.

    Raises:
        ImportModelError: the model type or its activation is not known here.
    """
    return _reader(_TOKEN_HEADS, model)(model)


_Read = Callable[[Any], ClassifierHead]


def _reader(known: dict[str, _Read], model: Any) -> _Read:
    kind = str(model.config.model_type)
    if kind not in known:
        raise ImportModelError(
            f"the heads of {kind} models are not known; known are {', '.join(sorted(known))}"
        )
    return known[kind]


def _bert(model: Any) -> ClassifierHead:
    # The pooler, a part of BERT's encoder, is trained as a layer of the head.
    pooler = model.base_model.pooler.dense
    return _mlp(pooler, "tanh", model.classifier, model.dropout.p)


def _distilbert(model: Any) -> ClassifierHead:
    return _mlp(model.pre_classifier, "relu", model.classifier, model.dropout.p)


def _roberta(model: Any) -> ClassifierHead:
    head = model.classifier
    return _mlp(head.dense, "tanh", head.out_proj, head.dropout.p)


def _deberta(model: Any) -> ClassifierHead:
    activation = model.config.pooler_hidden_act
    return _mlp(model.pooler.dense, activation, model.classifier, model.dropout.p)


def _modernbert(model: Any) -> ClassifierHead:
    pooling = Pooling(model.config.classifier_pooling)
    return _modernbert_layers(model, pooling)


def _modernbert_token(model: Any) -> ClassifierHead:
    return _modernbert_layers(model, Pooling.MEAN)


def _modernbert_layers(model: Any, pooling: Pooling) -> ClassifierHead:
    activation = model.config.classifier_activation
    norm, dropout = model.head.norm, model.drop.p
    return _mlp(model.head.dense, activation, model.classifier, dropout, pooling, norm)


def _token(model: Any) -> ClassifierHead:
    # Of a token task the config has no pooling; MEAN is how it says so.
    head = LinearHead(dropout=model.dropout.p)
    return ClassifierHead(Pooling.MEAN, head, _state("output", model.classifier))


_SEQUENCE_HEADS: dict[str, _Read] = {
    "bert": _bert,
    "deberta-v2": _deberta,
    "distilbert": _distilbert,
    "modernbert": _modernbert,
    "mpnet": _roberta,
    "roberta": _roberta,
    "xlm-roberta": _roberta,
}
_TOKEN_HEADS: dict[str, _Read] = dict.fromkeys(_SEQUENCE_HEADS, _token)
_TOKEN_HEADS["modernbert"] = _modernbert_token


def _mlp(
    hidden: nn.Linear,
    activation: str,
    output: nn.Linear,
    dropout: float,
    pooling: Pooling = Pooling.CLS,
    norm: nn.LayerNorm | None = None,
) -> ClassifierHead:
    if activation not in list(Activation):
        raise ImportModelError(
            f"the head's activation is {activation}; Twinhead has {', '.join(Activation)}"
        )
    if norm is not None and norm.eps != _LAYER_NORM_EPS:
        raise ImportModelError(f"the head's LayerNorm has eps {norm.eps}, not {_LAYER_NORM_EPS}")
    config = MlpHead(
        hidden_size=hidden.out_features,
        activation=Activation(activation),
        dropout=dropout,
        layer_norm=norm is not None,
    )
    tensors = _state("hidden.linear", hidden) | _state("output", output)
    if norm is not None:
        tensors |= _state("hidden.norm", norm)
    return ClassifierHead(pooling, config, tensors)


def _state(name: str, layer: nn.Linear | nn.LayerNorm) -> dict[str, torch.Tensor]:
    weight = layer.weight.detach().clone()
    # A layer without bias is one whose bias is zero.
    none: Any = layer.bias
    bias = torch.zeros(len(weight)) if none is None else none.detach().clone()
    return {f"{name}.weight": weight, f"{name}.bias": bias}
