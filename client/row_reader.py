"""Files to batches of rows: TXT, CSV, JSONL and Parquet, each also gzipped, or standard input.

Reading is lazy: a file is never in memory as a whole.
"""

import codecs
import csv
import gzip
import io
import json
import shutil
import sys
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import override

from .errors import FileError
from .row_batch import MAX_CHARACTERS, MAX_ROWS, Row, RowBatch

FORMATS = ("txt", "csv", "jsonl", "parquet")
TEXT_COLUMNS = ("text", "sentence", "content")
# In place of a column's name: rows are read as they are, and no text is looked for in them.
NO_COLUMN = ""
# A quote that is never closed would otherwise take the rest of the file for one cell.
_MAX_CELL_CHARACTERS = 64 * 1024 * 1024
# Small, because progress is told by what has been read, and that includes what is buffered.
_BUFFER_BYTES = 1 << 16
_PARQUET_BUFFER_BYTES = 1 << 20


def format_of(path: str) -> str | None:
    """The format that a file's name tells, or None; `.gz` is looked through."""
    suffix = Path(path.removesuffix(".gz")).suffix.removeprefix(".").lower()
    return {"ndjson": "jsonl", "pq": "parquet"}.get(suffix, suffix) if suffix else None


class RowReader(ABC):
    """Reads one file, once."""

    def __init__(self, path: str, opened: ExitStack, *, column: str | None, encoding: str) -> None:
        """Open a file; `-` is standard input.

        Args:
            path: the file.
            opened: takes what is opened, to be closed in the end, also when this raises.
            column: name of the column to label; None to choose by the usual names; NO_COLUMN to
                take none.
            encoding: of text formats.

        Raises:
            FileError: it cannot be read.
        """
        self.path = path
        self.name = "standard input" if path == "-" else path
        self._column = column
        self._encoding = encoding
        self.column: str | None = None
        """Name of the column that is labelled, once it is known."""
        self._opened = opened
        self._raw = opened.enter_context(_open(path))
        self.size: int | None = None
        """What `RowBatch.position` is at the end; None when that is not known."""

    def __enter__(self) -> "RowReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    @abstractmethod
    def columns(self) -> Sequence[str] | None:
        """Names of the columns, or None when each row has its own."""

    @property
    def schema(self) -> pa.Schema | None:
        """Types of the columns, when the format has them."""
        return None

    @abstractmethod
    def batches(self) -> Iterator[RowBatch]:
        """Read the rows.

        Raises:
            FileError: naming the row that cannot be read; the batches before it are good.
        """

    def _fail(self, message: str) -> FileError:
        return FileError(f"{self.name}: {message}")

    def _check_unique(self, columns: Sequence[str]) -> None:
        twice = {name for name in columns if columns.count(name) > 1}
        if twice:
            raise self._fail(f"two columns are called {sorted(twice)[0]!r}; rename one")

    def _choose_column(self, columns: Sequence[str]) -> str:
        self.column = self._find_column(columns)
        return self.column

    def _find_column(self, columns: Sequence[str]) -> str:
        if self._column is not None:
            if self._column in columns or self._column == NO_COLUMN:
                return self._column
            raise self._fail(f"there is no column {self._column!r}; there are {_listed(columns)}")
        if len(columns) == 1:
            return columns[0]
        found = [name for name in columns if name.lower() in TEXT_COLUMNS]
        if len(found) == 1:
            return found[0]
        raise self._fail(
            f"which column is to be labelled? Say --column NAME; there are {_listed(columns)}"
        )


def open_reader(path: str, file_format: str | None, column: str | None, encoding: str) -> RowReader:
    """Open a file with the reader of its format.

    Raises:
        FileError: it cannot be read, or its format is not known.
    """
    chosen = file_format or ("txt" if path == "-" else format_of(path))
    if chosen not in _READERS:
        raise FileError(
            f"{path}: the format {chosen or '(no suffix)'} is not known; "
            f"say --input-format {'|'.join(FORMATS)}"
        )
    opened = ExitStack()
    try:
        return _READERS[chosen](path, opened, column=column, encoding=encoding)
    except BaseException:
        opened.close()
        raise


