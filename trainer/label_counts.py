"""Hits and misses of each label, and the ratios that come of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .task_metrics import LabelMetrics

# The matrix grows with the square of the labels: this is a million cells, 2 MB of JSON.
MAX_CONFUSION_LABELS = 1000


@dataclass(frozen=True)
class LabelCounts:
    """How often each label is predicted rightly, is predicted, and is true, [labels] each."""

    hits: NDArray[np.int64]
    predicted: NDArray[np.int64]
    support: NDArray[np.int64]

    def per_label(self, labels: Sequence[str]) -> tuple[LabelMetrics, ...]:
        """Each label by itself; `labels` are their names."""
        columns = (array.tolist() for array in (*self._ratios(), self.support))
        return tuple(map(LabelMetrics, labels, *columns))

    def averages(self) -> dict[str, float]:
        """`macro_` and `weighted_` precision, recall and f1; weighted by support."""
        ratios = dict(zip(("precision", "recall", "f1"), self._ratios(), strict=True))
        # A label that is neither true nor predicted says nothing. A macro average with its zeros
        # would fall with each label that the rows happen to lack.
        macro = (self.support + self.predicted > 0).astype(np.int64)
        return {
            f"{average}_{name}": float(ratio @ weights / max(1, weights.sum()))
            for average, weights in (("macro", macro), ("weighted", self.support))
            for name, ratio in ratios.items()
        }

    def micro(self) -> dict[str, float]:
        """`precision`, `recall` and `f1` of all labels together."""
        every = (self.hits, self.predicted, self.support)
        totals = LabelCounts(*(np.array([array.sum()]) for array in every))
        (total,) = totals.per_label([""])
        return {"precision": total.precision, "recall": total.recall, "f1": total.f1}

    def _ratios(self) -> tuple[NDArray[np.float64], ...]:
        """Precision, recall and F1."""
        return (
            self.hits / np.maximum(1, self.predicted),
            self.hits / np.maximum(1, self.support),
            2 * self.hits / np.maximum(1, self.predicted + self.support),
        )


def confusion_cells(
    true: NDArray[np.int64], predicted: NDArray[np.int64], size: int
) -> tuple[tuple[int, ...], ...] | None:
    """How often each label is answered as which.

    Args:
        true: indices of labels, [decisions].
        predicted: likewise.
        size: how many labels there are.

    Returns:
        [true][predicted], or None for more than `MAX_CONFUSION_LABELS` labels.
    """
    if size > MAX_CONFUSION_LABELS:
        return None
    cells = np.bincount(true * size + predicted, minlength=size * size).reshape(size, size)
    return tuple(tuple(row) for row in cells.tolist())
