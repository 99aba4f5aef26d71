"""Reads formats that are made of lines of text."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
from typing_extensions import override

from ..errors import FileError
from .compression import decompressed
from .file_place import first_line, size_of
from .file_reader import FileReader, ReadOptions
from .row_batch import MAX_CHARACTERS, MAX_ROWS, RowBatch
from .text_lines import TextLines

TextRow = tuple[Any, int, int]
"""A row as its format gives it, the line that it ends on, and about how many characters it has."""


class TextReader(FileReader):
    """Reads one file of a text format."""

    def __init__(self, path: str, opened: ExitStack, options: ReadOptions) -> None:
        super().__init__(path, opened, options)
        self.size = size_of(path)
        if self.size == 0:
            raise self._fail("the file is empty")
        try:
            stream = decompressed(self._raw)
        except OSError as error:
            raise self._fail(f"cannot be read: {error.strerror or first_line(error)}") from error
        self._lines = TextLines(stream, options.encoding, self.name)

    @abstractmethod
    def _rows(self) -> Iterator[TextRow]:
        """All rows, one by one.

        Raises:
            FileError: naming the row that cannot be read.
        """

    @abstractmethod
    def _texts_and_rows(
        self, values: Sequence[Any]
    ) -> tuple[Sequence[str], Sequence[dict[str, Any]] | pa.RecordBatch]:
        """What a batch has of some rows."""

    @override
    def batches(self) -> Iterator[RowBatch]:
        rows = self._rows()
        values: list[Any] = []
        lines: list[int] = []
        characters, first = 0, 1
        row: TextRow | None
        failure: FileError | None = None
        while True:
            try:
                row = next(rows, None)
            except FileError as error:  # the rows before it are good: give them out first
                row, failure = None, error
            if values and (
                row is None or len(values) == MAX_ROWS or characters + row[2] > MAX_CHARACTERS
            ):
                texts, made = self._texts_and_rows(values)
                yield RowBatch(first, texts, made, self._position(), lines)
                first += len(values)
                values, lines, characters = [], [], 0
            if row is None:
                break
            values.append(row[0])
            lines.append(row[1])
            characters += row[2]
        if failure is not None:
            raise failure

    def _position(self) -> int:
        return 0 if self.size is None else self._raw.tell()
