"""What a batch of new columns says of one task: which row has which label, and how surely."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..results import TaskInfo

# A row keeps no more of its labels or entities where it is shown by itself.
_SHOWN_OF_A_ROW = 12
# Characters of an entity that are kept.
_ENTITY_WIDTH = 80


class Given(NamedTuple):
    """A label that a row was given."""

    label: int
    """Its number among the task's labels; their count for a label that is not among them."""
    score: float
    text: str = ""
    """Of an entity, what it stands on."""


@dataclass(frozen=True)
class TaskAnswers:
    """The labels of a batch of rows; a row may have none, one, or many."""

    rows: NDArray[np.int64]
    """[labels], the row in the batch of each label that was given, in order."""
    labels: NDArray[np.int64]
    """[labels], numbers as in `Given`."""
    scores: NDArray[np.float64]
    """[labels], from 0 to 1."""
    entities: pa.Array | None = None
    """[labels], texts of the entities of a token task."""

    def of_row(self, row: int) -> list[Given]:
        """The first labels of one row."""
        start, end = np.searchsorted(self.rows, [row, row + 1]).tolist()
        end = min(end, start + _SHOWN_OF_A_ROW)
        labels, scores = self.labels[start:end].tolist(), self.scores[start:end].tolist()
        texts = [""] * (end - start)
        if self.entities is not None:
            found = self.entities.slice(start, end - start).to_pylist()
            texts = [(text or "")[:_ENTITY_WIDTH] for text in found]
        return [Given(*each) for each in zip(labels, scores, texts, strict=True)]

    def lowest_scores(self, rows: int) -> NDArray[np.float64]:
        """The score of each row's least certain label, [rows]; NaN for rows without labels."""
        lowest = np.full(rows, np.nan)
        if len(self.rows):
            starts = np.flatnonzero(np.diff(self.rows, prepend=-1))
            lowest[self.rows[starts]] = np.minimum.reduceat(self.scores, starts)
        return lowest

    def entity_counts(self) -> list[tuple[int, str, int]]:
        """Label, text and count of each entity of a token task."""
        if self.entities is None or not len(self.labels):
            return []
        encoded = self.entities.dictionary_encode()
        texts = [(text or "")[:_ENTITY_WIDTH] for text in encoded.dictionary.to_pylist()]
        codes = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        both, counts = np.unique(self.labels * len(texts) + codes, return_counts=True)
        labels, codes = np.divmod(both, len(texts))
        return [
            (label, texts[code], count)
            for label, code, count in zip(
                labels.tolist(), codes.tolist(), counts.tolist(), strict=True
            )
        ]


def read_answers(
    task: TaskInfo, columns: Mapping[str, pa.Array], prefix: str
) -> TaskAnswers | None:
    """The answers of a task; None when there is no column of it, or its kind is not known here.

    Args:
        task: the task.
        columns: new columns of a batch, as `LabelColumns` names them.
        prefix: stands before each name.
    """
    names = columns.get(prefix + task.name)
    if names is None:
        return None
    numbers = {label: number for number, label in reversed([*enumerate(task.label_names)])}
    match task.kind:
        case "single_label" | "binary":
            suffix = "_score" if task.kind == "single_label" else "_probability"
            labels = _label_numbers(names, numbers)
            rows = np.flatnonzero(labels >= 0)
            labels = labels[rows]
            scores = _scores(columns[prefix + task.name + suffix])[rows]
            if task.kind == "binary":  # the probability is that of the second label
                scores = np.where(labels == 1, scores, 1 - scores)
            return TaskAnswers(rows, labels, scores)
        case "multi_label":
            scores = _scores(columns[prefix + task.name + "_scores"].flatten())
            return TaskAnswers(_rows(names), _label_numbers(names.flatten(), numbers), scores)
        case "token":
            entities = names.flatten()
            return TaskAnswers(
                _rows(names),
                _label_numbers(entities.field("label"), numbers),
                _scores(entities.field("score")),
                entities.field("text"),
            )
        case _:
            return None


def _label_numbers(names: pa.Array, numbers: Mapping[str, int]) -> NDArray[np.int64]:
    """The number of each label; -1 for null."""
    encoded = names.dictionary_encode()
    found = [numbers.get(name, len(numbers)) for name in encoded.dictionary.to_pylist()]
    codes = encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    return np.array([*found, -1], np.int64)[codes]


def _scores(scores: pa.Array) -> NDArray[np.float64]:
    values = scores.to_numpy(zero_copy_only=False).astype(np.float64)
    return np.clip(np.nan_to_num(values), 0, 1)


def _rows(lists: pa.Array) -> NDArray[np.int64]:
    """The row of each element of a column of lists."""
    lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(len(lists)), lengths)