class _LineReader(RowReader):
    """Formats made of lines of text."""

    def __init__(self, path: str, opened: ExitStack, *, column: str | None, encoding: str) -> None:
        super().__init__(path, opened, column=column, encoding=encoding)
        _check_encoding(encoding)
        self._lines_read = 0
        if _is_regular(path):
            self.size = Path(path).stat().st_size
            if not self.size:
                raise self._fail("the file is empty")
        try:
            self._stream = _decompressed(self._raw)
        except OSError as error:
            raise self._fail(f"cannot be read: {error.strerror or error}") from error

    def _lines(self) -> Iterator[str]:
        """Decoded lines, ends included; `_lines_read` counts them."""
        decode = codecs.getdecoder(self._encoding)
        try:
            for line in self._stream:
                self._lines_read += 1
                try:
                    text, _ = decode(line)
                except UnicodeDecodeError as error:
                    raise self._fail(
                        f"line {self._lines_read} is not valid {self._encoding} (byte "
                        f"0x{line[error.start]:02x}); convert the file, or say --encoding, "
                        "for example --encoding cp1252"
                    ) from error
                if self._lines_read == 1:
                    text = text.removeprefix("\ufeff")
                yield text
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self._fail(
                f"the gzip data is cut off or damaged after line {self._lines_read}"
            ) from error
        except OSError as error:
            raise self._fail(f"cannot be read on: {error.strerror or error}") from error

    def _batched(self, rows: Iterator[tuple[str, Row]]) -> Iterator[RowBatch]:
        texts: list[str] = []
        kept: list[Row] = []
        lines: list[int] = []
        characters, first = 0, 1
        failure: FileError | None = None
        while True:
            try:
                item = next(rows, None)
            except FileError as error:  # the rows before it are good: give them out first
                item, failure = None, error
            if kept and (
                item is None or len(kept) == MAX_ROWS or characters + len(item[0]) > MAX_CHARACTERS
            ):
                yield RowBatch(first, texts, kept, self._position(), lines)
                first += len(kept)
                texts, kept, lines, characters = [], [], [], 0
            if item is None:
                break
            texts.append(item[0])
            kept.append(item[1])
            lines.append(self._lines_read)
            characters += len(item[0])
        if failure is not None:
            raise failure

    def _position(self) -> int:
        return 0 if self.size is None else self._raw.tell()


class TxtReader(_LineReader):
    """One sentence a line."""

    @property
    @override
    def columns(self) -> Sequence[str]:
        return ["text"]

    @override
    def batches(self) -> Iterator[RowBatch]:
        self._choose_column(self.columns)
        lines = (line.rstrip("\r\n") for line in self._lines())
        return self._batched((line, {"text": line}) for line in lines)


class CsvReader(_LineReader):
    """Comma-separated values with a header (RFC 4180)."""

    def __init__(self, path: str, opened: ExitStack, *, column: str | None, encoding: str) -> None:
        super().__init__(path, opened, column=column, encoding=encoding)
        csv.field_size_limit(_MAX_CELL_CHARACTERS)
        self._header: list[str] = []
        self._cells = csv.reader(self._lines(), strict=True)
        header = self._next_row(0)
        if header is None:
            raise self._fail("the file is empty")
        self._header = header
        if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
            raise self._fail(
                f"the header {header[0][:60]!r} is one cell; the cells must be separated by commas"
            )
        names = [name.strip() for name in header]  # spaces around them need not be said
        self._check_unique(names)
        chosen = self._choose_column(names)
        self._index = None if chosen == NO_COLUMN else names.index(chosen)
        if self._index is not None:
            self.column = header[self._index]

    @property
    @override
    def columns(self) -> Sequence[str]:
        return self._header

    @override
    def batches(self) -> Iterator[RowBatch]:
        return self._batched(self._rows())

    def _rows(self) -> Iterator[tuple[str, Row]]:
        number = 0
        while (cells := self._next_row(number + 1)) is not None:
            number += 1
            if len(cells) != len(self._header):
                raise self._fail(
                    f"row {number} (line {self._cells.line_num}) has {len(cells)} cells, the "
                    f"header has {len(self._header)}; put quotes around text that holds commas"
                )
            text = "" if self._index is None else cells[self._index]
            yield text, dict(zip(self._header, cells, strict=True))

    def _next_row(self, number: int) -> list[str] | None:
        """The next row; None at the end. Blank lines between rows are passed over."""
        while True:
            try:
                cells = next(self._cells, None)
            except csv.Error as error:
                where = f"row {number}" if number else "the header"
                raise self._fail(
                    f"{where} (line {self._cells.line_num}) is broken: {error}; "
                    'is a quote missing, or not doubled ("") inside quotes?'
                ) from error
            if cells == [] and len(self._header) == 1:
                return [""]  # in a single column an empty cell looks like a blank line
            if cells is None or cells:
                return cells


class JsonlReader(_LineReader):
    """One JSON object a line."""

    @property
    @override
    def columns(self) -> None:
        return None

    @override
    def batches(self) -> Iterator[RowBatch]:
        return self._batched(self._rows())

    def _rows(self) -> Iterator[tuple[str, Row]]:
        number = 0
        column: str | None = None
        for line in self._lines():
            if line.isspace():
                continue
            number += 1
            where = f"row {number} (line {self._lines_read})"
            try:
                row: Any = json.loads(line.rstrip())  # else columns count from the line's end
                if "\\ud" in line.lower():  # the only way for half of a surrogate pair to get in
                    json.dumps(row, ensure_ascii=False).encode()
            except json.JSONDecodeError as error:
                raise self._fail(
                    f"{where} is not valid JSON: {error.msg} at column {error.colno}"
                ) from error
            except UnicodeEncodeError as error:
                raise self._fail(f"{where} holds half of a surrogate pair (\\ud8xx)") from error
            except ValueError as error:  # Python bounds the digits of an integer
                raise self._fail(f"{where} holds a number of too many digits") from error
            except RecursionError as error:
                raise self._fail(f"{where} is nested too deeply") from error
            if not isinstance(row, dict):
                raise self._fail(f"{where} is not a JSON object")
            row = cast("dict[str, Any]", row)
            if column is None:
                column = self._choose_column(list(row))
            text = None if column == NO_COLUMN else row.get(column)
            if text is not None and not isinstance(text, str):
                raise self._fail(f"{where}: {column!r} is not text but {json.dumps(text)[:40]}")
            yield text or "", row


