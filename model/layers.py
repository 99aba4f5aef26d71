"""The layers of an encoder, whatever its family calls them."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from .encoder import Encoder
from .errors import ConfigError


def layers_of(encoder: nn.Module) -> Sequence[nn.Module]:
    """The transformer layers, the lowest first.

    Raises:
        ConfigError: the encoder is of a family whose layers cannot be told.
    """
    if isinstance(encoder, Encoder):
        config: Any = encoder.transformer.config
        for module in encoder.transformer.modules():
            if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers:
                return list(module)
    raise ConfigError("the layers of this encoder cannot be told")


def set_dropout(encoder: nn.Module, share: float) -> None:
    """Set every dropout within an encoder."""
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        # Some attentions take a number in place of a module.
        if isinstance(module.__dict__.get("attention_dropout"), float):
            module.__dict__["attention_dropout"] = share


def after_layers(encoder: nn.Module) -> Sequence[nn.Module]:
    """What works on the output of the highest layer, such as ModernBERT's last normalisation."""
    final = getattr(getattr(encoder, "transformer", None), "final_norm", None)
    return [] if final is None else [final]
