"""The figures of a checkpoint."""

import pytest
import torch
from small_bert import DIMENSIONS, small_checkpoint, write_small_bert
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.errors import CheckpointError
from twinhead.model.inspect_checkpoint import inspect_checkpoint


@pytest.fixture
def saved(tmp_path):
    write_small_bert(tmp_path / "encoder")
    small_checkpoint(tmp_path / "encoder").save(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_whole_checkpoint(saved):
    found = inspect_checkpoint(saved)
    assert found.delta_tensors is None
    assert found.model_type == "bert"
    assert (found.delta_tensors, found.base) == (None, None)
    assert found.parameters["heads.topic"] == 3 * (DIMENSIONS + 1)
    assert found.parameters["heads.mood"] == 2 * (DIMENSIONS + 1)
    assert sum(found.parameters.values()) == sum(
        parameter.numel() for parameter in found.checkpoint.network.parameters()
    )
    assert found.files["1_Pooling/config.json"] > 0
    assert found.files["model.safetensors"] == (saved / "model.safetensors").stat().st_size
    (bias,) = [tensor for tensor in found.tensors if tensor.name == "heads.topic.output.bias"]
    assert (bias.shape, bias.dtype, len(bias.sha256)) == ((3,), "float32", 64)


def test_a_delta_checkpoint(saved, tmp_path):
    base = Checkpoint.load(saved)
    changed = Checkpoint.load(saved).network
    with torch.no_grad():
        changed.heads["topic"].output.bias.add_(1.0)
    Checkpoint.create(changed, base.tokenizer).save_delta(tmp_path / "delta", base)
    found = inspect_checkpoint(tmp_path / "delta")
    assert found.delta_tensors == 1
    assert found.base == {"version": base.version, "path": "../saved"}
    assert len(found.tensors) == len(inspect_checkpoint(saved).tensors)

    saved.rename(tmp_path / "moved")
    with pytest.raises(CheckpointError, match=f"delta on version {base.version}"):
        inspect_checkpoint(tmp_path / "delta")
    assert inspect_checkpoint(tmp_path / "delta", tmp_path / "moved").delta_tensors == 1


def test_a_flipped_byte(saved):
    file = saved / "heads.safetensors"
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"tensor heads\.\w+\.output\.\w+ differs"):
        inspect_checkpoint(saved)
