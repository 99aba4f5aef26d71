"""Reads formats whose columns have types."""

import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO, cast

import pyarrow as pa
from typing_extensions import override

from ..errors import FileError
from .compression import BUFFER_BYTES, compression_of_data, decompressed
from .file_place import STANDARD, can_seek, first_line
from .file_reader import NO_COLUMN, FileReader, ReadOptions
from .row_batch import MAX_CHARACTERS, RowBatch


class ColumnarReader(FileReader):
    """Reads one file of such a format; the types of all columns are kept."""

    format_name: str

    def __init__(self, path: str, opened: ExitStack, options: ReadOptions) -> None:
        super().__init__(path, opened, options)
        try:
            self._schema = self._open().remove_metadata()
        except (pa.ArrowException, OSError, EOFError, FileError) as error:
            raise self._fail(f"not a readable {self.format_name} file: {first_line(error)}") from (
                error
            )
        names: list[str] = self._schema.names
        self._check_unique(names)
        self._text = self._choose_column(names)
        if self._text != NO_COLUMN:
            self._check_text()

    @abstractmethod
    def _open(self) -> pa.Schema:
        """Open what `_raw` holds, and tell its columns.

        Raises:
            pa.ArrowException, OSError, EOFError, FileError: it cannot be read.
        """

    @abstractmethod
    def _record_batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, at most `MAX_ROWS` at once.

        Raises:
            pa.ArrowException, OSError: they are damaged.
        """

    @abstractmethod
    def _position(self, row: int) -> int:
        """How far the file is read, at a row; as `size` counts."""

    @property
    @override
    def schema(self) -> pa.Schema:
        return self._schema

    @override
    def batches(self) -> Iterator[RowBatch]:
        first = 1
        try:
            for record in self._record_batches():
                record = record.replace_schema_metadata(None)
                texts = [""] * record.num_rows
                if self._text != NO_COLUMN:
                    texts = [text or "" for text in record.column(self._text).to_pylist()]
                first += len(texts)
                position = self._position(first - 1)
                whole = RowBatch(first - len(texts), texts, record, position)
                yield from _cut_by_characters(whole)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._fail(f"damaged after row {first - 1}: {first_line(error)}") from error

    def _check_text(self) -> None:
        kind = self._schema.field(self._text).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        is_text = (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_null,  # a column that has no value at all
        )
        if not any(check(kind) for check in is_text):
            raise self._fail(f"column {self._text!r} is not text but {kind}")

    def _seekable(self) -> BinaryIO:
        """The file, to be read at any place: what cannot seek goes through a temporary file."""
        if self._is_plain():
            return self._raw
        return self._spooled(decompressed(self._raw))

    def _is_plain(self) -> bool:
        """Whether the file can be read at any place as it is: neither compressed nor a pipe."""
        if self.path == STANDARD or not can_seek(self._raw):  # it may not be at its beginning
            return False
        beginning = self._raw.read(4)
        self._raw.seek(0)
        return compression_of_data(beginning) is None

    def _spooled(self, stream: BinaryIO) -> BinaryIO:
        spooled = self._opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._stream = stream  # kept: it must not close the file behind our back
        shutil.copyfileobj(stream, spooled, BUFFER_BYTES)
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
