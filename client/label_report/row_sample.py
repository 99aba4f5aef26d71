"""A random sample of a run's rows with their embeddings, in bounded memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..report.page_text import TEXT_READ
from .task_answers import Given, TaskAnswers

SAMPLE_ROWS = 2_500


@dataclass(frozen=True)
class SampledRow:
    """A row of the sample."""

    priority: int
    row: int
    text: str
    """Its beginning."""
    embedding: NDArray[np.float32]
    """[dimensions]."""
    given: Mapping[str, list[Given]]
    """Its labels by task."""


class RowSample:
    """The rows whose numbers have the lowest hashes.

    Which these are depends on which rows have embeddings and on nothing else: not on the size of
    batches, and not on where a run was interrupted.
    """

    def __init__(self, size: int = SAMPLE_ROWS) -> None:
        self._size = size
        self._limit = np.uint64(2**64 - 1)
        self._rows: list[SampledRow] = []

    @property
    def rows(self) -> list[SampledRow]:
        """The sample, in random order."""
        return sorted(self._rows, key=lambda one: one.priority)[: self._size]

    def add(
        self,
        texts: Sequence[str],
        embeddings: NDArray[np.float32],
        answers: Mapping[str, TaskAnswers],
        first_row: int,
    ) -> None:
        """Look at a batch.

        Args:
            texts: [rows].
            embeddings: [rows, dimensions]; NaN or 0 for rows without an answer, which are left out.
            answers: labels of the rows by task.
            first_row: number of the first row.
        """
        hashes = _hashes(first_row, len(texts))
        low = np.flatnonzero(hashes < self._limit)
        low = low[np.isfinite(embeddings[low]).all(1) & embeddings[low].any(1)]
        chosen: list[int] = low.tolist()
        for row, priority in zip(chosen, hashes[low].tolist(), strict=True):
            self._rows.append(
                SampledRow(
                    priority,
                    first_row + row,
                    texts[row][:TEXT_READ],
                    embeddings[row].astype(np.float32),  # a copy: else it keeps the batch alive
                    {name: each.of_row(row) for name, each in answers.items()},
                )
            )
        if len(self._rows) > 2 * self._size:
            self._rows = self.rows
            self._limit = np.uint64(self._rows[-1].priority)


def _hashes(first_row: int, rows: int) -> NDArray[np.uint64]:
    """A hash of each row's number (SplitMix64); no two rows have the same."""
    mixed = (np.arange(first_row, first_row + rows).astype(np.uint64) + np.uint64(1)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
