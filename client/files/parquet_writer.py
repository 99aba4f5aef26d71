"""Writes Parquet."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import override

from .columnar_writer import ColumnarWriter


class ParquetWriter(ColumnarWriter):
    """Parquet, with the input's types; embeddings are fixed-size lists of float32."""

    @override
    def _begin(self, schema: pa.Schema) -> None:
        repeating: Any = _repeating(schema)  # the stubs know no list of columns
        self._writer = pq.ParquetWriter(
            self._stream, schema, compression="zstd", use_dictionary=repeating
        )

    @override
    def _write_group(self, group: pa.RecordBatch) -> None:
        self._writer.write_batch(group, row_group_size=group.num_rows)

    @override
    def _end(self) -> None:
        try:
            self._writer.close()
        finally:
            self._writer.is_open = False  # else it would try again when it is forgotten


def _repeating(schema: pa.Schema) -> list[str]:
    """Paths of the columns whose values may repeat: of all but embeddings.

    To look for repeated values there takes half of the time, and finds none.
    """
    vectors = {
        f"{field.name}.list.element"
        for field in schema
        if pa.types.is_fixed_size_list(field.type) and pa.types.is_floating(field.type.value_type)
    }
    empty = io.BytesIO()
    pq.ParquetWriter(empty, schema).close()
    columns = pq.ParquetFile(empty).schema
    paths = [columns.column(number).path for number in range(len(columns.names))]
    return [path for path in paths if path not in vectors]
