"""Rows of like length as one padded batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.config import Pooling, TaskConfig, TaskKind
from .encoded_rows import MISSING, EncodedRows
from .split_encoder import SplitEncoder

# As for the worker: larger passes leave the caches of a CPU, smaller ones do not fill a GPU.
CPU_PASS_TOKENS = 1024
GPU_PASS_TOKENS = 16_384


@dataclass(frozen=True)
class PaddedBatch:
    """Some rows, ready for the network."""

    input_ids: torch.Tensor
    """int64 [rows, tokens]."""
    mask: torch.Tensor
    """1 for tokens, 0 for padding, int64 [rows, tokens]."""
    hidden: torch.Tensor | None
    """What the frozen layers gave, [rows, tokens, dimensions]; None where all layers run."""
    split: SplitEncoder | None
    """What goes on from there; None where all of the encoder has run."""
    pooled: Mapping[Pooling, torch.Tensor] | None
    """What the heads read, where none of the encoder runs any more."""
    labelled: Mapping[str, torch.Tensor]
    """Task name to the rows that have its label, int64 [some of the rows]."""
    targets: Mapping[str, torch.Tensor]
    """Task name to their targets: [some of the rows], for a multi-label task [.., labels], for a
    token task [.., tokens]."""
    anchors: torch.Tensor | None = None
    """The embeddings that training is to keep, [rows, dimensions]; None where it need not."""
    offered: Mapping[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    """Task name to the labels that its rows could have been given, bool [some of the rows, labels];
    without the tasks of which all rows could have all."""


def cut_by_tokens(
    lengths: NDArray[np.int64], chosen: NDArray[np.int64], budget: int
) -> Iterator[NDArray[np.int64]]:
    """Rows in groups of like length, each of at most `budget` padded tokens (or one row)."""
    ordered = chosen[np.argsort(lengths[chosen], kind="stable")]
    start = 0
    for end in range(1, len(ordered) + 1):
        if end == len(ordered) or lengths[ordered[end]] * (end + 1 - start) > budget:
            yield ordered[start:end]
            start = end


def pad(rows: EncodedRows, group: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of some rows, int64 [rows, tokens]."""
    lengths = rows.lengths[group]
    # Any id does for padding: the mask leaves it out.
    input_ids = np.zeros((len(group), int(lengths.max())), dtype=np.int64)
    for position, index in enumerate(group):
        input_ids[position, : lengths[position]] = rows.ids[
            rows.starts[index] : rows.starts[index + 1]
        ]
    mask = (np.arange(input_ids.shape[1]) < lengths[:, None]).astype(np.int64)
    return torch.from_numpy(input_ids), torch.from_numpy(mask)


def targets_of(
    rows: EncodedRows, group: NDArray[np.int64], task: TaskConfig, tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which rows of a group have a label of the task, and their targets."""
    targets = rows.targets[task.name]
    if task.kind is TaskKind.TOKEN:
        found = np.full((len(group), tokens), MISSING, dtype=np.int64)
        for position, index in enumerate(group):
            row = targets[rows.starts[index] : rows.starts[index + 1]]
            found[position, : len(row)] = row
        labelled = np.flatnonzero((found != MISSING).any(axis=1))
    else:
        found = targets[group]
        labelled = np.flatnonzero((found if found.ndim == 1 else found[:, 0]) != MISSING)
    return torch.from_numpy(labelled), torch.from_numpy(found[labelled])


def make_batch(
    rows: EncodedRows,
    group: NDArray[np.int64],
    tasks: Sequence[TaskConfig],
    hidden: torch.Tensor | None = None,
    split: SplitEncoder | None = None,
    pooled: Mapping[Pooling, torch.Tensor] | None = None,
    anchors: torch.Tensor | None = None,
) -> PaddedBatch:
    """Put a group of rows together.

    Args:
        rows: all rows.
        group: indices of those wanted.
        tasks: whose targets are wanted.
        hidden: of the group, if the frozen layers have run already.
        split: the encoder that goes on from there.
        pooled: of the group, if the whole encoder has.
        anchors: of the group, if its embeddings are to be kept.
    """
    if pooled is not None:  # nothing reads tokens any more
        input_ids = mask = torch.zeros((len(group), 0), dtype=torch.int64)
    else:
        input_ids, mask = pad(rows, group)
    found = {task.name: targets_of(rows, group, task, input_ids.shape[1]) for task in tasks}
    return PaddedBatch(
        input_ids=input_ids,
        mask=mask,
        hidden=hidden,
        split=split,
        pooled=pooled,
        labelled={name: labelled for name, (labelled, _) in found.items()},
        targets={name: targets for name, (_, targets) in found.items()},
        anchors=anchors,
        offered={
            name: torch.from_numpy(offered[group][found[name][0].numpy()])
            for name, offered in rows.offered.items()
            if name in found
        },
    )
