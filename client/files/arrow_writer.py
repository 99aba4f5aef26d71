"""Writes Arrow's IPC file format, which pandas and polars call Feather."""

import pyarrow as pa
from typing_extensions import override

from .columnar_writer import ColumnarWriter


class ArrowWriter(ColumnarWriter):
    """Arrow record batches, not compressed: readers map such a file into memory."""

    @override
    def _begin(self, schema: pa.Schema) -> None:
        self._schema_written = schema
        # A later batch may know values of a dictionary that earlier ones had not.
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        self._writer = pa.ipc.new_file(self._stream, schema, options=options)
        self._dictionaries: dict[str, pa.Array] = {}

    @override
    def _write_group(self, group: pa.RecordBatch) -> None:
        columns = [
            self._with_all_values(field, column) if pa.types.is_dictionary(field.type) else column
            for field, column in zip(group.schema, group.columns, strict=True)
        ]
        self._writer.write_batch(
            pa.record_batch([_plain(column) for column in columns], schema=self._schema_written)
        )

    @override
    def _end(self) -> None:
        self._writer.close()

    def _with_all_values(self, field: pa.Field, column: pa.DictionaryArray) -> pa.DictionaryArray:
        """The same with a dictionary that begins with that of the batches before.

        The file format has one dictionary for each column, which can only grow.
        """
        before = self._dictionaries.get(field.name)
        if before is None:
            self._dictionaries[field.name] = column.dictionary
            return column
        first = pa.DictionaryArray.from_arrays(
            pa.nulls(0, column.indices.type), before, ordered=field.type.ordered
        )
        both = pa.chunked_array([first, column]).unify_dictionaries()
        unified: pa.DictionaryArray = both.chunk(both.num_chunks - 1)
        self._dictionaries[field.name] = unified.dictionary
        return unified


def _plain(column: pa.Array) -> pa.Array:
    """The same without what memory happens to hold where there is no value."""
    kind = column.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):  # may point anywhere
        whole = pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary()
        return _plain(column.cast(whole)).cast(kind)
    if not column.null_count:
        return column
    try:
        return column.take(pa.array(range(len(column)), pa.int32()))
    except pa.ArrowNotImplementedError:  # for some rare types
        return column
