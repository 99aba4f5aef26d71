"""The rows with the lowest, or the highest, scores of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..report.page_text import TEXT_READ
from .task_answers import Given, TaskAnswers


@dataclass(frozen=True)
class ExtremeRow:
    """One of them."""

    score: float
    """Of its least certain label."""
    row: int
    text: str
    given: list[Given]


class ExtremeRows:
    """Keeps the most extreme of all rows; of equal scores, those that came first."""

    def __init__(self, most: int, *, highest: bool) -> None:
        self._most = most
        self._sign = -1 if highest else 1
        self.rows: list[ExtremeRow] = []
        """The most extreme first."""

    def add(
        self,
        scores: NDArray[np.float64],
        answers: TaskAnswers,
        texts: Sequence[str],
        first_row: int,
    ) -> None:
        """Look at the rows of a batch.

        Args:
            scores: [rows], NaN for rows that have none.
            answers: the labels of the rows.
            texts: [rows].
            first_row: number of the first of them.
        """
        ranks = self._sign * scores
        full = len(self.rows) >= self._most
        limit = self._sign * self.rows[-1].score if full else np.inf
        better = np.flatnonzero(ranks < limit)
        order = np.argsort(ranks[better], kind="stable")[: self._most]
        chosen: list[int] = better[order].tolist()
        if not chosen:
            return
        self.rows += [
            ExtremeRow(
                float(scores[row]), first_row + row, texts[row][:TEXT_READ], answers.of_row(row)
            )
            for row in chosen
        ]
        self.rows.sort(key=lambda one: (self._sign * one.score, one.row))
        del self.rows[self._most :]
