"""When a file appears, where it may not, and what is in it."""

import importlib.util
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from twinhead.client import FileError
from twinhead.client.files.output_file import OutputFile
from twinhead.client.files.row_batch import MAX_ROWS, RowBatch
from twinhead.client.files.row_reader import open_reader
from twinhead.client.files.row_writer import Layout
from written_files import (
    ENDINGS,
    LINES,
    NEW,
    OUTPUTS,
    TEXTS,
    VECTOR,
    convert,
    expected_label,
    load,
    new_columns,
    save,
    text_rows,
    write_rows,
)


@pytest.mark.parametrize("target", ENDINGS)
@pytest.mark.parametrize("source", ["txt", "csv", "tsv", "jsonl", "parquet", "arrow"])
def test_columns_values_and_order_are_kept(tmp_path, source, target):
    texts = TEXTS if source == "txt" else TEXTS + LINES
    rows = text_rows(texts, MAX_ROWS + 7 if source == target else 99)
    if source == "txt":
        rows = [{"text": row["text"]} for row in rows]
    path = save(tmp_path / f"in.{source}", rows)
    output = tmp_path / f"out.{target}"
    convert(path, output)
    written = load(output)
    expected = [
        {**row, **expected_label(n, target.partition(".")[0])} for n, row in enumerate(rows, 1)
    ]
    assert written == expected
    assert [list(row) for row in written] == [list(row) for row in expected]
    # What is written can be labelled in its turn.
    with open_reader(str(output), column="text") as reader:
        texts_again = [text for batch in reader.batches() for text in batch.texts]
    assert texts_again == [row["text"] for row in rows]


@pytest.mark.parametrize("source", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("target", [*OUTPUTS, "jsonl.zst"])
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
    elif target == "arrow":
        assert pa.ipc.open_file(tmp_path / "out.arrow").schema.names == names
    elif target == "csv" and source != "jsonl":
        assert (tmp_path / "out.csv").read_text() == ",".join(names) + "\n"


@pytest.mark.parametrize("ending", ENDINGS)
def test_equal_rows_are_equal_bytes_however_they_are_cut(tmp_path, ending):
    """Also where values are missing, and memory happens to hold something in their place."""
    rows = 9000  # more than a Parquet row group
    new = pa.schema([*NEW, ("embedding", VECTOR)])
    table = pa.table(
        {
            "text": pa.array([None if n % 7 == 0 else f"text {n}" for n in range(rows)]),
            "n": pa.array(np.arange(rows), mask=np.arange(rows) % 5 == 0),
            "kind": pa.array([f"kind {n // 500}" for n in range(rows)]).dictionary_encode(),
            "tags": pa.array([None if n % 3 == 0 else ["a"] * (n % 4) for n in range(rows)]),
            "view": pa.array([None if n % 3 == 0 else "v" * (n % 30) for n in range(rows)]).cast(
                pa.string_view()
            ),
        }
    )
    labels = new_columns(1, rows, new)
    for name, lengths in (("first", [4096]), ("second", [999, 1, 3500]), ("third", [rows])):
        output = OutputFile(str(tmp_path / f"{name}.{ending}"), None)
        output.begin(Layout(table.column_names, table.schema, new))
        start = 0
        for length in itertools.cycle(lengths):
            part = table.slice(start, length).combine_chunks().to_batches()
            if not part:
                break
            (record,) = part
            texts = [text or "" for text in record["text"].to_pylist()]
            cut = {name: column.slice(start, length) for name, column in labels.items()}
            output.write(RowBatch(start + 1, texts, record, 0), cut)
            start += length
        output.complete()
    first, *others = [
        (tmp_path / f"{name}.{ending}").read_bytes() for name in ("first", "second", "third")
    ]
    assert others == [first, first]
    assert len(load(tmp_path / f"first.{ending}")) == rows
    if ending not in ("parquet", "arrow", "parquet.gz"):
        matrices = [(tmp_path / f"{name}.npy").read_bytes() for name in ("first", "second")]
        assert matrices[0] == matrices[1]


@pytest.mark.parametrize("ending", ENDINGS)
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


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("after", ["the start", "the layout", "rows", "a fault in the end"])
def test_an_abandoned_file_leaves_nothing(tmp_path, ending, after):
    source = save(tmp_path / "in.csv", text_rows(TEXTS, 9000))
    output = OutputFile(str(tmp_path / f"out.{ending}"), None)
    if after == "the layout":
        output.begin(Layout(["text"], None, pa.schema([*NEW, ("embedding", VECTOR)])))
    if after in ("rows", "a fault in the end"):
        write_rows(source, output, pa.schema([*NEW, ("embedding", VECTOR)]))
    if after == "a fault in the end":
        (tmp_path / f"out.{ending}").mkdir()
        with pytest.raises(FileError, match="Is a directory"):
            output.complete()
        (tmp_path / f"out.{ending}").rmdir()
    output.abandon()
    left = {path.name for path in tmp_path.iterdir()} - {"out.npy"}  # which may be whole
    assert left == {"in.csv"}


def test_rows_come_after_the_layout(tmp_path):
    output = OutputFile(str(tmp_path / "out.csv"), None)
    with pytest.raises(RuntimeError, match="begin"):
        output.write(RowBatch(1, ["a"], [{"text": "a"}], 0), new_columns(1, 1))
    output.abandon()


@pytest.mark.parametrize("link", ["same", "uri", "another spelling", "symbolic", "hard", "partial"])
def test_the_input_is_never_written_to(tmp_path, link):
    source = tmp_path / ("out.csv.partial" if link == "partial" else "in.csv")
    save(tmp_path / "in.csv", text_rows(TEXTS, 3)).rename(source)
    target = tmp_path / ("in.csv" if link == "same" else "out.csv")
    if link == "another spelling":
        (tmp_path / "folder").mkdir()
        target = tmp_path / "folder" / ".." / "in.csv"
    elif link == "uri":
        target = f"file://{source}"
    elif link == "symbolic":
        target.symlink_to(source)
    elif link == "hard":
        target.hardlink_to(source)
    before = source.read_bytes()
    with pytest.raises(FileError) as caught:
        OutputFile(str(target), None, [str(tmp_path / "other.csv"), str(source)])
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
        f"{path}: cannot write the format {shown}; say --output-format csv|tsv|jsonl|parquet|arrow"
    )
    assert list(tmp_path.iterdir()) == []
    OutputFile(str(path), "csv").abandon()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("rows", [3, 9000])  # so few that nothing is written before the end
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_is_told(tmp_path, ending, rows):
    (tmp_path / f"out.{ending}.partial").symlink_to("/dev/full")
    output = OutputFile(str(tmp_path / f"out.{ending}"), None)
    with pytest.raises(FileError, match=rf"out\.{ending}\.partial: No space left on device"):  # noqa: PT012
        write_rows(save(tmp_path / "in.csv", text_rows(TEXTS, rows)), output)
        output.complete()
    output.abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


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


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "jsonl.zst"])
def test_embeddings_are_a_matrix_beside_a_text_format(tmp_path, ending):
    rows = text_rows(TEXTS, 9)
    new = pa.schema([*list(NEW)[:2], ("p_embedding", VECTOR), *list(NEW)[2:]])
    source = save(tmp_path / "in.csv", rows)
    output = OutputFile(str(tmp_path / f"out.{ending}"), None)
    output.begin(Layout(["text"], None, new))
    assert output.embeddings_path == str(tmp_path / "out.npy")
    assert not (tmp_path / "out.npy").exists()
    output.abandon()
    output = OutputFile(str(tmp_path / f"out.{ending}"), None)
    with open_reader(str(source), column="text") as reader:
        output.begin(Layout(reader.columns, reader.schema, new))
        for batch in reader.batches():
            labels = new_columns(1, 9, pa.schema([*NEW, ("embedding", VECTOR)]))
            output.write(
                batch,
                {
                    f"p_{name}" if name == "embedding" else name: column
                    for name, column in labels.items()
                },
            )
    output.complete()
    assert list(load(tmp_path / f"out.{ending}")[0]) == [*rows[0], *NEW.names]
    matrix = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert (matrix.shape, matrix.dtype) == ((9, 3), np.float32)
    for number, vector in enumerate(matrix, 1):
        expected = [np.nan] * 3 if number % 3 == 0 else [number, 0.5, -1.25]
        np.testing.assert_array_equal(vector, np.array(expected, np.float32))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"in.csv", f"out.{ending}", "out.npy"}


