"""The figures of one task on labelled rows, as they are kept, compared and written down."""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..model.config import TaskKind


@dataclass(frozen=True)
class LabelMetrics:
    """One label against all others. A ratio of nothing to nothing is 0."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    """Rows (of a token task: entities) that have the label."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Decisions of about the same confidence."""

    confidence: float
    """Mean confidence of the decisions in the bin."""
    accuracy: float
    """The part of them that is right."""
    count: int


@dataclass(frozen=True)
class TaskMetrics:
    """The figures of one task."""

    task: str
    kind: TaskKind
    labels: tuple[str, ...]
    """What `per_label` is about, in its order: the task's labels; of a token task its entity
    types."""
    rows: int
    """Labelled sentences."""
    figures: Mapping[str, float]
    """As `measure` and `measure_tokens` name them."""
    per_label: tuple[LabelMetrics, ...]
    confusion_labels: tuple[str, ...]
    """Axes of `confusion`: `labels`; of a token task its types of words, `O` among them."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Rows (of a token task: words), [true][predicted]. None for a multi-label task, and for more
    than `MAX_CONFUSION_LABELS` labels."""
    reliability: tuple[ReliabilityBin, ...]
    """The bins that hold something, from the least confident on."""

    @property
    def main_figure(self) -> str:
        """Name of the figure that models are compared by: the first of `leading_figures`."""
        return leading_figures(self.figures)[0]

    @property
    def primary(self) -> float:
        """The value of `main_figure`."""
        return self.figures[self.main_figure]

    def as_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers. JSON has no NaN and no infinity: they become None."""
        return {
            "task": self.task,
            "kind": self.kind.value,
            "labels": list(self.labels),
            "rows": self.rows,
            "figures": _json_numbers(self.figures),
            "per_label": [_json_numbers(asdict(label)) for label in self.per_label],
            "confusion_labels": list(self.confusion_labels),
            "confusion": None if self.confusion is None else [list(row) for row in self.confusion],
            "reliability": [_json_numbers(asdict(part)) for part in self.reliability],
        }


def leading_figures(names: Collection[str]) -> list[str]:
    """The two figures that say most of a task, the main one first.

    The main one is F1 of entities, which only token tasks have (their accuracy counts the words
    outside of entities); else accuracy; of a multi-label task, which has neither, macro F1.

    Args:
        names: of all figures that the task has.
    """
    main = [name for name in ("f1", "accuracy", "macro_f1") if name in names][:1]
    others = [name for name in ("macro_f1", "exact_match") if name in names and name not in main]
    return main + others[:1]


def _json_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
