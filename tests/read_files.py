"""Files of every input format, and reading them through the package."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from twinhead.client import FileError
from twinhead.client.files.row_reader import open_reader

TEXTS = [
    "The goalkeeper saved two penalties.",
    'A "quiet" start, then a storm',
    "Die Bäckerei öffnet früh 🥐",
    "  spaces around  ",
    "tab\there, \u2028 and a line separator",
]


ROWS = [{"id": str(n), "text": text} for n, text in enumerate(TEXTS, 1)]


FORMATS = ["txt", "csv", "tsv", "jsonl", "parquet", "arrow"]


TEXT_FORMATS = ["txt", "csv", "tsv", "jsonl"]
ZSTD = pa.Codec("zstd")
# How data may be compressed, made without any code of the package.
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": lambda data: ZSTD.compress(data, asbytes=True),
}


def encoded(file_format: str, rows: list[dict]) -> bytes:
    """Rows as a file of a format, made without any code of the package."""
    if file_format == "txt":
        return "".join(row["text"] + "\n" for row in rows).encode()
    if file_format in ("csv", "tsv"):
        text = io.StringIO(newline="")
        mark = "," if file_format == "csv" else "\t"
        writer = csv.DictWriter(text, list(rows[0]), delimiter=mark)
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if file_format == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    return as_parquet(pa.Table.from_pylist(rows)) if file_format == "parquet" else as_arrow(rows)


def as_parquet(table: pa.Table, **options) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def as_arrow(rows: list[dict] | pa.Table, *, stream: bool = False, rows_at_once=None) -> bytes:
    """Rows as an Arrow IPC file, or a stream."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    sink = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table, rows_at_once)
    return sink.getvalue()


def rows_of(file_format: str, rows: list[dict]) -> list[dict]:
    """What a format keeps of rows."""
    return [{"text": row["text"]} for row in rows] if file_format == "txt" else rows


def saved(folder: Path, name: str, data: bytes | str) -> str:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def read(
    path: str | list[str],
    *,
    file_format: str | None = None,
    column: str | None = None,
    encoding: str = "utf-8",
    header: bool = True,
) -> tuple[list[str], list[dict]]:
    texts: list[str] = []
    rows: list[dict] = []
    with open_reader(path, file_format, column, encoding, header) as reader:
        for batch in reader.batches():
            assert batch.first_row == len(texts) + 1
            texts += batch.texts
            rows += batch.as_dicts()
    return texts, rows


def read_to_fault(path: str | list[str], **options) -> tuple[list[str], str]:
    """The texts given out before the fault, and what is said of it."""
    texts: list[str] = []
    with pytest.raises(FileError) as caught, open_reader(path, **options) as reader:  # noqa: PT012
        for batch in reader.batches():
            texts += batch.texts
    return texts, str(caught.value)


def lines_of(path: str, column: str | None = None) -> list[list[int] | None]:
    """Of each batch the lines that its rows end on."""
    with open_reader(path, None, column, "utf-8") as reader:
        batches = list(reader.batches())
    assert all(batch.lines is None or len(batch.lines) == len(batch.texts) for batch in batches)
    return [None if batch.lines is None else list(batch.lines) for batch in batches]
