"""Labelled rows of every output format: written through the package, read without it."""

import csv
import datetime
import gzip
import io
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
from twinhead.client.files.output_file import OutputFile
from twinhead.client.files.row_reader import open_reader
from twinhead.client.files.row_writer import Layout

NEW = pa.schema(
    [
        ("topic", pa.string()),
        ("topic_score", pa.float32()),
        ("truncated", pa.bool_()),
        ("error", pa.string()),
    ]
)


VECTOR = pa.list_(pa.float32(), 3)


# Every third row fails.
TEXTS = [
    "Plain words.",
    'A "quoted" word, and a comma',
    "Ünïcode 🥐 \u2028 \x85",
    "  spaces  ",
    "007",
    "tab\tand \\ backslash",
]


LINES = ["two\nlines", "Windows\r\nlines", "a lone\rreturn", "", "null", "\x0b\x0c"]


OUTPUTS = ["csv", "tsv", "jsonl", "parquet", "arrow"]
ENDINGS = [*OUTPUTS, "csv.gz", "tsv.zst", "jsonl.gz", "jsonl.zst", "parquet.gz"]


def new_columns(first: int, rows: int, schema: pa.Schema = NEW) -> dict[str, pa.Array]:
    """Labels that tell their row; rows 3, 6, 9 and so on failed."""
    numbers = range(first, first + rows)
    failed = [number % 3 == 0 for number in numbers]
    columns = {
        "topic": [f"label {number}" for number in numbers],
        "topic_score": [number / 100_000 + 0.5 for number in numbers],
        "embedding": [[number, 0.5, -1.25] for number in numbers],
        "truncated": [number % 2 == 0 for number in numbers],
    }
    columns = {
        name: [None if bad else value for bad, value in zip(failed, values, strict=True)]
        for name, values in columns.items()
    }
    columns["error"] = ["the sentence is empty" if bad else None for bad in failed]
    return {field.name: pa.array(columns[field.name], field.type) for field in schema}


def write_rows(source: Path | str, output: OutputFile, new: pa.Schema = NEW) -> None:
    """Write all of a file's rows, each with new columns."""
    with open_reader(str(source), column="text") as reader:
        output.begin(Layout(reader.columns, reader.schema, new))
        for batch in reader.batches():
            output.write(batch, new_columns(batch.first_row, len(batch.texts), new))


def convert(source: Path | str, target: Path | str, new: pa.Schema = NEW) -> None:
    output = OutputFile(str(target), None, str(source))
    write_rows(source, output, new)
    output.complete()


def save(path: Path, rows: list[dict]) -> Path:
    """Rows as a file, made without any code of the package."""
    match path.suffix:
        case ".txt":
            path.write_bytes("".join(row["text"] + "\n" for row in rows).encode())
        case ".csv" | ".tsv":
            mark = "," if path.suffix == ".csv" else "\t"
            with path.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.writer(stream, quoting=csv.QUOTE_ALL, delimiter=mark)
                writer.writerow(rows[0])
                writer.writerows(row.values() for row in rows)
        case ".jsonl":
            path.write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case ".arrow":
            feather.write_feather(pa.Table.from_pylist(rows), path)
    return path


def load(path: Path, data: bytes | None = None) -> list[dict]:
    """The rows of a file, read without any code of the package."""
    data = path.read_bytes() if data is None else data
    if path.suffix == ".gz":
        return load(path.with_suffix(""), gzip.decompress(data))
    if path.suffix == ".zst":
        stream = pa.input_stream(io.BytesIO(data), compression="zstd")
        return load(path.with_suffix(""), stream.read())
    match path.suffix:
        case ".csv" | ".tsv":
            mark = "," if path.suffix == ".csv" else "\t"
            text = io.StringIO(data.decode(), newline="")
            return list(csv.DictReader(text, strict=True, delimiter=mark))
        case ".jsonl":
            return [json.loads(line) for line in data.decode().split("\n")[:-1]]
        case ".arrow":
            return pa.ipc.open_file(io.BytesIO(data)).read_all().to_pylist()
    return pq.read_table(io.BytesIO(data)).to_pylist()


def text_rows(texts: list[str], count: int) -> list[dict]:
    return [{"id": f"{n:03}", "text": texts[n % len(texts)], "": "x"} for n in range(count)]


def expected_label(number: int, file_format: str) -> dict:
    """The new columns of a row, as a format holds them."""
    row = {name: column[0].as_py() for name, column in new_columns(number, 1).items()}
    if file_format in ("parquet", "arrow"):
        return row
    score = row["topic_score"]
    if file_format == "jsonl":
        return {**row, "topic_score": None if score is None else round(score, 4)}
    cells = {name: "" if value is None else str(value) for name, value in row.items()}
    cells["topic_score"] = "" if score is None else f"{score:.4f}"
    return {**cells, "truncated": cells["truncated"].lower()}


TYPED = pa.table(
    {
        "id": pa.array([7, None, -1], pa.int16()),
        "text": pa.array(["one", None, "two"]),
        "at": pa.array([0, 1_700_000_000_123_456_789, None], pa.timestamp("ns", tz="UTC")),
        "day": pa.array([datetime.date(2024, 2, 29), None, datetime.date(1, 1, 1)]),
        "tags": pa.array([["a", "b"], [], None], pa.list_(pa.string())),
        "meta": pa.array([{"k": 1, "v": [1.5]}, None, {"k": None, "v": None}]),
        "price": pa.array([Decimal("1.50"), None, Decimal("-2.25")], pa.decimal128(9, 2)),
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "raw": pa.array([b"\x00\xff", None, b""]),
        "flag": pa.array([True, None, False]),
        "ratio": pa.array([float("nan"), 0.1, None]),
    }
)
