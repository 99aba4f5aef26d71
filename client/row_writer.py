"""Labelled rows to files: CSV, JSONL and Parquet, each also gzipped, or standard output.

What is written is called OUTPUT.partial until it is complete.
"""

import contextlib
import csv
import gzip
import io
import json
import math
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import override

from .errors import FileError
from .interrupts import held_interrupts
from .row_batch import RowBatch
from .row_reader import first_line, format_of

FORMATS = ("csv", "jsonl", "parquet")
# Rows of a Parquet row group: some 12 MB of 384-dimensional embeddings.
_ROW_GROUP = 8192

Labels = Mapping[str, pa.Array]
"""New columns of a batch, by name."""


@dataclass(frozen=True)
class Layout:
    """What the output is made of, as far as it is known before the first row."""

    columns: Sequence[str] | None
    """Columns of the input, or None when the first rows tell."""
    schema: pa.Schema | None
    """Types of the input's columns, if it has them."""
    labels: pa.Schema
    """Names and types of the new columns."""


class RowWriter(ABC):
    """Writes one file."""

    def __init__(self, stream: BinaryIO, layout: Layout) -> None:
        self._stream = stream
        self._layout = layout
        self._columns = None if layout.columns is None else list(layout.columns)

    @abstractmethod
    def write(self, batch: RowBatch, labels: Labels) -> None:
        """Write rows with their new columns.

        Raises:
            FileError: a row does not fit the format.
        """

    @abstractmethod
    def finish(self) -> None:
        """Write what is still held, and what the format has at its end."""

    def _fixed_columns(self, batch: RowBatch) -> list[str]:
        """The input's columns; where each row has its own, those of the first rows.

        Raises:
            FileError: a later row has another one.
        """
        if self._layout.schema is not None:  # then every row has all columns
            return self._layout.schema.names
        rows = batch.as_dicts()
        if self._columns is None:
            self._columns = list(dict.fromkeys(key for row in rows for key in row))
        allowed = set(self._columns)
        for offset, row in enumerate(rows):
            if not allowed.issuperset(row):
                new = next(key for key in row if key not in allowed)
                raise FileError(
                    f"row {batch.first_row + offset} has the field {new!r}, which the first rows "
                    "have not; write JSON lines instead (-o NAME.jsonl), where each row may differ"
                )
        return self._columns


class CsvWriter(RowWriter):
    """Comma-separated values, UTF-8, with a header."""

    def __init__(self, stream: BinaryIO, layout: Layout) -> None:
        super().__init__(stream, layout)
        self._text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        self._cells = csv.writer(self._text, lineterminator="\n")
        # Before Python 3.13 the writer leaves a lone carriage return without quotes.
        self._quoted_cells = csv.writer(self._text, lineterminator="\n", quoting=csv.QUOTE_ALL)
        self._header_written = False
        if layout.columns is not None:
            self._write_header(layout.columns)

    @override
    def write(self, batch: RowBatch, labels: Labels) -> None:
        columns = self._fixed_columns(batch)
        if not self._header_written:
            self._write_header(columns)
        new = zip(*(_cells(column) for column in labels.values()), strict=True)
        for row, added in zip(batch.as_dicts(), new, strict=True):
            cells = [*(_cell(row.get(name)) for name in columns), *added]
            returns = any(isinstance(cell, str) and "\r" in cell for cell in cells)
            (self._quoted_cells if returns else self._cells).writerow(cells)

    @override
    def finish(self) -> None:
        self._text.flush()
        self._text.detach()

    def _write_header(self, columns: Sequence[str]) -> None:
        self._cells.writerow([*columns, *self._layout.labels.names])
        self._header_written = True


class JsonlWriter(RowWriter):
    """One JSON object a line, UTF-8."""

    @override
    def write(self, batch: RowBatch, labels: Labels) -> None:
        new = zip(*(_json_values(column) for column in labels.values()), strict=True)
        lines = [
            _json({**row, **dict(zip(labels, added, strict=True))})
            for row, added in zip(batch.as_dicts(), new, strict=True)
        ]
        self._stream.write(("\n".join(lines) + "\n").encode())

    @override
    def finish(self) -> None:
        self._stream.flush()


