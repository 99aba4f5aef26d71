"""Labelled rows to a file: CSV, TSV, JSONL, Parquet or Arrow, or standard output."""

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from ..errors import FileError
from ..interrupts import held_interrupts
from .arrow_writer import ArrowWriter
from .compression import compressed
from .csv_writer import CsvWriter, TsvWriter
from .file_formats import (
    OUTPUT_FORMATS,
    TEXT_OUTPUT_FORMATS,
    compression_of,
    format_of,
    npy_beside,
)
from .file_place import STANDARD, file_system, first_line, local_path
from .jsonl_writer import JsonlWriter
from .npy_writer import NpyWriter
from .parquet_writer import ParquetWriter
from .partial_file import PartialFile
from .row_batch import RowBatch
from .row_writer import Labels, Layout, RowWriter, rows_of

_WRITERS: dict[str, type[RowWriter]] = {
    "csv": CsvWriter,
    "tsv": TsvWriter,
    "jsonl": JsonlWriter,
    "parquet": ParquetWriter,
    "arrow": ArrowWriter,
}


class OutputFile:
    """A file that appears under its name only when it is complete; `-` is standard output.

    Equal rows make equal bytes, however they were cut into batches. (Of JSON lines that become
    another format, the first batch tells the columns.)

    Embeddings are columns of Parquet and Arrow. Beside a text format they are a float32 matrix with
    a row for each row: `out.npy` beside `out.csv.gz`.
    """

    def __init__(
        self, path: str, file_format: str | None, sources: str | Sequence[str] | None = None
    ) -> None:
        """Begin to write.

        Args:
            path: the file, or its URI.
            file_format: its format; None to tell it from the name.
            sources: the file or files that are read meanwhile.

        Raises:
            FileError: the place cannot be written to, or the format is not known.
        """
        chosen = file_format or ("jsonl" if path == STANDARD else format_of(path))
        if chosen is None or chosen not in _WRITERS:
            raise FileError(
                f"{path}: cannot write the format {chosen or '(no suffix)'}; "
                f"say --output-format {'|'.join(OUTPUT_FORMATS)}"
            )
        self.path = path
        self.format = chosen
        self.rows = 0
        """Rows written so far."""
        self._sources = [sources] if isinstance(sources, str) else list(sources or ())
        self._file: PartialFile | None = None
        self._embeddings_file: PartialFile | None = None
        self._embeddings: NpyWriter | None = None
        self._writer: RowWriter | None = None
        if path == STANDARD:
            if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
                raise FileError("standard output is closed")
            self._raw = cast("BinaryIO", _Whole(sys.stdout.buffer))
        else:
            self._file = self._open(path)
            self._raw = self._file.stream
        self._stream = compressed(self._raw, compression_of(path))

    @property
    def partial(self) -> Path | None:
        """Where rows are until the file is complete; None when that is not on this machine."""
        return None if self._file is None else self._file.partial

    @property
    def embeddings_path(self) -> str | None:
        """The `.npy` file with the embeddings, if `begin` was told of some that go there."""
        return None if self._embeddings_file is None else npy_beside(self.path)

    def begin(self, layout: Layout) -> None:
        """Say what the output is made of, before the first rows.

        Raises:
            FileError: embeddings have no place in it, or it cannot be written.
        """
        vectors = [field for field in layout.labels if _is_vector(field.type)]
        if vectors and self.format in TEXT_OUTPUT_FORMATS:
            if self._file is None:
                raise FileError(
                    f"embeddings have no place in {self.format.upper()} on standard output; say "
                    "-o FILE, or --output-format parquet"
                )
            others = [field for field in layout.labels if field not in vectors]
            layout = replace(layout, labels=pa.schema(others))
            self._embeddings_file = self._open(npy_beside(self.path))
            self._embeddings = NpyWriter(self._embeddings_file.stream, vectors[0].type.list_size)
        try:
            self._writer = _WRITERS[self.format](self._stream, layout)
        except OSError as error:  # a header may be written at once
            raise self._failed(error) from error

    def write(self, batch: RowBatch, labels: Labels) -> None:
        """Write rows with their new columns.

        Raises:
            FileError: a row does not fit the format, or the disk is full.
        """
        if self._writer is None:
            raise RuntimeError("begin() comes before write()")
        vectors: Labels = {}
        if self._embeddings is not None:
            vectors = {name: each for name, each in labels.items() if _is_vector(each.type)}
            labels = {name: each for name, each in labels.items() if name not in vectors}
        with held_interrupts():  # the rows are written and counted, or neither
            try:
                self._writer.write(batch, labels)
                if self._embeddings is not None:
                    for column in vectors.values():
                        self._embeddings.write(column)
            except OSError as error:
                raise self._failed(error) from error
            except (pa.ArrowException, ValueError, OverflowError, RecursionError) as error:
                raise FileError(
                    f"{rows_of(batch)} cannot be written as {self.format}: {first_line(error)}"
                ) from error
            self.rows += len(batch.texts)

    def complete(self) -> None:
        """Give the file its name.

        Raises:
            FileError: the disk is full, or the file cannot be sent to its place.
        """
        try:
            if self._writer is not None:
                self._writer.finish()
            if self._stream is not self._raw:
                self._stream.close()
            if self._embeddings is not None and self._embeddings_file is not None:
                self._embeddings.finish()
                self._embeddings_file.complete()
            if self._file is None:
                self._raw.flush()
            else:
                self._file.complete()
        except OSError as error:
            raise self._failed(error) from error
        except pa.ArrowException as error:
            raise FileError(f"cannot finish the {self.format} file: {first_line(error)}") from error

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            self._writer.abandon()
        if self._stream is not self._raw:
            with contextlib.suppress(OSError, ValueError):  # it would write when it is forgotten
                self._stream.close()
        for file in (self._file, self._embeddings_file):
            if file is not None:
                file.abandon()

    def _open(self, place: str) -> PartialFile:
        if any(_is_same(place, source) for source in self._sources):
            raise FileError(f"{self.path}: is the input; choose another output")
        return PartialFile(place)

    def _failed(self, error: OSError) -> FileError:
        name = "standard output" if self._file is None else self._file.name
        return FileError(f"{name}: {error.strerror or first_line(error)}")


class _Whole:
    """Writes all of what it is given, or raises.

    Python's own buffer takes a part, and says so, when the reader of a pipe leaves in between.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.closed = False
        self.flush = stream.flush

    def write(self, data: bytes | memoryview) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left:
            left = left[self._stream.write(left) :]
        return size

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return False


def _is_vector(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind)


def _is_same(place: str, source: str) -> bool:
    """Whether a place is a file that is read, or its partial name is."""
    if source == STANDARD:
        return False
    target, read = local_path(place), local_path(source)
    if target is None or read is None:
        return target is read and file_system(place) == file_system(source)
    partial = Path(f"{target}.partial")
    return any(
        each.exists() and read.exists() and each.samefile(read) for each in (target, partial)
    )
