"""Reads CSV and TSV: values separated by commas or tabs, with quotes around some (RFC 4180)."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
from typing_extensions import override

from .file_reader import NO_COLUMN, ReadOptions
from .text_lines import MAX_LINE_BYTES
from .text_reader import TextReader, TextRow

# A quote that is never closed would otherwise take the rest of the file for one cell.
_MAX_CELL_CHARACTERS = MAX_LINE_BYTES


class CsvReader(TextReader):
    """Reads one file of values that are separated by commas."""

    separator = ","
    _separator_name = "commas"
    _other_separators = ";\t|"

    def __init__(self, path: str, opened: ExitStack, options: ReadOptions) -> None:
        super().__init__(path, opened, options)
        csv.field_size_limit(_MAX_CELL_CHARACTERS)
        self._cells = csv.reader(iter(self._lines), strict=True, delimiter=self.separator)
        self._columns = 0  # not known yet
        first = self._next_row(0)
        if first is None:
            raise self._fail("the file is empty")
        self._columns = len(first)
        self._first_row = None if options.header else first
        header = first if options.header else [f"column_{n}" for n in range(1, len(first) + 1)]
        if options.header and len(first) == 1:
            self._check_separator(first[0])
        names = [name.strip() for name in header]  # spaces around them need not be said
        self._check_unique(names)
        chosen = self._choose_column(names)
        self._index = None if chosen == NO_COLUMN else names.index(chosen)
        if self._index is not None:
            self.column = header[self._index]
        self._schema = pa.schema([pa.field(name, pa.string()) for name in header])

    @property
    @override
    def schema(self) -> pa.Schema:
        return self._schema

    @override
    def _rows(self) -> Iterator[TextRow]:
        number = 0
        cells = self._first_row
        if cells is None:
            cells = self._next_row(1)
        while cells is not None:
            number += 1
            if len(cells) != self._columns:
                first = "header" if self._options.header else "first row"
                raise self._fail(
                    f"row {number} (line {self._cells.line_num}) has {len(cells)} cells, the "
                    f"{first} has {self._columns}; put quotes around text that holds "
                    f"{self._separator_name}"
                )
            yield cells, self._cells.line_num, sum(map(len, cells))
            cells = self._next_row(number + 1)

    @override
    def _texts_and_rows(self, values: Sequence[Any]) -> tuple[Sequence[str], pa.RecordBatch]:
        columns: list[Sequence[str]] = list(zip(*values, strict=True))
        arrays = [pa.array(column, pa.string()) for column in columns]
        texts = [""] * len(values) if self._index is None else list(columns[self._index])
        return texts, pa.record_batch(arrays, schema=self._schema)

    def _next_row(self, number: int) -> list[str] | None:
        """The next row; None at the end. Blank lines between rows are passed over."""
        while True:
            before = self._cells.line_num
            try:
                cells = next(self._cells, None)
            except csv.Error as error:
                where = f"row {number}" if number else "the header"
                start, end = before + 1, self._cells.line_num
                lines = f"line {start}" if end <= start else f"lines {start} to {end}"
                raise self._fail(
                    f"{where} ({lines}) is broken: {_reason(error)}; "
                    'is a quote missing, or not doubled ("") inside quotes?'
                ) from error
            if cells == [] and self._columns == 1:
                return [""]  # in a single column an empty cell looks like a blank line
            if cells is None or cells:
                return cells

    def _check_separator(self, header: str) -> None:
        found = next((mark for mark in self._other_separators if mark in header), None)
        if found is not None:
            said = {"\t": "; say --input-format tsv", ",": "; say --input-format csv"}.get(found)
            raise self._fail(
                f"the header {header[:60]!r} is one cell; the cells must be separated by "
                f"{self._separator_name}{said or ''}"
            )


class TsvReader(CsvReader):
    """Reads one file of values that are separated by tabs, quoted as in CSV."""

    separator = "\t"
    _separator_name = "tabs"
    _other_separators = ",;|"


def _reason(error: csv.Error) -> str:
    if "new-line character" in str(error):  # goes on with advice for programmers
        return "a carriage return stands outside quotes"
    return str(error)