class ParquetWriter(RowWriter):
    """Parquet, with the input's types; embeddings are fixed-size lists of float32."""

    def __init__(self, stream: BinaryIO, layout: Layout) -> None:
        super().__init__(stream, layout)
        self._schema = layout.schema
        if self._schema is None and layout.columns is not None:  # text formats: all is text
            self._schema = pa.schema([pa.field(name, pa.string()) for name in layout.columns])
        self._writer: pq.ParquetWriter | None = None
        self._held: list[pa.RecordBatch] = []
        self._held_rows = 0

    @override
    def write(self, batch: RowBatch, labels: Labels) -> None:
        record = self._record(batch)
        for name, column in labels.items():
            record = record.append_column(name, column)
        self._held.append(record)
        self._held_rows += record.num_rows
        if self._held_rows >= _ROW_GROUP:
            self._flush()

    @override
    def finish(self) -> None:
        self._flush()
        self._open_writer().close()

    def _flush(self) -> None:
        if self._held:
            self._open_writer().write_table(pa.Table.from_batches(self._held))
            self._held, self._held_rows = [], 0

    def _open_writer(self) -> pq.ParquetWriter:
        if self._writer is None:
            fields = [*(self._schema or pa.schema([])), *self._layout.labels]
            self._writer = pq.ParquetWriter(self._stream, pa.schema(fields), compression="zstd")
        return self._writer

    def _record(self, batch: RowBatch) -> pa.RecordBatch:
        if isinstance(batch.rows, pa.RecordBatch):
            return batch.rows
        columns = self._fixed_columns(batch)
        values = {name: [row.get(name) for row in batch.rows] for name in columns}
        if self._schema is None:
            self._schema = pa.schema([_inferred(name, values[name]) for name in columns])
            self._open_writer()  # so that a type which Parquet has not is told now
        arrays: list[pa.Array] = []
        for field in self._schema:
            given = values[field.name]
            try:
                array = pa.array(given, type=field.type)
                # Arrow cuts 2.5 to 2 and drops keys that the type has not, without a word.
                if not (pa.types.is_string(field.type) or _holds(array.to_pylist(), given)):
                    raise TypeError(f"{field.type} does not hold all of the values")
            except (pa.ArrowException, OverflowError, TypeError) as error:
                raise FileError(
                    f"{_rows_of(batch)}: the column {field.name!r} is not "
                    f"{field.type} throughout, as in the first rows; "
                    "write JSON lines instead (-o NAME.jsonl)"
                ) from error
            arrays.append(array)
        return pa.record_batch(arrays, schema=self._schema)


def _inferred(name: str, values: list[Any]) -> pa.Field:
    try:
        kind = pa.array(values).type
    except (pa.ArrowException, OverflowError) as error:
        raise FileError(
            f"the column {name!r} mixes types in the first rows, which Parquet cannot hold; "
            "write JSON lines instead (-o NAME.jsonl)"
        ) from error
    # A column without any value so far: text holds most.
    return pa.field(name, pa.string() if pa.types.is_null(kind) else kind)


def _holds(held: Any, given: Any) -> bool:
    """Whether what Arrow holds is what it was given; missing keys may have become null."""
    if held == given:
        return True
    if isinstance(held, list) and isinstance(given, list):
        return len(held) == len(given) and all(map(_holds, held, given))
    if isinstance(held, dict) and isinstance(given, dict):
        return all(key in held and _holds(held[key], value) for key, value in given.items())
    return held != held and given != given  # NaN


def _rows_of(batch: RowBatch) -> str:
    return f"rows {batch.first_row} to {batch.first_row + len(batch.texts) - 1}"


