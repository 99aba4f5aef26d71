"""The layers of every family of encoders are found, lowest first."""

import pytest
import torch
from small_bert import small_network, write_small_bert
from small_encoders import FAMILIES, write_encoder
from torch import nn
from twinhead.model.encoder import Encoder
from twinhead.model.errors import ConfigError
from twinhead.model.layers import after_layers, layers_of


@pytest.fixture(scope="module", params=FAMILIES)
def encoder(request, tmp_path_factory) -> Encoder:
    return Encoder.load(write_encoder(tmp_path_factory.mktemp("encoder"), request.param))


def run(encoder: Encoder) -> torch.Tensor:
    ids = torch.arange(5, 12)[None]
    return encoder(ids, torch.ones_like(ids))


def test_layers_run_in_their_order_each_once(encoder):
    ran: list[int] = []
    layers = layers_of(encoder)
    for number, layer in enumerate(layers):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    run(encoder)
    assert ran == list(range(encoder.transformer.config.num_hidden_layers))
    assert len(layers) > 1


def test_nothing_of_weight_is_above_the_highest_layer_but_what_is_named(encoder):
    """What the highest layer gives, and what follows it, is the encoder's output."""
    given: list[torch.Tensor] = []

    def keep(_, __, output):
        given.append(output[0] if isinstance(output, tuple) else output)

    handle = layers_of(encoder)[-1].register_forward_hook(keep)
    output = run(encoder)
    handle.remove()
    hidden = given[0]
    for module in after_layers(encoder):
        hidden = module(hidden)
    torch.testing.assert_close(hidden, output)


def test_only_modernbert_has_a_norm_after_its_layers(tmp_path):
    with_norm = {
        family
        for family in FAMILIES
        if after_layers(Encoder.load(write_encoder(tmp_path / family, family)))
    }
    assert with_norm == {"modernbert"}


class Nameless(nn.Module):
    """No encoder of transformers, and without layers."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.Linear(2, 2)


def test_an_encoder_that_is_none_of_ours_is_refused():
    with pytest.raises(ConfigError, match="cannot be told"):
        layers_of(Nameless())
    assert after_layers(Nameless()) == []


def test_layers_that_are_not_in_a_list_of_their_number_are_refused(tmp_path):
    encoder = small_network(write_small_bert(tmp_path)).encoder
    encoder.transformer.config.num_hidden_layers = 3  # as where layers share their weights
    with pytest.raises(ConfigError, match="cannot be told"):
        layers_of(encoder)
