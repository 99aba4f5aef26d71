"""What a run needs to go on after a kill, in one file that is replaced at once."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from .errors import RunError
from .multi_task_model import MultiTaskModel

STATE = "state.safetensors"

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass
class RunState:
    """How far a run is."""

    fingerprint: str
    """Digest of the recipe and the data: a run goes on only with the same."""
    step: int = 0
    """Steps done."""
    stage: int = 0
    """Stages of freezing begun, the first one included."""
    stage_step: int = 0
    """When the last of them began."""
    best_step: int = 0
    best_score: float | None = None
    stalled: int = 0
    """Validations without a better score, since the last better one or the last stage."""
    seconds: float = 0.0
    """Time spent in training."""
    stopped: str = ""
    """Why it ended early."""


def save_state(
    file: Path, state: RunState, model: MultiTaskModel, optimizer: torch.optim.Optimizer
) -> None:
    """Write the state, the trained weights and what the optimizer remembers.

    Raises:
        OSError: the disk is full, for example; the file is as it was before.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        memory = optimizer.state.get(parameter, {})
        if memory:  # without, it has never been trained
            tensors[f"model.{name}"] = parameter.detach()
            tensors |= {f"{moment}.{name}": memory[moment] for moment in _MOMENTS}
    save_tensors(file, tensors, {"state": json.dumps(asdict(state))})


def load_state(
    file: Path, fingerprint: str, model: MultiTaskModel, optimizer: torch.optim.Optimizer
) -> RunState:
    """Take up a run where it was saved.

    Raises:
        RunError: the file is damaged, or of another recipe or other data.
    """
    try:
        with safe_open(file, "pt") as opened:
            state = RunState(**json.loads(opened.metadata()["state"]))
        tensors = load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{file} is damaged ({error}); start anew with --force") from error
    if state.fingerprint != fingerprint:
        raise RunError(
            f"{file} is of a run with another recipe or other data; start anew with --force"
        )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if f"model.{name}" not in tensors:
                continue
            parameter.copy_(tensors[f"model.{name}"])
            optimizer.state[parameter] = {
                moment: tensors[f"{moment}.{name}"].to(parameter.device) for moment in _MOMENTS
            }
    return state


def save_tensors(
    file: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file beside `file` and put it in its place.

    Raises:
        OSError: the disk is full, for example; the file is as it was before.
    """
    partial = file.with_name(f"{file.name}.partial")
    try:
        own = {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}
        try:
            save_file(own, partial, dict(metadata or {}))
        except SafetensorError as error:  # how the library tells a full disk
            raise OSError(f"{file} cannot be written: {error}") from error
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
