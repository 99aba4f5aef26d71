"""Writes JSON lines."""

from typing_extensions import override

from .cell_values import json_label_values, json_text
from .row_batch import RowBatch
from .row_writer import Labels, RowWriter


class JsonlWriter(RowWriter):
    """One JSON object a line, UTF-8."""

    @override
    def write(self, batch: RowBatch, labels: Labels) -> None:
        new = zip(*map(json_label_values, labels.values()), strict=True)
        lines = [
            json_text({**row, **dict(zip(labels, added, strict=True))})
            for row, added in zip(batch.as_dicts(), new, strict=True)
        ]
        self._stream.write(("\n".join(lines) + "\n").encode())

    @override
    def finish(self) -> None:
        self._stream.flush()
