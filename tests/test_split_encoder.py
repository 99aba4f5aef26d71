import pytest
import torch
from small_encoders import FAMILIES, write_encoder
from twinhead.model.encoder import Encoder
from twinhead.model.layers import layers_of
from twinhead.trainer.split_encoder import SplitEncoder

DEPTHS = [
    (family, depth) for family in FAMILIES for depth in range(3 if family == "modernbert" else 2)
]


def batch_of(encoder):
    generator = torch.Generator().manual_seed(3)
    input_ids = torch.randint(5, 40, (3, 9), generator=generator)
    mask = torch.ones_like(input_ids)
    mask[1, 5:] = 0
    mask[2, 3:] = 0
    input_ids[mask == 0] = encoder.transformer.config.pad_token_id or 0
    return input_ids, mask


@pytest.mark.parametrize(("family", "depth"), DEPTHS)
def test_the_two_parts_give_what_the_whole_gives(tmp_path, family, depth):
    encoder = Encoder.load(write_encoder(tmp_path / "encoder", family))
    batch = batch_of(encoder)
    split = SplitEncoder(encoder, depth)
    with torch.no_grad():
        whole = encoder(*batch)
    hidden = split.lower(*batch)
    assert not hidden.requires_grad
    with torch.no_grad():
        assert torch.equal(split.upper(hidden, *batch), whole)
        assert torch.equal(encoder(*batch), whole)  # it is as it was before


@pytest.mark.parametrize(("family", "depth"), DEPTHS)
def test_gradients_reach_the_upper_layers_and_no_others(tmp_path, family, depth):
    encoder = Encoder.load(write_encoder(tmp_path / "encoder", family))
    batch = batch_of(encoder)
    split = SplitEncoder(encoder, depth)
    # What trains outside of the layers is not of interest here.
    encoder.requires_grad_(False)
    layers = layers_of(encoder)
    for layer in layers:
        layer.requires_grad_(True)
    split.upper(split.lower(*batch), *batch).square().sum().backward()
    reached = [any(p.grad is not None for p in layer.parameters()) for layer in layers]
    assert reached == [index >= depth for index in range(len(layers))]


def test_an_error_leaves_the_encoder_whole(tmp_path):
    encoder = Encoder.load(write_encoder(tmp_path / "encoder", "bert"))
    input_ids, mask = batch_of(encoder)
    split = SplitEncoder(encoder, 1)
    with torch.no_grad():
        whole = encoder(input_ids, mask)
        with pytest.raises(RuntimeError):
            split.upper(torch.zeros(1, 2, 3), input_ids, mask)
        assert torch.equal(encoder(input_ids, mask), whole)