class ParquetReader(RowReader):
    """Parquet files; the types of all columns are kept."""

    def __init__(self, path: str, opened: ExitStack, *, column: str | None, encoding: str) -> None:
        super().__init__(path, opened, column=column, encoding=encoding)
        try:
            # Read in small pieces: otherwise a whole row group is in memory.
            self._file = pq.ParquetFile(
                self._seekable(), buffer_size=_PARQUET_BUFFER_BYTES, pre_buffer=False
            )
        except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
            raise self._fail(f"not a readable Parquet file: {first_line(error)}") from error
        self._schema: pa.Schema = self._file.schema_arrow
        names: list[str] = self._schema.names
        self._check_unique(names)
        self._text = self._choose_column(names)
        if self._text != NO_COLUMN:
            self._check_text()
        self.size = self._file.metadata.num_rows

    def _check_text(self) -> None:
        kind = self._schema.field(self._text).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        is_text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
        if not any(check(kind) for check in is_text):
            raise self._fail(f"column {self._text!r} is not text but {kind}")

    @property
    @override
    def columns(self) -> Sequence[str]:
        return self._schema.names

    @property
    @override
    def schema(self) -> pa.Schema:
        return self._schema.remove_metadata()

    @override
    def batches(self) -> Iterator[RowBatch]:
        first = 1
        try:
            for record in self._file.iter_batches(batch_size=MAX_ROWS):
                record = record.replace_schema_metadata(None)
                texts = [""] * record.num_rows
                if self._text != NO_COLUMN:
                    texts = [text or "" for text in record.column(self._text).to_pylist()]
                first += len(texts)
                whole = RowBatch(first - len(texts), texts, record, first - 1)
                yield from _cut_by_characters(whole)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._fail(f"damaged after row {first - 1}: {first_line(error)}") from error

    def _seekable(self) -> BinaryIO:
        """Parquet is read from its end: what cannot seek goes through a temporary file."""
        if _is_regular(self.path) and not self.path.endswith(".gz"):
            return self._raw
        spooled = self._opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._stream = _decompressed(self._raw)  # kept: it must not close the file behind our back
        shutil.copyfileobj(self._stream, spooled, _BUFFER_BYTES)
        spooled.seek(0)
        return cast("BinaryIO", spooled)


def _cut_by_characters(batch: RowBatch) -> Iterator[RowBatch]:
    start, characters = 0, 0
    for index, text in enumerate(batch.texts):
        if index > start and characters + len(text) > MAX_CHARACTERS:
            yield batch.slice(start, index)
            start, characters = index, 0
        characters += len(text)
    yield batch.slice(start, len(batch.texts))


_READERS: dict[str | None, type[RowReader]] = {
    "txt": TxtReader,
    "csv": CsvReader,
    "jsonl": JsonlReader,
    "parquet": ParquetReader,
}


def _open(path: str) -> BinaryIO:
    if path == "-":
        if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] (closed by the caller)
            raise FileError("standard input is closed")
        return sys.stdin.buffer
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        raise FileError(f"{path}: no such file") from None
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error


def _is_regular(path: str) -> bool:
    """Whether it is a file on a disk, with a size; not a pipe, for example."""
    return path != "-" and Path(path).is_file()


def _decompressed(raw: BinaryIO) -> BinaryIO:
    """Look through gzip, told by the data itself, so that standard input may be gzipped, too."""
    buffered = io.BufferedReader(cast("io.RawIOBase", raw), _BUFFER_BYTES)
    if buffered.peek(2)[:2] != b"\x1f\x8b":
        return buffered
    unzipped = gzip.GzipFile(fileobj=buffered)
    return io.BufferedReader(cast("io.RawIOBase", unzipped), _BUFFER_BYTES)


def _check_encoding(encoding: str) -> None:
    try:
        same = '\n,"a'.encode(encoding) == b'\n,"a'
    except (LookupError, UnicodeError):
        raise FileError(
            f"the encoding {encoding!r} is not known; examples: utf-8, cp1252"
        ) from None
    if not same:
        raise FileError(f"the encoding {encoding!r} is not read; convert the file to UTF-8")


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in columns[:12])
    return f"{shown} and {len(columns) - 12} more" if len(columns) > 12 else shown


def first_line(error: BaseException) -> str:
    """What a foreign error says, short enough for one line of ours."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
