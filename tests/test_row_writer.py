"""Labelled rows to files: what is kept of each format, and when a file appears."""

import csv
import datetime
import gzip
import importlib.util
import io
import json
import os
import stat
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from twinhead.client import FileError
from twinhead.client.row_batch import MAX_ROWS, RowBatch
from twinhead.client.row_reader import open_reader
from twinhead.client.row_writer import Layout, OutputFile

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
OUTPUTS = ["csv", "jsonl", "parquet"]


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
    with open_reader(str(source), None, "text", "utf-8") as reader:
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
        case ".csv":
            with path.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
                writer.writerow(rows[0])
                writer.writerows(row.values() for row in rows)
        case ".jsonl":
            path.write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def load(path: Path, data: bytes | None = None) -> list[dict]:
    """The rows of a file, read without any code of the package."""
    data = path.read_bytes() if data is None else data
    if path.suffix == ".gz":
        return load(path.with_suffix(""), gzip.decompress(data))
    match path.suffix:
        case ".csv":
            return list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))
        case ".jsonl":
            return [json.loads(line) for line in data.decode().split("\n")[:-1]]
    return pq.read_table(io.BytesIO(data)).to_pylist()


def text_rows(texts: list[str], count: int) -> list[dict]:
    return [{"id": f"{n:03}", "text": texts[n % len(texts)], "": "x"} for n in range(count)]


