"""Writes CSV and TSV."""

import csv
import io
from collections.abc import Sequence
from typing import Any, BinaryIO

import pyarrow as pa
from typing_extensions import override

from .cell_values import csv_cells, csv_label_cells
from .row_batch import RowBatch
from .row_writer import Labels, Layout, RowWriter


class CsvWriter(RowWriter):
    """Comma-separated values, UTF-8, with a header."""

    separator = ","

    def __init__(self, stream: BinaryIO, layout: Layout) -> None:
        super().__init__(stream, layout)
        self._text = io.StringIO(newline="")
        self._cells = csv.writer(self._text, delimiter=self.separator, lineterminator="\n")
        # Before Python 3.13 the writer leaves a lone carriage return without quotes.
        self._quoted_cells = csv.writer(
            self._text, delimiter=self.separator, lineterminator="\n", quoting=csv.QUOTE_ALL
        )
        self._header_written = False
        if layout.columns is not None:
            self._write_header(layout.columns)

    @override
    def write(self, batch: RowBatch, labels: Labels) -> None:
        names = self._fixed_columns(batch)
        if not self._header_written:
            self._write_header(names)
        columns = [csv_cells(column) for column in _columns(batch, names)]
        columns += [csv_label_cells(column) for column in labels.values()]
        rows = zip(*columns, strict=True)
        if any(map(_holds_return, columns)):
            for row in rows:
                (self._quoted_cells if _holds_return(row) else self._cells).writerow(row)
        else:
            self._cells.writerows(rows)
        self._send()

    @override
    def finish(self) -> None:
        self._stream.flush()

    def _write_header(self, columns: Sequence[str]) -> None:
        self._cells.writerow([*columns, *self._layout.labels.names])
        self._header_written = True
        self._send()

    def _send(self) -> None:
        self._stream.write(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()


class TsvWriter(CsvWriter):
    """Tab-separated values, quoted as in CSV."""

    separator = "\t"


def _columns(batch: RowBatch, names: Sequence[str]) -> list[Sequence[Any]]:
    rows: Any = batch.rows
    if isinstance(rows, pa.RecordBatch):
        return [column.to_pylist() for column in rows.columns]
    return [[row.get(name) for row in rows] for name in names]


def _holds_return(cells: Sequence[Any]) -> bool:
    if set(map(type, cells)) == {str}:  # as most columns are: at once
        return "\r" in "".join(cells)
    return any(isinstance(cell, str) and "\r" in cell for cell in cells)
