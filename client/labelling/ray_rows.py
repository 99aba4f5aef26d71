"""Rows of files as Arrow tables, which is how Ray moves them from one machine to another."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..errors import FileError
from ..files.row_batch import RowBatch
from ..files.row_reader import RowReader, open_reader
from .label_columns import check_names

ROW, TEXT, REASON = "<row>", "<text>", "<reason>"
"""Columns that tables have on their way alone: a row as JSON and its text, where each row has
columns of its own; and why a row has no answer."""


@dataclass(frozen=True)
class InputFiles:
    """Files with the same columns."""

    places: Sequence[str]
    """Paths or URIs that every node can read."""
    file_format: str | None = None
    """None to tell it by their names."""
    column: str | None = None
    """The one to label; None to choose by the usual names."""
    encoding: str = "utf-8"
    header: bool = True
    """Whether CSV and TSV begin with the names of the columns."""

    def open(self, place: str) -> RowReader:
        """Open one of them.

        Raises:
            FileError: it cannot be read.
        """
        return open_reader(place, self.file_format, self.column, self.encoding, self.header)


@dataclass(frozen=True)
class InputRows:
    """The rows of a run."""

    files: InputFiles
    schema: pa.Schema | None
    """Of the columns of all of the files; None where each row has its own."""
    taken: frozenset[str] = frozenset()
    """Names that no column may have: they will be those of the new ones."""

    def tables(self, place: str) -> Iterator[pa.Table]:
        """The rows of one file.

        Raises:
            FileError: it cannot be read, has other columns than the first, or one that is taken.
        """
        with self.files.open(place) as reader:
            if reader.schema != self.schema:
                raise FileError(
                    f"{place}: its columns, or their types, are not those of "
                    f"{self.files.places[0]}; label it by itself"
                )
            for batch in reader.batches():
                if isinstance(batch.rows, pa.RecordBatch):
                    yield pa.Table.from_batches([batch.rows])
                else:
                    yield self._rows_as_json(place, batch)

    def _rows_as_json(self, place: str, batch: RowBatch) -> pa.Table:
        rows = batch.as_dicts()
        check_names(place, self.taken.intersection(name for row in rows for name in row))
        return pa.table(
            {
                ROW: pa.array(map(json.dumps, rows), pa.large_string()),
                TEXT: pa.array(batch.texts, pa.large_string()),
            }
        )


def texts_of(table: pa.Table, column: str) -> list[str]:
    """What to label of each row of a table; empty where there is nothing."""
    name = TEXT if TEXT in table.column_names else column
    return [text or "" for text in table.column(name).to_pylist()]