def expected_label(number: int, file_format: str) -> dict:
    """The new columns of a row, as a format holds them."""
    row = {name: column[0].as_py() for name, column in new_columns(number, 1).items()}
    if file_format == "parquet":
        return row
    score = row["topic_score"]
    if file_format == "jsonl":
        return {**row, "topic_score": None if score is None else round(score, 4)}
    cells = {name: "" if value is None else str(value) for name, value in row.items()}
    cells["topic_score"] = "" if score is None else f"{score:.4f}"
    return {**cells, "truncated": cells["truncated"].lower()}


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("target", OUTPUTS)
@pytest.mark.parametrize("source", ["txt", "csv", "jsonl", "parquet"])
def test_columns_values_and_order_are_kept(tmp_path, source, target, ending):
    texts = TEXTS if source == "txt" else TEXTS + LINES
    rows = text_rows(texts, 2 * MAX_ROWS + 7)
    if source == "txt":
        rows = [{"text": row["text"]} for row in rows]
    path = save(tmp_path / f"in.{source}", rows)
    output = tmp_path / f"out.{target}{ending}"
    convert(path, output)
    written = load(output)
    expected = [{**row, **expected_label(n, target)} for n, row in enumerate(rows, 1)]
    assert written == expected
    assert [list(row) for row in written] == [list(row) for row in expected]
    # What is written can be labelled in its turn.
    with open_reader(str(output), None, "text", "utf-8") as reader:
        texts_again = [text for batch in reader.batches() for text in batch.texts]
    assert texts_again == [row["text"] for row in rows]


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


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_parquet_keeps_types_and_nulls(tmp_path, ending):
    pq.write_table(TYPED, tmp_path / "in.parquet")
    source = tmp_path / f"in.parquet{ending}"
    if ending:
        source.write_bytes(gzip.compress((tmp_path / "in.parquet").read_bytes()))
    convert(source, tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.schema == pa.schema([*TYPED.schema, *NEW])
    # NaN differs from itself: compare that column as text.
    assert written.select(TYPED.column_names).drop("ratio") == TYPED.drop("ratio")
    assert repr(written["ratio"].to_pylist()) == repr(TYPED["ratio"].to_pylist())


def test_parquet_row_groups_with_other_dictionaries_are_kept(tmp_path):
    values = [f"value {n // 100}" for n in range(1000)]
    chunks = [pa.array(values[n : n + 100]).dictionary_encode() for n in range(0, 1000, 100)]
    table = pa.table({"text": pa.chunked_array(chunks)})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=100)
    convert(tmp_path / "in.parquet", tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written["text"].to_pylist() == values
    assert written.schema.field("text").type == table.schema.field("text").type


def test_parquet_values_become_json_values(tmp_path):
    pq.write_table(TYPED.drop(["at", "raw"]), tmp_path / "in.parquet")
    convert(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    first, second, third = load(tmp_path / "out.jsonl")
    assert (first["id"], second["id"], third["id"]) == (7, None, -1)
    assert (first["tags"], second["tags"], third["tags"]) == (["a", "b"], [], None)
    assert (first["meta"], second["meta"]) == ({"k": 1, "v": [1.5]}, None)
    assert (first["day"], first["price"], first["flag"]) == ("2024-02-29", "1.50", True)
    assert "NaN" not in (tmp_path / "out.jsonl").read_text()  # JSON has no such value
    assert (first["ratio"], second["ratio"]) == (None, 0.1)


def test_parquet_values_become_csv_cells(tmp_path):
    pq.write_table(TYPED.drop(["at", "raw", "flag"]), tmp_path / "in.parquet")
    convert(tmp_path / "in.parquet", tmp_path / "out.csv")
    first, second, _ = load(tmp_path / "out.csv")
    assert (first["id"], first["day"], first["price"]) == ("7", "2024-02-29", "1.50")
    assert json.loads(first["tags"]) == ["a", "b"]
    assert json.loads(first["meta"]) == {"k": 1, "v": [1.5]}
    assert (second["id"], second["text"], second["meta"]) == ("", "", "")


@pytest.mark.parametrize("target", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "values",
    [
        pa.array([2**61], pa.timestamp("us")),  # Python has no year 75000
        pa.Array.from_buffers(  # not UTF-8
            pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")]
        ),
    ],
    ids=["far future", "not UTF-8"],
)
def test_parquet_values_that_text_cannot_hold_are_told(tmp_path, values, target):
    pq.write_table(pa.table({"text": ["one"], "odd": values}), tmp_path / "in.parquet")
    output = OutputFile(str(tmp_path / f"out.{target}"), None)
    with pytest.raises(FileError, match=f"rows 1 to 1 cannot be written as {target}: "):
        write_rows(tmp_path / "in.parquet", output)
    output.abandon()
    convert(tmp_path / "in.parquet", tmp_path / "out.parquet")  # types of its own hold all


@pytest.mark.parametrize("target", ["csv", "jsonl"])
def test_nanoseconds_are_kept_or_refused_but_never_cut_off(tmp_path, target):
    """Python has none. pyarrow reads them as pandas' timestamps, or not at all without pandas."""
    values = pa.array([1], pa.timestamp("ns"))
    pq.write_table(pa.table({"text": ["one"], "odd": values}), tmp_path / "in.parquet")
    output = OutputFile(str(tmp_path / f"out.{target}"), None)
    if importlib.util.find_spec("pandas") is None:
        with pytest.raises(FileError, match=f"rows 1 to 1 cannot be written as {target}: "):
            write_rows(tmp_path / "in.parquet", output)
        output.abandon()
    else:
        write_rows(tmp_path / "in.parquet", output)
        output.complete()
        assert "00:00:00.000000001" in (tmp_path / f"out.{target}").read_text()


def test_json_lines_keep_nested_values_key_order_and_rows_that_differ(tmp_path):
    rows = [
        {"z": {"b": [1, {"c": None}], "a": 2**70}, "text": "one", "a": 1.0},
        {"text": "two"},
        {"text": None, "ü": "ä\u2028", "z": [], "empty": {}},
    ]
    convert(save(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl")
    written = load(tmp_path / "out.jsonl")
    for number, (row, given) in enumerate(zip(written, rows, strict=True), 1):
        assert list(row) == [*given, *NEW.names]
        assert row == {**given, **expected_label(number, "jsonl")}
    assert "ä" in (tmp_path / "out.jsonl").read_text(encoding="utf-8")  # readable, not escaped


def test_json_lines_are_strict_also_where_the_input_is_not(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "one", "a": NaN, "b": [{"c": -Infinity}], "d": 2}')
    convert(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    written = (tmp_path / "out.jsonl").read_text()
    row = json.loads(written, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (row["a"], row["b"], row["d"]) == (None, [{"c": None}], 2)


def test_json_lines_become_csv_with_nested_values_as_json(tmp_path):
    rows = [{"text": "one", "n": 1, "m": {"ü": [1]}}, {"n": None, "text": "two"}]
    convert(save(tmp_path / "in.jsonl", rows), tmp_path / "out.csv")
    first, second = load(tmp_path / "out.csv")
    assert list(first) == ["text", "n", "m", *NEW.names]
    assert (first["n"], first["m"]) == ("1", '{"ü": [1]}')
    assert (second["text"], second["n"], second["m"]) == ("two", "", "")


@pytest.mark.parametrize("target", ["csv", "parquet"])
def test_a_later_json_row_with_another_field_is_told(tmp_path, target):
    rows = [{"text": f"word {n}"} for n in range(MAX_ROWS + 5)]
    rows[3]["late"] = 1  # among the first rows, any field is welcome
    rows.append({"text": "odd", "later": 2})
    output = OutputFile(str(tmp_path / f"out.{target}"), None)
    with pytest.raises(FileError) as caught:
        write_rows(save(tmp_path / "in.jsonl", rows), output)
    message = f"row {MAX_ROWS + 6} has the field 'later', which the first rows have not; write JSON"
    assert str(caught.value).startswith(message)
    assert "-o NAME.jsonl" in str(caught.value)
    partial = output.abandon()
    assert partial is not None
    kept = load(tmp_path / f"out.{target}", partial.read_bytes())
    assert [row["text"] for row in kept] == [f"word {n}" for n in range(MAX_ROWS)]
    assert [row["late"] for row in kept[:5]] == (
        ["", "", "", "1", ""] if target == "csv" else [None, None, None, 1, None]
    )


@pytest.mark.parametrize(
    ("first", "later", "kind"),
    [
        (1, 2, pa.int64()),
        (1.5, 2, pa.float64()),
        (None, "words", pa.string()),
        (True, None, pa.bool_()),
        ([1], [], pa.list_(pa.int64())),
        ({"a": 1, "b": [{"c": 2}]}, {"b": [{"c": None}], "a": None}, None),
        ({"a": 1}, None, pa.struct([("a", pa.int64())])),
    ],
)
def test_json_lines_become_typed_parquet_columns(tmp_path, first, later, kind):
    rows = [{"text": "a", "x": first}] * MAX_ROWS + [{"text": "b", "x": later}]
    convert(save(tmp_path / "in.jsonl", rows), tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written["x"].to_pylist() == [first] * MAX_ROWS + [later]
    if kind is not None:
        assert written.schema.field("x").type == kind


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (1, "one"),
        (1, 2.5),
        (1, 2**70),
        (True, 1),
        ([1], [2.5]),
        ([1], ["one"]),
        ("one", 1),
        (1.5, 2**60 + 1),
        ({"a": 1}, {"b": 1}),
        ({"a": 1}, {"a": 1.5}),
        ([{"a": 1}], [{"a": 1, "b": 1}]),
        (None, 1),
    ],
)
def test_parquet_loses_nothing_of_a_later_json_row_without_a_word(tmp_path, first, later):
    rows = [{"text": "a", "x": first}] * MAX_ROWS + [{"text": "b", "x": later}]
    output = OutputFile(str(tmp_path / "out.parquet"), None)
    message = f"rows {MAX_ROWS + 1} to {MAX_ROWS + 1}: the column 'x' is not .* throughout.*jsonl"
    with pytest.raises(FileError, match=message):
        write_rows(save(tmp_path / "in.jsonl", rows), output)
    partial = output.abandon()
    assert pq.read_table(partial)["x"].to_pylist() == [first] * MAX_ROWS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "one"], "the column 'x' mixes types in the first rows.*-o NAME.jsonl"),
        ([{"a": 1}, {"a": "b"}], "the column 'x' mixes types in the first rows.*-o NAME.jsonl"),
        ([2**70, 1], "the column 'x' mixes types in the first rows.*-o NAME.jsonl"),
        ([{}, {}], "rows 1 to 2 cannot be written as parquet: .*'x'"),
    ],
)
def test_json_values_that_parquet_cannot_hold_are_told(tmp_path, values, message):
    rows = [{"text": "a", "x": value} for value in values]
    output = OutputFile(str(tmp_path / "out.parquet"), None)
    with pytest.raises(FileError, match=message):
        write_rows(save(tmp_path / "in.jsonl", rows), output)
    assert output.abandon() is None
    assert list(tmp_path.glob("out.*")) == []


def deepest(works: Callable[[int], bool]) -> int:
    """The greatest depth that works, by bisection."""
    low, high = 1, 100_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if works(middle) else (low, middle)
    return low


@pytest.mark.parametrize("target", ["csv", "jsonl"])
def test_json_that_can_be_read_and_is_too_deep_to_write_is_told(tmp_path, target):
    path = tmp_path / "in.jsonl"

    def works(depth: int) -> bool:
        path.write_text('{"text": "a", "x": ' + "[" * depth + "]" * depth + "}\n")
        output = OutputFile(str(tmp_path / f"out.{target}"), None)
        try:
            write_rows(path, output)
        except FileError:  # and no other error
            return False
        finally:
            output.abandon()
        return True

    assert 100 < deepest(works) < 99_999


@pytest.mark.parametrize("source", ["csv", "jsonl", "parquet"])
def test_parquet_embeddings_are_fixed_size_lists_of_float32(tmp_path, source):
    new = pa.schema([*NEW, ("embedding", VECTOR)])
    rows = text_rows(TEXTS, MAX_ROWS + 4)
    convert(save(tmp_path / f"in.{source}", rows), tmp_path / "out.parquet", new)
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.schema.field("embedding").type == VECTOR
    assert written["embedding"].to_pylist() == [
        None if number % 3 == 0 else [number, 0.5, -1.25] for number in range(1, len(rows) + 1)
    ]


def test_json_embeddings_are_lists(tmp_path):
    new = pa.schema([*NEW, ("embedding", VECTOR)])
    convert(save(tmp_path / "in.csv", text_rows(TEXTS, 3)), tmp_path / "out.jsonl", new)
    vectors = [row["embedding"] for row in load(tmp_path / "out.jsonl")]
    assert vectors == [[1, 0.5, -1.25], [2, 0.5, -1.25], None]


def test_a_long_parquet_file_has_several_row_groups(tmp_path):
    rows = [{"text": f"word {n}"} for n in range(20_000)]
    convert(save(tmp_path / "in.jsonl", rows), tmp_path / "out.parquet")
    assert pq.ParquetFile(tmp_path / "out.parquet").metadata.num_row_groups == 3
    assert [row["text"] for row in load(tmp_path / "out.parquet")] == [r["text"] for r in rows]


@pytest.mark.parametrize("source", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("target", OUTPUTS)
def test_no_rows_make_a_file_all_the_same(tmp_path, source, target):
    path = tmp_path / f"in.{source}"
    if source == "parquet":
        pq.write_table(pa.schema([("text", pa.string())]).empty_table(), path)
    else:
        path.write_text("text\n" if source == "csv" else "\n")
    convert(path, tmp_path / f"out.{target}")
    assert load(tmp_path / f"out.{target}") == []
    names = [*([] if source == "jsonl" else ["text"]), *NEW.names]
    if target == "parquet":
        assert pq.read_schema(tmp_path / "out.parquet").names == names
    elif target == "csv" and source != "jsonl":
        assert (tmp_path / "out.csv").read_text() == ",".join(names) + "\n"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "csv.gz", "jsonl.gz", "parquet.gz"])