def test_embeddings_have_no_place_in_text_on_standard_output(tmp_path):
    new = pa.schema([*NEW, ("embedding", VECTOR)])
    for file_format in ("csv", "jsonl"):
        output = OutputFile("-", file_format)
        assert output.partial is None
        with pytest.raises(FileError, match=r"embeddings have no place in .* on standard output"):
            output.begin(Layout(["text"], None, new))
        output.abandon()


def test_the_matrix_is_not_written_over_the_input_or_a_folder(tmp_path):
    new = pa.schema([*NEW, ("embedding", VECTOR)])
    (tmp_path / "out.npy").mkdir()
    output = OutputFile(str(tmp_path / "out.csv"), None)
    with pytest.raises(FileError, match=r"out\.npy: is a folder"):
        output.begin(Layout(["text"], None, new))
    output.abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_is_written_elsewhere(tmp_path, memory, ending):
    new = pa.schema([*NEW, ("embedding", VECTOR)])
    source = save(tmp_path / "in.csv", text_rows(TEXTS, 9))
    output = OutputFile(f"memory://folder/out.{ending}", None, str(source))
    write_rows(source, output, new)
    assert memory.find("/") == []
    output.complete()
    written = load(tmp_path / f"out.{ending}", memory.cat_file(f"/folder/out.{ending}"))
    assert [row["text"] for row in written] == (TEXTS * 2)[:9]
    beside = [] if ending.startswith(("parquet", "arrow")) else ["/folder/out.npy"]
    assert memory.find("/") == sorted([f"/folder/out.{ending}", *beside])
    with pytest.raises(FileError, match="is the input; choose another output"):
        OutputFile(f"memory:///folder/out.{ending}", None, f"memory://folder/out.{ending}")


@pytest.mark.parametrize("file_format", OUTPUTS)
def test_standard_output_takes_any_format_and_stays_open(tmp_path, monkeypatch, file_format):
    source = save(tmp_path / "in.csv", text_rows(TEXTS, 9))
    with (tmp_path / f"out.{file_format}").open("w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        output = OutputFile("-", file_format, str(source))
        write_rows(source, output)
        output.complete()
        assert not stdout.buffer.closed
    assert [row["text"] for row in load(tmp_path / f"out.{file_format}")] == (TEXTS * 2)[:9]


def test_closed_standard_output_is_told(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(FileError, match=r"^standard output is closed$"):
        OutputFile("-", None)
