"""Files to batches of rows: TXT, CSV, TSV, JSONL, Parquet and Arrow, one file or several as one.

Reading is lazy: a file is never in memory as a whole.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import PurePosixPath

import pyarrow as pa

from ..errors import FileError
from .arrow_reader import ArrowReader
from .csv_reader import CsvReader, TsvReader
from .file_formats import INPUT_FORMATS, format_of
from .file_place import STANDARD, change_mark, size_of
from .file_reader import FileReader, ReadOptions
from .jsonl_reader import JsonlReader
from .parquet_reader import ParquetReader
from .row_batch import RowBatch
from .txt_reader import TxtReader

_READERS: dict[str, type[FileReader]] = {
    "txt": TxtReader,
    "csv": CsvReader,
    "tsv": TsvReader,
    "jsonl": JsonlReader,
    "parquet": ParquetReader,
    "arrow": ArrowReader,
}


class RowReader:
    """Reads the rows of one file, or of several one after the other, once."""

    def __init__(self, paths: Sequence[str], file_format: str, options: ReadOptions) -> None:
        """Open the first file, and look whether the others go with it.

        Args:
            paths: the files, at least one; `-` alone is standard input.
            file_format: of all of them.
            options: how to read them.

        Raises:
            FileError: one of them cannot be read, or has other columns than the first.
        """
        self.paths = tuple(paths)
        self._format = file_format
        self._options = options
        self._opened = ExitStack()
        try:
            self._reader = self._open(self.paths[0])
            self.schema: pa.Schema | None = self._reader.schema
            """Names and types of the columns; None when each row has its own."""
            self._sizes = [self._reader.size, *map(self._checked_size, self.paths[1:])]
        except BaseException:
            self._opened.close()
            raise

    def __enter__(self) -> "RowReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def name(self) -> str:
        """What messages call the input."""
        more = len(self.paths) - 1
        first = "standard input" if self.paths[0] == STANDARD else self.paths[0]
        return f"{first} and {more} more" if more else first

    @property
    def column(self) -> str | None:
        """Name of the column that is labelled, once it is known."""
        return self._reader.column

    @property
    def columns(self) -> Sequence[str] | None:
        """Names of the columns, or None when each row has its own."""
        return None if self.schema is None else self.schema.names

    @property
    def size(self) -> int | None:
        """What `RowBatch.position` is at the end; None when that is not known."""
        known = [size for size in self._sizes if size is not None]
        return sum(known) if len(known) == len(self._sizes) else None

    @property
    def fingerprint(self) -> str:
        """Tells this input from others, and from the same files after they were changed.

        A digest of each file's name, without its folder, with its size and time of change, or what
        its file system has in their place. Empty for standard input.

        Raises:
            FileError: a file is gone.
        """
        if self.paths == (STANDARD,):
            return ""
        digest = hashlib.sha256()
        for path in self.paths:
            name = PurePosixPath(path).name
            digest.update(f"{name}\0{change_mark(path)}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def batches(self) -> Iterator[RowBatch]:
        """Read the rows; where batches end depends on nothing but the files.

        Raises:
            FileError: naming the file and the row that cannot be read; the batches before it are
                good.
        """
        rows, position = 0, 0
        for number, path in enumerate(self.paths):
            if number:
                column = self._reader.column
                self._opened.close()
                if self.schema is None and column is not None:  # the first row has told it
                    self._options = replace(self._options, column=column)
                self._reader = self._open(path)
                self._check_columns(self._reader)
            done = 0
            for batch in self._reader.batches():
                yield replace(
                    batch, first_row=rows + batch.first_row, position=position + batch.position
                )
                done = batch.first_row + len(batch.texts) - 1
            rows += done
            position += self._sizes[number] or 0

    def _open(self, path: str) -> FileReader:
        opened = ExitStack()
        self._opened.push(opened)
        return _READERS[self._format](path, opened, self._options)

    def _checked_size(self, path: str) -> int | None:
        """Look at a file whose turn comes later, so that its faults are told before any work."""
        if path == STANDARD:
            raise FileError("standard input cannot be read together with files")
        if size_of(path) is None:  # a pipe can be opened but once
            return None
        with ExitStack() as opened:
            reader = _READERS[self._format](path, opened, self._options)
            self._check_columns(reader)
            return reader.size

    def _check_columns(self, reader: FileReader) -> None:
        if self.schema is None or reader.schema is None or self.schema.equals(reader.schema):
            return
        ours, theirs = self.schema, reader.schema
        for name in (*ours.names, *theirs.names):
            if name not in theirs.names:
                what = f"has no column {name!r}, as the first file has"
            elif name not in ours.names:
                what = f"has a column {name!r}, which the first file has not"
            elif ours.field(name).type != theirs.field(name).type:
                what = f"column {name!r} is {theirs.field(name).type}, in the first file "
                what += str(ours.field(name).type)
            else:
                continue
            break
        else:
            what = "has the columns of the first file in another order, or with other nullability"
        raise FileError(f"{reader.name}: {what} ({self.paths[0]}); label it by itself")


def open_reader(
    path: str | Sequence[str],
    file_format: str | None = None,
    column: str | None = None,
    encoding: str = "utf-8",
    header: bool = True,
) -> RowReader:
    """Open a file, or several to be read as one.

    Args:
        path: the file or files: paths, URIs that fsspec knows, or `-` for standard input.
        file_format: one of `INPUT_FORMATS`; None to tell it from the names.
        column: name of the column to label; None to choose by the usual names; NO_COLUMN to take
            none.
        encoding: of text formats.
        header: whether CSV and TSV begin with the names of the columns.

    Raises:
        FileError: a file cannot be read, its format is not known, or it does not go with the first.
    """
    paths = [path] if isinstance(path, str) else list(path)
    if not paths:
        raise FileError("there is no file to read")
    return RowReader(
        paths, file_format or _format_of(paths), ReadOptions(column, encoding, header=header)
    )


def _format_of(paths: Sequence[str]) -> str:
    chosen = "txt" if paths[0] == STANDARD else format_of(paths[0])
    if chosen is None or chosen not in _READERS:
        raise FileError(
            f"{paths[0]}: the format {chosen or '(no suffix)'} is not known; "
            f"say --input-format {'|'.join(INPUT_FORMATS)}"
        )
    odd = next((path for path in paths[1:] if format_of(path) != chosen), None)
    if odd is not None:
        raise FileError(f"{odd}: is not {chosen} as {paths[0]} is; label it by itself")
    return chosen