def test_equal_rows_are_equal_bytes(tmp_path, ending):
    path = save(tmp_path / "in.csv", text_rows(TEXTS, 600))
    for name in ("first", "second name"):
        convert(path, tmp_path / f"{name}.{ending}")
    written = (tmp_path / f"first.{ending}").read_bytes()
    assert written == (tmp_path / f"second name.{ending}").read_bytes()
    if ending.endswith(".gz"):
        assert written[3:8] == bytes(5)  # neither a name nor a time, which would differ tomorrow


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "csv.gz", "jsonl.gz", "parquet.gz"])
def test_a_file_appears_only_when_it_is_complete(tmp_path, ending):
    target = tmp_path / f"out.{ending}"
    target.write_text("of yesterday")
    output = OutputFile(str(target), None)
    write_rows(save(tmp_path / "in.csv", text_rows(TEXTS, 600)), output)
    assert target.read_text() == "of yesterday"
    assert output.partial == tmp_path / f"out.{ending}.partial"
    assert output.partial.exists()
    output.complete()
    assert len(load(target)) == output.rows == 600
    assert not output.partial.exists()


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "csv.gz", "jsonl.gz", "parquet.gz"])
def test_after_an_abort_finished_rows_are_readable_under_the_partial_name(tmp_path, ending):
    target = tmp_path / f"out.{ending}"
    output = OutputFile(str(target), None)
    rows = text_rows(TEXTS, 600)
    write_rows(save(tmp_path / "in.csv", rows), output)
    partial = output.abandon()
    assert partial == tmp_path / f"out.{ending}.partial"
    assert not target.exists()
    written = load(target, partial.read_bytes())
    assert [(row["id"], row["text"]) for row in written] == [(r["id"], r["text"]) for r in rows]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "csv.gz"])
