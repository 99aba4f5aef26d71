"""Reads Arrow's IPC format: files, which pandas and polars call Feather, and streams."""

import io
from collections.abc import Iterator
from typing import cast

import pyarrow as pa
from typing_extensions import override

from .columnar_reader import ColumnarReader
from .compression import decompressed
from .file_place import local_path, size_of
from .row_batch import MAX_ROWS

_FILE_MAGIC = b"ARROW1"
_OLD_MAGIC = b"FEA1"


class ArrowReader(ColumnarReader):
    """Reads one file, record batch by record batch."""

    format_name = "Arrow"

    @override
    def _open(self) -> pa.Schema:
        self.size = size_of(self.path)
        self._read = 0  # of `size`
        self._stream = self._raw
        plain = self._is_plain()
        if not plain:
            self._stream = decompressed(self._raw)
        buffered = cast("io.BufferedReader", self._stream)
        beginning = buffered.read(8) if plain else buffered.peek(8)
        if plain:
            buffered.seek(0)
        if beginning.startswith(_OLD_MAGIC):
            raise OSError("it is Feather of version 1; write it again in version 2")
        self._file: pa.RecordBatchFileReader | None = None
        if beginning.startswith(_FILE_MAGIC):
            self._file = pa.ipc.open_file(self._mapped() if plain else self._spooled(self._stream))
            return self._file.schema
        self._messages = pa.ipc.open_stream(self._stream)
        return self._messages.schema

    @override
    def _record_batches(self) -> Iterator[pa.RecordBatch]:
        if self._file is None:
            for record in self._messages:
                self._read = 0 if self.size is None else self._raw.tell()
                yield from _pieces(record)
            return
        total, count = self.size or 0, self._file.num_record_batches
        for number in range(count):
            record = self._file.get_batch(number)
            rows, done = record.num_rows, 0
            for piece in _pieces(record):
                done += piece.num_rows
                self._read = total * (number * rows + done) // (count * rows)
                yield piece

    @override
    def _position(self, row: int) -> int:
        return self._read

    def _mapped(self) -> pa.NativeFile | io.BufferedIOBase:
        """The file; on this machine as memory that can be taken back, for it may be one batch."""
        path = local_path(self.path)
        if path is None:
            return cast("io.BufferedIOBase", self._raw)
        return self._opened.enter_context(pa.memory_map(str(path)))


def _pieces(record: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, record.num_rows, MAX_ROWS):
        piece = record.slice(start, MAX_ROWS)
        piece.validate(full=True)  # damaged offsets would end the process
        yield piece
