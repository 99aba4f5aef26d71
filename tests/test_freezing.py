import numpy as np
import pytest
import torch
from small_encoders import FAMILIES, write_encoder
from trained import MOODS, TOPICS
from twinhead.model.config import ModelConfig, TaskConfig
from twinhead.model.encoder import Encoder
from twinhead.model.layers import layers_of
from twinhead.model.network import Network
from twinhead.trainer.errors import RecipeError
from twinhead.trainer.freezing import freeze, frozen_layers, parts_of, set_modes


def network_of(folder, family="bert"):
    encoder = Encoder.load(write_encoder(folder / "encoder", family))
    tasks = (
        TaskConfig(name="topic", labels=tuple(TOPICS)),
        TaskConfig(name="mood", labels=tuple(MOODS)),
    )
    return Network(ModelConfig(encoder="x", tasks=tasks), encoder, encoder.dimensions)


def trained_names(network):
    return [part.name for part in parts_of(network) if part.trained]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_that_is_read_is_in_one_part(tmp_path, family):
    network = network_of(tmp_path, family)
    found = [id(parameter) for part in parts_of(network) for parameter in part.parameters]
    assert len(found) == len(set(found))
    unread = {
        name for name, parameter in network.named_parameters() if id(parameter) not in set(found)
    }
    assert all(".pooler." in name for name in unread)


@pytest.mark.parametrize(
    ("rules", "trained", "depth"),
    [
        ([], ["embeddings", "layer 1", "layer 2", "head topic", "head mood"], 0),
        (["encoder"], ["head topic", "head mood"], None),
        (["top:0"], ["head topic", "head mood"], None),
        (["top:1"], ["layer 2", "head topic", "head mood"], 1),
        (["top:2"], ["layer 1", "layer 2", "head topic", "head mood"], 0),
        (["below:1"], ["layer 2", "head topic", "head mood"], 1),
        (["below:0", "head:mood"], ["layer 1", "layer 2", "head topic"], 0),
        (["encoder", "head:topic"], ["head mood"], None),
    ],
)
def test_rules_freeze_what_they_name(tmp_path, rules, trained, depth):
    network = network_of(tmp_path)
    parts = freeze(network, rules)
    assert trained_names(network) == trained == [part.name for part in parts if part.trained]
    assert frozen_layers(network) == depth
    assert not any(p.requires_grad for n, p in network.named_parameters() if ".pooler." in n)
    # A later stage begins from nothing, not from what was frozen before.
    freeze(network, [])
    assert frozen_layers(network) == 0


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["all"], "leaves nothing to train"),
        (["encoder", "head:topic", "head:mood"], "leaves nothing to train"),
        (["top:3"], "the encoder has 2 layers"),
        (["below:7"], "the encoder has 2 layers"),
        (["head:colour"], "no such task"),
    ],
)
def test_rules_that_cannot_be_are_refused(tmp_path, rules, message):
    with pytest.raises(RecipeError, match=message):
        freeze(network_of(tmp_path), rules)


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_parts_are_in_evaluation_mode_and_others_are_not(tmp_path, family):
    network = network_of(tmp_path, family)
    layers = layers_of(network.encoder)
    freeze(network, ["top:1", "head:mood"])
    set_modes(network)
    assert all(module.training for module in layers[-1].modules())
    assert not any(module.training for layer in layers[:-1] for module in layer.modules())
    dropouts = [m for m in network.encoder.modules() if isinstance(m, torch.nn.Dropout)]
    above = {id(module) for module in layers[-1].modules()}
    assert not any(module.training for module in dropouts if id(module) not in above)
    assert network.heads["topic"].training
    assert not network.heads["mood"].training
    freeze(network, [])
    set_modes(network)
    assert all(module.training for module in dropouts)


def test_the_final_norm_of_modernbert_is_trained_with_the_top(tmp_path):
    network = network_of(tmp_path, "modernbert")
    freeze(network, ["top:1"])
    assert "final norm" in trained_names(network)
    freeze(network, ["encoder"])
    assert "final norm" not in trained_names(network)
    assert frozen_layers(network) is None
    sizes = [sum(p.numel() for p in part.parameters) for part in parts_of(network)]
    assert np.sum(sizes) == sum(p.numel() for p in network.parameters())