@pytest.mark.parametrize("begun", [True, False])
def test_an_abort_before_the_first_row_leaves_nothing(tmp_path, ending, begun):
    output = OutputFile(str(tmp_path / f"out.{ending}"), None)
    assert [path.name for path in tmp_path.iterdir()] == [f"out.{ending}.partial"]
    if begun:
        output.begin(Layout(["text"], None, NEW))
    assert output.abandon() is None
    assert list(tmp_path.iterdir()) == []


def test_rows_of_an_earlier_run_are_overwritten_only_by_force(tmp_path):
    partial = tmp_path / "out.csv.partial"
    partial.write_text("of yesterday")
    with pytest.raises(FileError) as caught:
        OutputFile(str(tmp_path / "out.csv"), None, force=False)
    assert str(caught.value) == (
        f"{partial} has finished rows of an earlier run, or another run writes it; "
        "move it away, or say --force to overwrite it"
    )
    assert partial.read_text() == "of yesterday"
    OutputFile(str(tmp_path / "out.csv"), None, force=True).abandon()
    assert not partial.exists()


def test_rows_come_after_the_layout(tmp_path):
    output = OutputFile(str(tmp_path / "out.csv"), None)
    with pytest.raises(RuntimeError, match="begin"):
        output.write(RowBatch(1, ["a"], [{"text": "a"}], 0), new_columns(1, 1))
    output.abandon()


