"""How often the labels of two tasks come together."""

import numpy as np

from ..results import TaskInfo
from .task_answers import TaskAnswers

# Cells of a table that are worth their memory; more nobody could read.
_MOST_CELLS = 250_000
_KINDS = ("single_label", "binary", "multi_label")


class CrossTable:
    """Counts of rows by their labels of two tasks that are about whole texts."""

    def __init__(self, first: TaskInfo, second: TaskInfo) -> None:
        self.first = first
        self.second = second
        self._shape = (len(first.label_names) + 1, len(second.label_names) + 1)
        self.counts = np.zeros(self._shape, np.int64)
        """[labels of the first + 1, labels of the second + 1]; the last: labels that it has not."""

    @staticmethod
    def fits(first: TaskInfo, second: TaskInfo) -> bool:
        """Whether two tasks can be crossed: both about whole texts, and not of too many labels."""
        cells = (len(first.label_names) + 1) * (len(second.label_names) + 1)
        return first.kind in _KINDS and second.kind in _KINDS and cells <= _MOST_CELLS

    def add(self, first: TaskAnswers, second: TaskAnswers, rows: int) -> None:
        """Count a batch of so many rows, each label of the one with each of the other."""
        lengths = np.bincount(second.rows, minlength=rows)
        starts = np.cumsum(lengths) - lengths
        times = lengths[first.rows]
        within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
        left = np.repeat(first.labels, times)
        right = second.labels[np.repeat(starts[first.rows], times) + within]
        np.add.at(self.counts.reshape(-1), left * self._shape[1] + right, 1)
