"""What a checkpoint folder holds, as figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from .checkpoint import Checkpoint, read_description


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of the whole model, its base's included."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str


@dataclass(frozen=True)
class Inspection:
    """A checkpoint that was loaded and verified, and its folder."""

    checkpoint: Checkpoint
    model_type: str
    """Of the encoder, such as `bert`."""
    files: Mapping[str, int]
    """Size of each file in bytes, by its path in the folder."""
    parameters: Mapping[str, int]
    """How many the encoder (under `encoder`) and each head (`heads.<task>`) have."""
    tensors: tuple[TensorInfo, ...]
    delta_tensors: int | None
    """How many tensors a delta checkpoint holds itself; None for a whole one."""
    base: Mapping[str, str] | None
    """Version and path of a delta's base; None where that is the encoder alone."""


def inspect_checkpoint(folder: Path, base: Path | None = None) -> Inspection:
    """Load a checkpoint, which verifies every digest, and look at its folder.

    Args:
        folder: the checkpoint.
        base: of a delta checkpoint, its base, if that is not where it was when it was saved.

    Raises:
        CheckpointError: something is missing, damaged or does not fit.
        EncoderNotFoundError: the folder names an encoder that is not at hand.
    """
    checkpoint = Checkpoint.load(folder, base)
    network = checkpoint.network
    modules = {"encoder": network.encoder} | {
        f"heads.{task.name}": network.heads[task.name] for task in network.config.tasks
    }
    return Inspection(
        checkpoint=checkpoint,
        model_type=str(checkpoint.manifest.encoder.get("model_type", "unknown")),
        files={
            str(file.relative_to(folder)): file.stat().st_size
            for file in sorted(folder.rglob("*"))
            # The embedded model lies in a Python package.
            if file.is_file() and file.suffix not in (".py", ".pyc")
        },
        parameters={
            name: sum(parameter.numel() for parameter in module.parameters())
            for name, module in modules.items()
        },
        tensors=tuple(
            TensorInfo(name, entry.shape, entry.dtype, entry.sha256)
            for name, entry in checkpoint.manifest.tensors.items()
        ),
        delta_tensors=_count_tensors(folder / "delta.safetensors"),
        base=read_description(folder)["base"],
    )


def _count_tensors(file: Path) -> int | None:
    if not file.is_file():
        return None
    with safe_open(file, "pt") as tensors:
        names: Any = tensors.keys()
        return len(names)
