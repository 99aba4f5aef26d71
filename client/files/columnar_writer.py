"""Writes formats whose columns have types."""

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
from typing_extensions import override

from ..errors import FileError
from .row_batch import Row, RowBatch
from .row_writer import Labels, Layout, RowWriter, rows_of

# Rows of a Parquet row group or an Arrow record batch: 12 MB of 384-dimensional embeddings.
GROUP_ROWS = 8192
# Long texts make smaller groups, for a group is in memory as a whole.
GROUP_CHARACTERS = 32_000_000


class ColumnarWriter(RowWriter):
    """Gathers rows with the input's types to groups, however they were cut before.

    A group ends with the row that makes it `GROUP_ROWS`, or `GROUP_CHARACTERS` of text.
    """

    def __init__(self, stream: BinaryIO, layout: Layout) -> None:
        super().__init__(stream, layout)
        self._schema = layout.schema
        self._held: list[pa.RecordBatch] = []
        self._held_rows = self._held_characters = 0
        self._begun = False

    @abstractmethod
    def _begin(self, schema: pa.Schema) -> None:
        """Begin to write columns of such names and types."""

    @abstractmethod
    def _write_group(self, group: pa.RecordBatch) -> None:
        """Write the rows of one group."""

    @abstractmethod
    def _end(self) -> None:
        """Write what the format has at its end."""

    @override
    def write(self, batch: RowBatch, labels: Labels) -> None:
        record = self._record(batch)
        for name, column in labels.items():
            record = record.append_column(name, column)
        start = 0
        for end in self._group_ends(batch.texts):
            self._held.append(record.slice(start, end - start))
            self._write_held()
            start = end
        if start < record.num_rows:
            self._held.append(record.slice(start))

    @override
    def finish(self) -> None:
        if self._held:
            self._write_held()
        self._ensure_begun()
        self._end()

    @override
    def abandon(self) -> None:
        if self._begun:
            with contextlib.suppress(OSError, ValueError):  # else it would write when forgotten
                self._end()

    def _group_ends(self, texts: Sequence[str]) -> Iterator[int]:
        """Where groups end among the next rows, which are counted as held."""
        rows, characters = len(texts), sum(map(len, texts))
        if (
            self._held_rows + rows < GROUP_ROWS
            and self._held_characters + characters < GROUP_CHARACTERS
        ):
            self._held_rows += rows
            self._held_characters += characters
            return
        for end, text in enumerate(texts, 1):
            self._held_rows += 1
            self._held_characters += len(text)
            if self._held_rows == GROUP_ROWS or self._held_characters >= GROUP_CHARACTERS:
                self._held_rows = self._held_characters = 0
                yield end

    def _write_held(self) -> None:
        self._ensure_begun()
        (group,) = pa.Table.from_batches(self._held).combine_chunks().to_batches()
        self._held = []
        self._write_group(group)

    def _ensure_begun(self) -> None:
        if not self._begun:
            self._begin(pa.schema([*(self._schema or pa.schema([])), *self._layout.labels]))
            self._begun = True

    def _record(self, batch: RowBatch) -> pa.RecordBatch:
        if isinstance(batch.rows, pa.RecordBatch):
            return batch.rows
        names = self._fixed_columns(batch)
        if self._schema is None:
            self._schema = _inferred(batch.rows, names)
            self._ensure_begun()  # so that a type which the format has not is told now
        arrays = [_array(field, batch) for field in self._schema]
        return pa.record_batch(arrays, schema=self._schema)


def _array(field: pa.Field, batch: RowBatch) -> pa.Array:
    """One column of JSON rows."""
    given = _values(batch.rows, field.name)
    try:
        array = pa.array(given, type=field.type)
        # Arrow cuts 2.5 to 2 and drops keys that the type has not, without a word.
        if not (pa.types.is_string(field.type) or _holds(array.to_pylist(), given)):
            raise TypeError(f"{field.type} does not hold all of the values")
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise FileError(
            f"{rows_of(batch)}: the column {field.name!r} is not {field.type} throughout, as in "
            "the first rows; write JSON lines instead (-o NAME.jsonl)"
        ) from error
    return array


def _inferred(rows: Sequence[Row], names: Sequence[str]) -> pa.Schema:
    """Types of the columns, as the first rows tell them."""
    fields: list[pa.Field] = []
    for name in names:
        try:
            kind = pa.array(_values(rows, name)).type
        except (pa.ArrowException, OverflowError) as error:
            raise FileError(
                f"the column {name!r} mixes types in the first rows, which a column with one type "
                "cannot hold; write JSON lines instead (-o NAME.jsonl)"
            ) from error
        # A column without any value so far: text holds most.
        fields.append(pa.field(name, pa.string() if pa.types.is_null(kind) else kind))
    return pa.schema(fields)


def _values(rows: Any, name: str) -> list[Any]:
    return [row.get(name) for row in rows]


def _holds(held: Any, given: Any) -> bool:
    """Whether what Arrow holds is what it was given; missing keys may have become null."""
    if held == given:
        return True
    if isinstance(held, list) and isinstance(given, list):
        return len(held) == len(given) and all(map(_holds, held, given))
    if isinstance(held, dict) and isinstance(given, dict):
        return all(key in held and _holds(held[key], value) for key, value in given.items())
    return held != held and given != given  # NaN
