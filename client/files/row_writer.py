"""Writes rows with their labels: what the writers of all formats share."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa

from ..errors import FileError
from .row_batch import RowBatch

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

    def abandon(self) -> None:  # noqa: B027 (most have nothing to do)
        """Let go of what is held, when the file will never be whole."""

    def _fixed_columns(self, batch: RowBatch) -> list[str]:
        """The input's columns; where each row has its own, those of the first rows.

        Raises:
            FileError: a later row has another one.
        """
        rows: Any = batch.rows
        if isinstance(rows, pa.RecordBatch):  # then every row has all columns
            return rows.schema.names
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


def rows_of(batch: RowBatch) -> str:
    """What messages call the rows of a batch."""
    return f"rows {batch.first_row} to {batch.first_row + len(batch.texts) - 1}"
