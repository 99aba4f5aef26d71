"""Whether a version that is offered fits what runs: before any of its weights are looked at."""

from collections.abc import Iterator, Mapping

import torch

from ..model.checkpoint import ENCODER_CONFIG, Checkpoint
from ..model.config import ModelConfig, TaskConfig
from ..model.errors import ModelError
from ..model.manifest import TensorEntry
from ..model.version_parts import VersionFiles, expected_shapes
from .errors import PushRefusedError

# Of what differs, an error names so many; it travels in headers, which are small.
_NAMED = 5

# Names for people, and what a head's answers are read by: neither a tensor nor a caller's code
# depends on them.
_FREE_OF_MODEL = {"encoder", "revision", "tasks"}
_FREE_OF_TASK = {"thresholds", "temperature"}


def check_fit(files: VersionFiles, live: Checkpoint) -> None:
    """Check that a version has architecture, tasks, labels and tokenizer of another.

    Raises:
        PushRefusedError: naming the check and what differs.
    """
    for check, differences in (
        ("tasks", list(_task_differences(files.config, live.config))),
        ("description", list(_description_differences(files.config, live.config))),
        ("tokenizer", list(_tokenizer_differences(files, live))),
        ("architecture", list(_architecture_differences(files, live))),
    ):
        if differences:
            more = f"; and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
            raise PushRefusedError(
                check,
                f"{'; '.join(differences[:_NAMED])}{more}. If that is meant, say --allow-new-tasks",
            )


def fits(files: VersionFiles, live: Checkpoint) -> bool:
    """Whether a version can share tensors and code with another."""
    try:
        check_fit(files, live)
    except PushRefusedError:
        return False
    return True


def check_new_architecture(files: VersionFiles, max_bytes: int) -> None:
    """Check that a version's tensors are those of the encoder and the heads that it describes.

    Before any of them is sent, and before memory is taken for what a description claims.

    Raises:
        PushRefusedError: naming what does not fit.
    """
    size = sum(entry.size for entry in files.manifest.tensors.values())
    if size > max_bytes:
        raise PushRefusedError(
            "size", f"the version's weights take {size:,} bytes; {max_bytes:,} are allowed"
        )
    if ENCODER_CONFIG not in files.files:
        raise PushRefusedError("architecture", f"{ENCODER_CONFIG} is missing")
    try:
        known = expected_shapes(files)
    except ModelError as error:
        raise PushRefusedError("architecture", str(error)[:500]) from error
    stated = files.manifest.tensors
    for name in sorted(known.keys() | stated.keys()):
        if name in known and name in stated and tuple(known[name]) == stated[name].shape:
            continue
        if name not in stated and name.startswith("encoder.pooler."):
            continue  # read by nothing
        form = list(stated[name].shape) if name in stated else "missing"
        wanted = list(known[name]) if name in known else "none"
        raise PushRefusedError(
            "architecture", f"tensor {name[:100]} is {form}, the description asks for {wanted}"
        )


def check_finite(tensors: Mapping[str, torch.Tensor]) -> None:
    """Check the values of tensors.

    Raises:
        PushRefusedError: naming the first tensor with NaN or infinite values.
    """
    for name, tensor in sorted(tensors.items()):
        # The smallest and the largest are NaN if any is: one pass, and no memory.
        if tensor.numel() and not all(map(torch.isfinite, torch.aminmax(tensor))):
            raise PushRefusedError("finite", f"tensor {name} holds NaN or infinite values")


def _task_differences(new: ModelConfig, live: ModelConfig) -> Iterator[str]:
    names = [task.name for task in new.tasks]
    live_names = [task.name for task in live.tasks]
    if names != live_names:
        yield f"tasks are {_listed(names)}, those of the live version {_listed(live_names)}"
        return
    for task, other in zip(new.tasks, live.tasks, strict=True):
        if task.labels != other.labels:
            yield (
                f"labels of {task.name} are {_listed(task.labels)}, those of the live version "
                f"{_listed(other.labels)}"
            )
        elif (found := _settings(task)) != (known := _settings(other)):
            changed = sorted(key for key in found if found[key] != known[key])
            yield f"{', '.join(changed)} of task {task.name} differs from the live version's"


def _settings(task: TaskConfig) -> dict[str, object]:
    return task.model_dump(exclude=_FREE_OF_TASK)


def _description_differences(new: ModelConfig, live: ModelConfig) -> Iterator[str]:
    found = new.model_dump(exclude=_FREE_OF_MODEL)
    known = live.model_dump(exclude=_FREE_OF_MODEL)
    for key in found:
        if found[key] != known[key]:
            yield f"{key} is {found[key]!s}, that of the live version {known[key]!s}"


def _tokenizer_differences(files: VersionFiles, live: Checkpoint) -> Iterator[str]:
    if files.manifest.tokenizer_sha256 != live.manifest.tokenizer_sha256:
        yield "the live version has another tokenizer"


def _architecture_differences(files: VersionFiles, live: Checkpoint) -> Iterator[str]:
    found, known = files.manifest.encoder, live.manifest.encoder
    for key in sorted(found.keys() | known.keys()):
        if found.get(key) != known.get(key):
            yield (
                f"{key[:64]} of the encoder is {str(found.get(key))[:64]}, that of the live "
                f"version {str(known.get(key))[:64]}"
            )
    new, old = files.manifest.tensors, live.manifest.tensors
    for name in sorted(new.keys() | old.keys()):
        if name not in old:
            yield f"the live version has no tensor {name[:100]}"
        elif name not in new:
            yield f"tensor {name} is missing"
        elif new[name].shape != old[name].shape or new[name].dtype != old[name].dtype:
            yield (
                f"tensor {name} is {_form(new[name])}, that of the live version {_form(old[name])}"
            )


def _form(entry: TensorEntry) -> str:
    return f"{entry.dtype} {list(entry.shape)}"


def _listed(names: object) -> str:
    text = (
        ", ".join(str(name) for name in names) if isinstance(names, (list, tuple)) else str(names)
    )
    return text if len(text) <= 200 else text[:200] + "..."
