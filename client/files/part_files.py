"""Part files: an output in pieces, each written by itself and counted."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ..labelling.label_columns import LabelColumns
from ..labelling.label_summary import LabelSummary
from ..labelling.ray_rows import REASON, ROW
from ..results import TaskInfo
from .output_file import OutputFile
from .row_batch import MAX_ROWS, RowBatch
from .row_writer import Layout


class PartSummary(LabelSummary):
    """Counts of a part, or of several."""

    def __init__(self, tasks: Sequence[TaskInfo], prefix: str, started: float) -> None:
        """Begin; `started` is the time, as `time.monotonic` has it, that seconds count from."""
        super().__init__(tasks, prefix)
        self._started = started

    def merge(self, other: "PartSummary") -> None:
        """Add the counts of another part."""
        self.rows += other.rows
        self.failed.update(other.failed)
        self.truncated += other.truncated
        self.versions.update(other.versions)
        for task, counts in other.labels.items():
            self.labels[task].update(counts)
            for label, score in other._scores[task].items():
                self._scores[task][label] += score


@dataclass(frozen=True)
class PartFiles:
    """Where part files go, and what they are made of."""

    folder: str
    """Path or URI; it is there."""
    file_format: str
    schema: pa.Schema | None
    """Of the input's columns; None where each row keeps its own."""
    columns: LabelColumns
    """The new ones."""

    def write(self, number: int, tables: Iterable[pa.Table]) -> PartSummary:
        """Write one file; one of the same number is replaced.

        Args:
            number: of the part; parts are in the order of their numbers.
            tables: columns of the input, then new ones, then `REASON`.

        Raises:
            FileError: it cannot be written, or a row does not fit the format.
        """
        summary = PartSummary(self.columns.tasks, self.columns.prefix, 0.0)
        names = None if self.schema is None else self.schema.names
        name = f"part-{number:06}.{self.file_format}"
        output = OutputFile(f"{self.folder}/{name}", self.file_format)
        try:
            output.begin(Layout(names, self.schema, self.columns.schema))
            for table in tables:
                for batch in table.combine_chunks().to_batches(MAX_ROWS):
                    self._write_batch(output, batch, summary)
            output.complete()
        except BaseException:
            output.abandon()
            raise
        return summary

    def _write_batch(self, output: OutputFile, batch: pa.RecordBatch, summary: PartSummary) -> None:
        added = {name: batch.column(name) for name in self.columns.schema.names}
        rows: Any = batch.drop_columns([*added, REASON])
        if ROW in rows.schema.names:
            rows = [json.loads(row) for row in rows.column(ROW).to_pylist()]
        # Of the texts, a writer needs to know only how many there are.
        output.write(RowBatch(summary.rows + 1, [""] * batch.num_rows, rows, 0), added)
        summary.add(added, batch.column(REASON))
