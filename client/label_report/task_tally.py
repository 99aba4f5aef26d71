"""What a run's labels of one task add up to, in memory that does not grow with the rows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..results import TaskInfo
from .extreme_rows import ExtremeRows
from .frequent_texts import FrequentTexts
from .task_answers import TaskAnswers

SCORE_BINS = 20
_MOST_PER_ROW = 10
_EXTREME_ROWS = 20
# Scores are added up as whole numbers, so that the sum does not depend on the size of batches.
_SCORE_UNIT = 2**24


class TaskTally:
    """Counts, scores and notable rows of a task."""

    def __init__(self, task: TaskInfo) -> None:
        self.task = task
        labels = len(task.label_names) + 1
        self.counts = np.zeros(labels, np.int64)
        """How often each label was given, [labels + 1]; the last: labels that the task has not."""
        self.histogram = np.zeros((labels, SCORE_BINS), np.int64)
        """[labels + 1, bins] of their scores from 0 to 1."""
        self.labels_per_row = np.zeros(_MOST_PER_ROW + 1, np.int64)
        """Answered rows by how many labels they have; the last: so many, or more."""
        self.entity_texts = FrequentTexts()
        self.least = ExtremeRows(_EXTREME_ROWS, highest=False)
        self.most = ExtremeRows(_EXTREME_ROWS, highest=True)
        self._score_sums = np.zeros(labels, np.int64)

    @property
    def rows(self) -> int:
        """Rows with an answer."""
        return int(self.labels_per_row.sum())

    @property
    def mean_scores(self) -> NDArray[np.float64]:
        """Of each label, [labels + 1]; 0 for those that were never given."""
        return self._score_sums / _SCORE_UNIT / np.maximum(self.counts, 1)

    def name(self, label: int) -> str:
        """The name of a label by its number."""
        names = self.task.label_names
        return names[label] if label < len(names) else "(not a label of the task)"

    def ranked(self) -> list[int]:
        """Numbers of the labels that were given, the most frequent first."""
        order = np.argsort(-self.counts, kind="stable")
        return order[self.counts[order] > 0].tolist()

    def add(
        self,
        answers: TaskAnswers,
        answered: NDArray[np.bool_],
        texts: Sequence[str],
        first_row: int,
    ) -> None:
        """Count a batch.

        Args:
            answers: its labels.
            answered: [rows], which rows have an answer at all.
            texts: [rows].
            first_row: number of the first row.
        """
        bins = np.minimum((answers.scores * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
        np.add.at(self.histogram.reshape(-1), answers.labels * SCORE_BINS + bins, 1)
        np.add.at(self.counts, answers.labels, 1)
        whole = np.rint(answers.scores * _SCORE_UNIT).astype(np.int64)
        np.add.at(self._score_sums, answers.labels, whole)
        per_row = np.bincount(answers.rows, minlength=len(texts))[answered]
        self.labels_per_row += np.bincount(
            np.minimum(per_row, _MOST_PER_ROW), minlength=_MOST_PER_ROW + 1
        )
        self.entity_texts.add(answers.entity_counts())
        lowest = answers.lowest_scores(len(texts))
        self.least.add(lowest, answers, texts, first_row)
        self.most.add(lowest, answers, texts, first_row)
