"""What report and model card pick from a run's summary, and in which order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .history import StageRecord
from .recipe import SPLITS
from .run_summary import DataSummary, Evaluation, RunSummary
from .task_metrics import TaskMetrics


@dataclass(frozen=True)
class Confusion:
    """One label answered as another."""

    expected: str
    answered: str
    count: int
    share: float
    """Of the rows (words) with the expected label."""


def task_evaluations(summary: RunSummary, task: str) -> list[Evaluation]:
    """Those of one task: seen before unseen, all data sets together before each of them."""
    found = [one for one in summary.evaluations if one.metrics.task == task]
    return sorted(found, key=lambda one: (SPLITS.index(one.split), one.dataset or ""))


def whole(evaluations: Sequence[Evaluation], split: str) -> Evaluation | None:
    """Of a split's evaluations in order, the first: that of all data sets, where there is one."""
    return next((one for one in evaluations if one.split == split), None)


def unseen(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """Of one task's evaluations, that of the test rows if there are any, else of validation."""
    return whole(evaluations, "test") or whole(evaluations, "validation")


def baseline(metrics: TaskMetrics) -> float | None:
    """The accuracy of always answering the most frequent label of these very rows.

    None for tasks that are not measured by accuracy.
    """
    if metrics.main_figure != "accuracy":
        return None
    return max(one.support for one in metrics.per_label) / metrics.rows


def likely_range(share: float, rows: int) -> tuple[float, float]:
    """What an accuracy measured on so many rows may well be on others: 95 % (Wilson 1927)."""
    z2 = 1.96**2
    middle = share + z2 / (2 * rows)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * rows)) / rows)
    return (middle - half) / (1 + z2 / rows), (middle + half) / (1 + z2 / rows)


def top_confusions(metrics: TaskMetrics) -> list[Confusion]:
    """All pairs of labels that were mixed up, the most frequent first."""
    found: list[Confusion] = []
    for row, counts in enumerate(metrics.confusion or ()):
        names, total = metrics.confusion_labels, sum(counts)
        found += [
            Confusion(names[row], names[column], count, count / total)
            for column, count in enumerate(counts)
            if count and column != row
        ]
    return sorted(found, key=lambda one: (-one.count, -one.share))


def in_order(data: Sequence[DataSummary]) -> list[DataSummary]:
    """By data set, as they come, and in it by split."""
    names = list(dict.fromkeys(one.dataset for one in data))
    return sorted(data, key=lambda one: (names.index(one.dataset), SPLITS.index(one.split)))


def epochs_done(summary: RunSummary) -> float:
    """Epochs that the training went on for."""
    history = summary.history
    records = (*history.steps, *history.validations, *history.stages)
    return max((record.epoch for record in records), default=0.0)


def trained_parameters(stage: StageRecord) -> tuple[int, float]:
    """How many parameters a stage trains, and their share of all."""
    trained = sum(part.parameters for part in stage.parts if part.trained)
    return trained, trained / max(1, sum(part.parameters for part in stage.parts))
