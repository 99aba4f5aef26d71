"""Rows of one split, as padded batches on the device, with what is cached of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.config import TaskConfig
from .encoded_rows import EncodedRows
from .frozen_prefix import CachedPrefix
from .padded_batch import PaddedBatch, cut_by_tokens, make_batch

# Between two reports of progress. Sorted by length, so few rows at once cost no padding.
_ROWS_AT_ONCE = 256


@dataclass
class RowBatches:
    """Makes the batches of some rows."""

    rows: EncodedRows
    tasks: Sequence[TaskConfig]
    device: torch.device
    pass_tokens: int
    """Padded tokens of one group at most."""
    prefix: CachedPrefix | None = None
    """Where the output of the frozen layers comes from; None where all layers run."""
    anchors: NDArray[np.float32] | None = None
    """The embeddings that training is to keep, [rows, dimensions]."""

    def __call__(self, chosen: NDArray[np.int64]) -> list[PaddedBatch]:
        """Rows in groups of like length."""
        if not len(chosen):
            return []
        if self.prefix is not None and self.prefix.prefix.poolings:
            # No tokens, no padding: one group.
            vectors = torch.from_numpy(np.concatenate(self.prefix.vectors(chosen)))
            pooled = self.prefix.prefix.pooled(vectors)
            return [self._on_device(make_batch(self.rows, chosen, self.tasks, pooled=pooled))]
        split = None if self.prefix is None else self.prefix.prefix.split
        groups = cut_by_tokens(self.rows.lengths, chosen, self.pass_tokens)
        return [
            self._on_device(
                make_batch(
                    self.rows,
                    group,
                    self.tasks,
                    self._hidden(self.prefix, group),
                    split,
                    anchors=None if self.anchors is None else torch.from_numpy(self.anchors[group]),
                )
            )
            for group in groups
        ]

    def walk(
        self, chosen: NDArray[np.int64], on_progress: Callable[[int], None] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], PaddedBatch]]:
        """All of some rows, the short ones first: indices of a group, and its batch.

        Args:
            chosen: indices of the rows.
            on_progress: called with the rows done.
        """
        ordered = chosen[np.argsort(self.rows.lengths[chosen], kind="stable")]
        for start in range(0, len(ordered), _ROWS_AT_ONCE):
            part = ordered[start : start + _ROWS_AT_ONCE]
            position = 0
            for batch in self(part):
                group = part[position : position + len(batch.input_ids)]
                position += len(group)  # batches keep the order by length
                yield group, batch
            if on_progress is not None:
                on_progress(start + len(part))

    def _hidden(self, prefix: CachedPrefix | None, group: NDArray[np.int64]) -> torch.Tensor | None:
        if prefix is None:
            return None
        vectors = prefix.vectors(group)
        longest = max(len(row) for row in vectors)
        hidden = np.zeros((len(group), longest, prefix.prefix.width), dtype=np.float32)
        for position, row in enumerate(vectors):
            hidden[position, : len(row)] = row
        return torch.from_numpy(hidden)

    def _on_device(self, batch: PaddedBatch) -> PaddedBatch:
        if self.device.type == "cpu":
            return batch

        def move(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(self.device, non_blocking=True)

        return replace(
            batch,
            input_ids=move(batch.input_ids),
            mask=move(batch.mask),
            hidden=None if batch.hidden is None else move(batch.hidden),
            pooled=None
            if batch.pooled is None
            else {name: move(part) for name, part in batch.pooled.items()},
            labelled={name: move(rows) for name, rows in batch.labelled.items()},
            targets={name: move(rows) for name, rows in batch.targets.items()},
            anchors=None if batch.anchors is None else move(batch.anchors),
            offered={name: move(labels) for name, labels in batch.offered.items()},
        )
