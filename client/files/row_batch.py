"""A few rows of a file on their way through the labeller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

# So many that what is done once a batch costs nothing, and the columns of a batch stay in a
# processor's caches; the second bound keeps batches of long texts small.
MAX_ROWS = 4096
MAX_CHARACTERS = 4_000_000

Row = Mapping[str, Any]


@dataclass(frozen=True)
class RowBatch:
    """Consecutive rows: their texts, and all that the file says of them."""

    first_row: int
    """Number of the first row, counted from 1."""
    texts: Sequence[str]
    """What to label; empty where the file has none."""
    rows: Sequence[Row] | pa.RecordBatch
    """The rows themselves: dicts where each row has columns of its own, else a record batch."""
    position: int
    """How far the input is read: bytes, or rows where the format counts those."""
    lines: Sequence[int] | None = None
    """Line of the file that each row ends on; None where the format has none."""

    def as_dicts(self) -> Sequence[Row]:
        """The rows as dicts."""
        rows: Any = self.rows
        return rows.to_pylist() if isinstance(rows, pa.RecordBatch) else rows

    def slice(self, start: int, end: int) -> "RowBatch":
        """Rows `start` to `end` (excluded)."""
        rows: Any = self.rows
        part = (
            rows.slice(start, end - start) if isinstance(rows, pa.RecordBatch) else rows[start:end]
        )
        lines = None if self.lines is None else self.lines[start:end]
        return RowBatch(self.first_row + start, self.texts[start:end], part, self.position, lines)
