"""Reads the rows of one file: what the readers of all formats share."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa

from ..errors import FileError
from .file_place import STANDARD, open_input
from .row_batch import RowBatch

TEXT_COLUMNS = ("text", "sentence", "content")
# In place of a column's name: rows are read as they are, and no text is looked for in them.
NO_COLUMN = ""


@dataclass(frozen=True)
class ReadOptions:
    """How files are read."""

    column: str | None = None
    """Name of the column to label; None to choose by the usual names; NO_COLUMN to take none."""
    encoding: str = "utf-8"
    """Of text formats."""
    header: bool = True
    """Whether the first row of CSV and TSV names the columns; else they are called column_1,
    column_2 and so on."""


class FileReader(ABC):
    """Reads one file, once, and lazily: it is never in memory as a whole."""

    def __init__(self, path: str, opened: ExitStack, options: ReadOptions) -> None:
        """Open a file; `-` is standard input.

        Args:
            path: the file, or its URI.
            opened: takes what is opened, to be closed in the end, also when this raises.
            options: how to read it.

        Raises:
            FileError: it cannot be read.
        """
        self.path = path
        self.name = "standard input" if path == STANDARD else path
        self._options = options
        self._opened = opened
        self._raw = opened.enter_context(open_input(path))
        self.column: str | None = None
        """Name of the column that is labelled, once it is known."""
        self.size: int | None = None
        """What `RowBatch.position` is at the end; None when that is not known."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema | None:
        """Names and types of the columns, or None when each row has its own."""

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
        asked = self._options.column
        if asked is not None:
            if asked in columns or asked == NO_COLUMN:
                return asked
            raise self._fail(f"there is no column {asked!r}; there are {_listed(columns)}")
        if len(columns) == 1:
            return columns[0]
        found = [name for name in columns if name.lower() in TEXT_COLUMNS]
        if len(found) == 1:
            return found[0]
        raise self._fail(
            f"which column is to be labelled? Say --column NAME; there are {_listed(columns)}"
        )


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in columns[:12])
    return f"{shown} and {len(columns) - 12} more" if len(columns) > 12 else shown
