"""Reads TXT: one sentence a line."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
from typing_extensions import override

from .file_reader import ReadOptions
from .text_reader import TextReader, TextRow

_SCHEMA = pa.schema([pa.field("text", pa.string())])


class TxtReader(TextReader):
    """Reads one file; an empty line is a row without a text."""

    def __init__(self, path: str, opened: ExitStack, options: ReadOptions) -> None:
        super().__init__(path, opened, options)
        self._choose_column(_SCHEMA.names)

    @property
    @override
    def schema(self) -> pa.Schema:
        return _SCHEMA

    @override
    def _rows(self) -> Iterator[TextRow]:
        for number, line in enumerate(self._lines, 1):
            yield line.rstrip("\r\n"), number, len(line)

    @override
    def _texts_and_rows(self, values: Sequence[Any]) -> tuple[Sequence[str], pa.RecordBatch]:
        return values, pa.record_batch([pa.array(values, pa.string())], schema=_SCHEMA)
