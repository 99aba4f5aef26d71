"""A page about a labelling run: gathered while it goes on, written at its end."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import FileError
from ..files.partial_file import PartialFile
from ..labelling.label_summary import LabelSummary
from ..report.page_text import TEXT_READ
from ..results import ModelInfo, TaskInfo
from .cross_table import CrossTable
from .label_report_page import ReportContent, render_report
from .label_report_rows import FailedRow
from .row_sample import RowSample
from .task_answers import TaskAnswers, read_answers
from .task_tally import TaskTally

_FAILED_ROWS = 50
_CROSS_TABLES = 10
# Where rare entity texts are forgotten: at fixed rows, so that the size of batches changes nothing.
_BLOCK = 4_096


class LabelReport:
    """Counts, examples and a sample of a run's rows.

    Memory is bounded whatever the number of rows. The same rows give the same page, in whatever
    batches they come; only time and pace are the run's own.
    """

    def __init__(
        self, source: str, model: ModelInfo, tasks: Sequence[TaskInfo], prefix: str = ""
    ) -> None:
        """Begin.

        Args:
            source: what is labelled, for the heading.
            model: what labels it.
            tasks: of the new columns; those of a kind that is not known here are named, no more.
            prefix: stands before the names of the new columns.
        """
        self._source = source
        self._model = model
        self._prefix = prefix
        self._tallies = [TaskTally(task) for task in tasks]
        pairs = [pair for pair in itertools.combinations(tasks, 2) if CrossTable.fits(*pair)]
        self._crosses = [CrossTable(*pair) for pair in pairs[:_CROSS_TABLES]]
        self._sample = RowSample()
        self._failed_rows: list[FailedRow] = []
        self._versions: Counter[str] = Counter()
        self._rows = 0
        self._failed = 0
        self._truncated = 0

    def add(
        self,
        texts: Sequence[str],
        columns: Mapping[str, pa.Array],
        embeddings: NDArray[np.float32] | None,
        first_row: int,
    ) -> None:
        """Count a batch; batches come in the order of the rows.

        Args:
            texts: [rows].
            columns: the new columns as `LabelColumns` names them, each [rows]; others are ignored.
            embeddings: [rows, dimensions]; NaN or 0 for rows without an answer.
            first_row: how many rows came before.
        """
        start = 0
        while start < len(texts):
            end = min(len(texts), start + _BLOCK - (first_row + start) % _BLOCK)
            part = {name: column.slice(start, end - start) for name, column in columns.items()}
            vectors = None if embeddings is None else embeddings[start:end]
            self._add_within_block(texts[start:end], part, vectors, first_row + start)
            if (first_row + end) % _BLOCK == 0:
                for tally in self._tallies:
                    tally.entity_texts.forget_rare()
            start = end

    def write(self, path: str, summary: LabelSummary) -> None:
        """Write the page.

        Args:
            path: the file, or a URI; it is replaced if it is there.
            summary: of the same run; the page tells the reasons of failures, time and pace of it.

        Raises:
            FileError: the page cannot be written there.
        """
        page = render_report(
            ReportContent(
                source=self._source,
                model=self._model,
                rows=self._rows,
                failed=self._failed,
                truncated=self._truncated,
                versions=self._versions,
                tallies=self._tallies,
                crosses=self._crosses,
                sample=self._sample.rows,
                failed_rows=self._failed_rows,
                reasons=summary.failed,
                seconds=summary.seconds,
                rows_per_second=summary.rows / max(summary.seconds, 1e-9),
            )
        )
        file = PartialFile(path)
        try:
            file.stream.write(page.encode("utf-8"))
            file.complete()
        except OSError as error:
            file.abandon()
            raise FileError(f"{path}: cannot write the report: {error.strerror}") from error
        except FileError:
            file.abandon()
            raise

    def _add_within_block(
        self,
        texts: Sequence[str],
        columns: Mapping[str, pa.Array],
        embeddings: NDArray[np.float32] | None,
        first_row: int,
    ) -> None:
        answered = self._count_rows(texts, columns, first_row)
        answers: dict[str, TaskAnswers] = {}
        for tally in self._tallies:
            found = read_answers(tally.task, columns, self._prefix)
            if found is not None:
                answers[tally.task.name] = found
                tally.add(found, answered, texts, first_row)
        for cross in self._crosses:
            first, second = answers.get(cross.first.name), answers.get(cross.second.name)
            if first is not None and second is not None:
                cross.add(first, second, len(texts))
        if embeddings is not None:
            self._sample.add(texts, embeddings, answers, first_row)

    def _count_rows(
        self, texts: Sequence[str], columns: Mapping[str, pa.Array], first_row: int
    ) -> NDArray[np.bool_]:
        """Count what is not about a task; returns which rows have an answer, [rows]."""
        self._rows += len(texts)
        truncated = columns.get(self._prefix + "truncated")
        if truncated is not None:
            self._truncated += truncated.true_count
        versions = columns.get(self._prefix + "model_version")
        if versions is not None:
            for each in versions.drop_null().value_counts().to_pylist():
                self._versions[each["values"]] += each["counts"]
        errors = columns.get(self._prefix + "error")
        if errors is None:
            return np.ones(len(texts), bool)
        answered = errors.is_null().to_numpy(zero_copy_only=False)
        failed = np.flatnonzero(~answered)
        self._failed += len(failed)
        shown: list[int] = failed[: _FAILED_ROWS - len(self._failed_rows)].tolist()
        for row in shown:
            reason = errors[row].as_py()
            self._failed_rows.append(
                FailedRow(first_row + row, texts[row][:TEXT_READ], reason[:TEXT_READ])
            )
        return answered
