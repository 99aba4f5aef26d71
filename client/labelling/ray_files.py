"""The labeller's files as a source and a sink of Ray Data; needs the extra `ray`."""

import functools
from collections.abc import Iterable
from typing import Any

from ray.data.block import BlockMetadata
from ray.data.datasource import Datasink, Datasource, ReadTask
from typing_extensions import override

from ..files.part_files import PartFiles, PartSummary
from .ray_rows import InputRows

# Of a part file, in memory: many row groups, and no more than a task can hold.
_PART_BYTES = 128 * 1024 * 1024


class RowSource(Datasource):
    """Reads each file in a task of its own, which gives its rows out as they are read."""

    def __init__(self, rows: InputRows) -> None:
        super().__init__()
        self._rows = rows

    @override
    def estimate_inmemory_data_size(self) -> int | None:
        return None

    @override
    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        rows = self._rows
        unknown = BlockMetadata(None, None, None, None)
        return [
            ReadTask(functools.partial(rows.tables, place), unknown) for place in rows.files.places
        ]


class PartSink(Datasink[PartSummary]):
    """Writes tables to part files, in their order."""

    def __init__(self, parts: PartFiles, summary: PartSummary) -> None:
        """Say where to write; `summary` gets the counts of all parts once they are written."""
        super().__init__()
        self._parts = parts
        self._summary = summary
        self.written = 0
        """Parts, once all are written."""

    @property
    @override
    def min_bytes_per_write(self) -> int:
        return _PART_BYTES

    @override
    def write(self, blocks: Iterable[Any], ctx: Any) -> PartSummary:
        # A task that runs again, because its node was lost, writes the same file once more.
        return self._parts.write(ctx.task_idx, blocks)

    @override
    def on_write_complete(self, write_result: Any) -> None:
        for part in write_result.write_returns:
            self._summary.merge(part)
        self.written = len(write_result.write_returns)