@pytest.mark.parametrize("link", ["same", "another spelling", "symbolic", "hard", "partial"])
def test_the_input_is_never_written_to(tmp_path, link):
    source = tmp_path / ("out.csv.partial" if link == "partial" else "in.csv")
    save(tmp_path / "in.csv", text_rows(TEXTS, 3)).rename(source)
    target = tmp_path / ("in.csv" if link == "same" else "out.csv")
    if link == "another spelling":
        (tmp_path / "folder").mkdir()
        target = tmp_path / "folder" / ".." / "in.csv"
    elif link == "symbolic":
        target.symlink_to(source)
    elif link == "hard":
        target.hardlink_to(source)
    before = source.read_bytes()
    with pytest.raises(FileError) as caught:
        OutputFile(str(target), None, str(source))
    assert str(caught.value) == f"{target}: is the input; choose another output"
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "shown"), [("out.xlsx", "xlsx"), ("out", "(no suffix)"), ("out.txt", "txt")]
)
def test_a_format_that_is_not_written_is_refused(tmp_path, name, shown):
    path = tmp_path / name
    with pytest.raises(FileError) as caught:
        OutputFile(str(path), None)
    assert str(caught.value) == (
        f"{path}: cannot write the format {shown}; say --output-format csv|jsonl|parquet"
    )
    assert list(tmp_path.iterdir()) == []
    OutputFile(str(path), "csv").abandon()


@pytest.mark.parametrize(
    ("below", "reason"), [("nothing", "No such file or directory"), ("a file", "Not a directory")]
)
def test_a_place_that_cannot_be_written_to_is_told(tmp_path, below, reason):
    folder = tmp_path / "folder"
    if below == "a file":
        folder.write_text("")
    with pytest.raises(FileError) as caught:
        OutputFile(str(folder / "out.csv"), None)
    assert str(caught.value) == f"{folder / 'out.csv'}: cannot write there: {reason}"


@pytest.mark.parametrize("source", [None, "in.csv"])
def test_a_folder_is_not_replaced(tmp_path, source):
    target = tmp_path / "out.csv"
    target.mkdir()
    with pytest.raises(FileError) as caught:
        OutputFile(str(target), None, source)
    assert str(caught.value) == f"{target}: is a folder; say a file's name"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_pipe_or_device_is_not_replaced(tmp_path):
    target = tmp_path / "out.csv"
    os.mkfifo(target)
    with pytest.raises(FileError) as caught:
        OutputFile(str(target), None)
    assert str(caught.value) == f"{target}: is not a file; say - for standard output"
    assert stat.S_ISFIFO(target.stat().st_mode)


def test_a_name_that_is_taken_in_the_meantime_is_told(tmp_path):
    target = tmp_path / "out.csv"
    output = OutputFile(str(target), None)
    write_rows(save(tmp_path / "in.csv", text_rows(TEXTS, 3)), output)
    target.mkdir()
    with pytest.raises(FileError, match=r"out\.csv\.partial: Is a directory"):
        output.complete()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("rows", [3, 9000])  # so few that nothing is written before the end
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "csv.gz", "jsonl.gz", "parquet.gz"])
def test_a_full_disk_is_told(tmp_path, ending, rows):
    (tmp_path / f"out.{ending}.partial").symlink_to("/dev/full")
    output = OutputFile(str(tmp_path / f"out.{ending}"), None)
    with pytest.raises(FileError, match=rf"out\.{ending}\.partial: No space left on device"):  # noqa: PT012
        write_rows(save(tmp_path / "in.csv", text_rows(TEXTS, rows)), output)
        output.complete()
    assert output.abandon() is None
    assert not (tmp_path / f"out.{ending}").exists()
