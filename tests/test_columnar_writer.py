"""Rows of any input as typed columns, in groups that do not depend on batches."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from twinhead.client import FileError
from twinhead.client.files.columnar_writer import GROUP_CHARACTERS, GROUP_ROWS
from twinhead.client.files.output_file import OutputFile
from twinhead.client.files.row_batch import MAX_ROWS, RowBatch
from twinhead.client.files.row_writer import Layout
from written_files import NEW, convert, new_columns, save, write_rows


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
    output.complete()
    written = pq.read_table(tmp_path / "out.parquet")["x"].to_pylist()
    assert written == [first] * MAX_ROWS


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
    output.abandon()
    assert list(tmp_path.glob("out.*")) == []


def groups_of(tmp_path, texts: list[str], lengths: list[int]) -> list[int]:
    """Rows of each Parquet row group when `texts` are written in batches of such lengths."""
    output = OutputFile(str(tmp_path / "out.parquet"), None)
    output.begin(Layout(["id"], pa.schema([("id", pa.int64())]), NEW))
    start = 0
    for length in lengths:
        numbers = pa.record_batch({"id": range(start, start + length)})
        batch = RowBatch(start + 1, texts[start : start + length], numbers, 0)
        output.write(batch, new_columns(start + 1, length))
        start += length
    output.complete()
    assert start == len(texts)
    about = pq.ParquetFile(tmp_path / "out.parquet").metadata
    assert pq.read_table(tmp_path / "out.parquet")["id"].to_pylist() == list(range(start))
    return [about.row_group(number).num_rows for number in range(about.num_row_groups)]


def test_groups_end_at_rows_or_characters_and_not_at_batches(tmp_path):
    rows = 2 * GROUP_ROWS + 5
    few = ["a"] * rows
    expected = [GROUP_ROWS, GROUP_ROWS, 5]
    assert groups_of(tmp_path, few, [rows]) == expected
    assert groups_of(tmp_path, few, [GROUP_ROWS - 1, 2, GROUP_ROWS, 4]) == expected
    long = "x" * (GROUP_CHARACTERS // 4)
    texts = ["a", *[long] * 9, "b"]
    expected = [5, 4, 2]
    assert groups_of(tmp_path, texts, [11]) == expected
    assert groups_of(tmp_path, texts, [3, 1, 1, 1, 5]) == expected
    assert groups_of(tmp_path, ["a"] * GROUP_ROWS, [GROUP_ROWS]) == [GROUP_ROWS]