def _cell(value: Any) -> Any:
    """A value of the input as a CSV cell: what is nested becomes JSON."""
    if isinstance(value, (dict, list)):
        return _json(value)
    return value


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:  # JSON has neither NaN nor infinity, Parquet and Python's reader have
        return json.dumps(_finite(value), ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_finite(each) for each in cast("list[Any]", value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cells(column: pa.Array) -> list[Any]:
    """A new column as CSV cells."""
    if pa.types.is_floating(column.type):
        return ["" if value is None else f"{value:.4f}" for value in column.to_pylist()]
    if pa.types.is_boolean(column.type):
        return ["" if value is None else str(value).lower() for value in column.to_pylist()]
    return [_cell(value) for value in _json_values(column)]


def _json_values(column: pa.Array) -> list[Any]:
    """A new column as JSON values."""
    if pa.types.is_fixed_size_list(column.type):  # an embedding: to the last bit
        return column.to_pylist()
    return [_rounded(value) for value in column.to_pylist()]


def _rounded(value: Any) -> Any:
    """Scores with four decimals, however deep."""
    match value:
        case float():
            return round(value, 4)
        case list():
            return [_rounded(each) for each in cast("list[Any]", value)]
        case dict():
            return {key: _rounded(each) for key, each in cast("dict[str, Any]", value).items()}
        case _:
            return value


_WRITERS: dict[str | None, type[RowWriter]] = {
    "csv": CsvWriter,
    "jsonl": JsonlWriter,
    "parquet": ParquetWriter,
}


class OutputFile:
    """A file that appears under its name only when it is complete; `-` is standard output."""

    def __init__(
        self,
        path: str,
        file_format: str | None,
        source: str | None = None,
        *,
        force: bool = True,
    ) -> None:
        """Begin to write.

        Args:
            path: the file.
            file_format: its format; None to tell it from the name.
            source: the file that is read meanwhile.
            force: overwrite what an earlier run left under the partial name.

        Raises:
            FileError: the place cannot be written to, or the format is not known.
        """
        self.format = file_format or ("jsonl" if path == "-" else format_of(path))
        if self.format not in _WRITERS:
            raise FileError(
                f"{path}: cannot write the format {self.format or '(no suffix)'}; "
                f"say --output-format {'|'.join(FORMATS)}"
            )
        self._target = None if path == "-" else Path(path)
        self.partial = None if path == "-" else Path(path + ".partial")
        """Where finished rows are until the file is complete."""
        if self._target is not None and self._target.exists():
            if self._target.is_dir():
                raise FileError(f"{path}: is a folder; say a file's name")
            if not self._target.is_file():  # a pipe or a device would be replaced by a file
                raise FileError(f"{path}: is not a file; say - for standard output")
        for place in (self._target, self.partial):
            if place is None or source is None or source == "-" or not place.exists():
                continue
            if place.samefile(source):
                raise FileError(f"{path}: is the input; choose another output")
        if self.partial is None and sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise FileError("standard output is closed")
        try:
            self._raw = (
                cast("BinaryIO", sys.stdout.buffer)
                if self.partial is None
                else self.partial.open("wb" if force else "xb")
            )
        except FileExistsError:
            raise FileError(
                f"{self.partial} has finished rows of an earlier run, or another run writes it; "
                "move it away, or say --force to overwrite it"
            ) from None
        except OSError as error:
            raise FileError(f"{path}: cannot write there: {error.strerror}") from error
        self._stream = self._raw
        if path.endswith(".gz"):
            # No name and time in the header: equal results are equal bytes.
            zipped = gzip.GzipFile(
                filename="", mode="wb", fileobj=self._raw, compresslevel=6, mtime=0
            )
            self._stream = cast("BinaryIO", zipped)
        self.rows = 0
        """Rows written so far."""
        self._broken = False
        self._writer: RowWriter | None = None

    def begin(self, layout: Layout) -> None:
        """Say what the output is made of, before the first rows."""
        self._writer = _WRITERS[self.format](self._stream, layout)

    def write(self, batch: RowBatch, labels: Labels) -> None:
        """Write rows with their new columns.

        Raises:
            FileError: a row does not fit the format, or the disk is full.
        """
        if self._writer is None:
            raise RuntimeError("begin() comes before write()")
        with held_interrupts():  # the rows are written and counted, or neither
            try:
                self._writer.write(batch, labels)
            except OSError as error:
                raise self._failed(error) from error
            except (pa.ArrowException, ValueError, OverflowError, RecursionError) as error:
                raise FileError(
                    f"{_rows_of(batch)} cannot be written as {self.format}: {first_line(error)}"
                ) from error
            self.rows += len(batch.texts)

    def complete(self) -> None:
        """Give the file its name.

        Raises:
            FileError: the disk is full.
        """
        self._close()
        if self._target is not None and self.partial is not None:
            try:
                self.partial.replace(self._target)
            except OSError as error:
                raise self._failed(error) from error

    def abandon(self) -> Path | None:
        """Keep finished rows under the partial name; returns where they are, if there are any."""
        with contextlib.suppress(FileError):  # the reason to abandon is the one to tell
            if not self._broken:
                self._close()
        if self.partial is None:
            return None
        if self._broken:
            with contextlib.suppress(OSError):
                self._raw.close()
        if not self.rows:
            self.partial.unlink()
        return self.partial if self.rows and not self._broken else None

    def _close(self) -> None:
        try:
            if self._writer is not None:
                self._writer.finish()
            if self._stream is not self._raw:
                self._stream.close()
            self._raw.flush()
            if self.partial is not None:
                os.fsync(self._raw.fileno())
                self._raw.close()
        except OSError as error:
            self._broken = True
            raise self._failed(error) from error
        except pa.ArrowException as error:
            self._broken = True
            raise FileError(f"cannot finish the {self.format} file: {first_line(error)}") from error

    def _failed(self, error: OSError) -> FileError:
        return FileError(f"{self.partial or 'standard output'}: {error.strerror or error}")
