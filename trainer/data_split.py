"""Splits of rows by seed, and what is wrong between them: duplicates, conflicts, leaks."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ..model.config import TaskConfig, TaskKind
from ..model.entity_tags import spans_of
from .labelled_rows import Label, LabelledRow
from .run_summary import DataSummary


def key_of(row: LabelledRow) -> str:
    """Rows with the same key have the same text, but for case and spaces."""
    return " ".join(row.text.casefold().split())


def split_rows(
    rows: Sequence[LabelledRow], share: float, seed: int
) -> tuple[list[LabelledRow], list[LabelledRow]]:
    """Set about a share of the texts apart; rows of the same text stay together.

    Where a text goes depends on itself and the seed alone: the same text in two data sets with the
    same share is on the same side, so that nothing leaks from one into the other.

    Returns:
        The rows that remain, and those set apart; both keep their order. Each has a row at least
        if there are two texts.
    """
    keys = [key_of(row) for row in rows]
    places = {key: _place(key, seed) for key in dict.fromkeys(keys)}
    apart = {key for key, place in places.items() if place < share}
    if len(places) < 2:
        apart = set[str]()
    elif not apart:
        apart = {min(places, key=places.__getitem__)}
    elif len(apart) == len(places):
        apart.remove(max(places, key=places.__getitem__))
    kept = [row for row, key in zip(rows, keys, strict=True) if key not in apart]
    return kept, [row for row, key in zip(rows, keys, strict=True) if key in apart]


def _place(key: str, seed: int) -> float:
    """A number from 0 to 1 that is as good as drawn."""
    # JSON may hold half of a surrogate pair.
    digest = hashlib.sha256(f"{seed}:{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64


def draw_rows(rows: Sequence[LabelledRow], limit: int | None, seed: int) -> list[LabelledRow]:
    """At most `limit` of the rows, drawn by the seed, in their order."""
    if limit is None or limit >= len(rows):
        return list(rows)
    chosen = np.random.default_rng(seed).choice(len(rows), size=limit, replace=False)
    return [rows[index] for index in sorted(chosen)]


def summarize(
    dataset: str,
    split: str,
    rows: Sequence[LabelledRow],
    seen: frozenset[str],
    tasks: Mapping[str, TaskConfig],
) -> DataSummary:
    """Count labels, repeated texts and, of rows that are not trained on, leaks.

    Args:
        dataset: name of the data set.
        split: train, validation or test.
        rows: its rows.
        seen: keys of the rows, of every data set, that these should have no text of: all training
            rows, and for test rows all validation rows, too.
        tasks: the tasks by name.
    """
    counts: dict[str, Counter[str]] = {}
    # Text to the first label of each task that a row with it has.
    first: dict[str, dict[str, Label | frozenset[str]]] = {}
    duplicates = conflicts = 0
    for row in rows:
        for task, label in row.labels.items():
            counts.setdefault(task, Counter()).update(_counted(tasks[task], label))
        key = key_of(row)
        duplicates += key in first
        known = first.setdefault(key, {})
        labels = {task: _compared(tasks[task], label) for task, label in row.labels.items()}
        conflicts += any(known.setdefault(task, label) != label for task, label in labels.items())
    return DataSummary(
        dataset=dataset,
        split=split,
        rows=len(rows),
        labels={task: dict(sorted(counted.items())) for task, counted in counts.items()},
        duplicates=duplicates,
        conflicts=conflicts,
        leaks=0 if split == "train" else sum(key_of(row) in seen for row in rows),
    )


def _compared(task: TaskConfig, label: Label) -> Label | frozenset[str]:
    # Several labels have no order; tags have.
    return frozenset(label) if task.kind is TaskKind.MULTI_LABEL else label


def _counted(task: TaskConfig, label: Label) -> list[str]:
    if isinstance(label, str):
        return [label]
    if task.kind is TaskKind.TOKEN:
        return [span.label for span in spans_of(label)]
    return list(label)
