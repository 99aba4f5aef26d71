"""Reads Parquet."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import override

from .columnar_reader import ColumnarReader
from .row_batch import MAX_CHARACTERS, MAX_ROWS

_BUFFER_BYTES = 1 << 20


class ParquetReader(ColumnarReader):
    """Reads one file, page by page: row groups may be larger than memory."""

    format_name = "Parquet"

    @override
    def _open(self) -> pa.Schema:
        # Read in small pieces: otherwise a whole row group is in memory.
        self._file = pq.ParquetFile(self._seekable(), buffer_size=_BUFFER_BYTES, pre_buffer=False)
        self.size = self._file.metadata.num_rows
        return self._file.schema_arrow

    @override
    def _record_batches(self) -> Iterator[pa.RecordBatch]:
        return self._file.iter_batches(batch_size=self._rows_at_once())

    @override
    def _position(self, row: int) -> int:
        return row

    def _rows_at_once(self) -> int:
        """So many rows that those of the widest row group are some megabytes."""
        about = self._file.metadata
        groups = [about.row_group(number) for number in range(about.num_row_groups)]
        widest = max(
            (group.total_byte_size / group.num_rows for group in groups if group.num_rows),
            default=0,
        )
        return max(1, min(MAX_ROWS, int(4 * MAX_CHARACTERS // max(widest, 1))))
