"""The column to label is found, asked for, or not needed."""

import pyarrow as pa
import pytest
from read_files import as_parquet, encoded, read, read_to_fault, saved
from twinhead.client.files.file_reader import NO_COLUMN
from twinhead.client.files.row_batch import MAX_ROWS
from twinhead.client.files.row_reader import open_reader


@pytest.mark.parametrize(
    ("names", "asked", "chosen"),
    [
        (["id", "text"], None, "text"),
        (["Sentence", "id"], None, "Sentence"),
        (["id", "CONTENT"], None, "CONTENT"),
        (["remark"], None, "remark"),
        (["id", "text", "note"], "note", "note"),
        (["text", "sentence"], "sentence", "sentence"),
    ],
)
@pytest.mark.parametrize("file_format", ["csv", "jsonl", "arrow"])
def test_the_column_is_found(tmp_path, file_format, names, asked, chosen):
    row = {name: f"about {name}" for name in names}
    path = saved(tmp_path, f"in.{file_format}", encoded(file_format, [row]))
    assert read(path, column=asked) == ([f"about {chosen}"], [row])
    with open_reader(path, None, asked, "utf-8") as reader:
        list(reader.batches())
        assert reader.column == chosen


@pytest.mark.parametrize(
    ("names", "asked", "message"),
    [
        (["text", "sentence"], None, "which column is to be labelled? Say --column NAME; "),
        (["id", "remark"], None, "which column is to be labelled? Say --column NAME; "),
        (["id", "text"], "body", "there is no column 'body'; "),
        (["remark"], "text", "there is no column 'text'; "),
    ],
)
@pytest.mark.parametrize("file_format", ["csv", "jsonl", "arrow"])
def test_a_column_that_is_not_clear_is_asked_for(tmp_path, file_format, names, asked, message):
    row = dict.fromkeys(names, "hello")
    path = saved(tmp_path, f"in.{file_format}", encoded(file_format, [row]))
    listed = "there are " + ", ".join(repr(name) for name in names)
    assert read_to_fault(path, column=asked) == ([], f"{path}: {message}{listed}")


def test_of_very_many_columns_only_some_are_listed(tmp_path):
    path = saved(tmp_path, "in.csv", ",".join(f"c{n}" for n in range(40)) + "\n")
    _, message = read_to_fault(path)
    assert message.endswith("'c11' and 28 more")


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
@pytest.mark.parametrize("names", [["text", "n", "n"], ["text", "text"], ["a ", " a"]])
def test_two_columns_of_one_name_are_refused(tmp_path, file_format, names):
    if file_format == "csv":
        path = saved(tmp_path, "in.csv", ",".join(names) + "\n")
        names = [name.strip() for name in names]
    else:
        names = [name.strip() for name in names]
        table = pa.Table.from_arrays([pa.array(["a"])] * len(names), names=names)
        path = saved(tmp_path, "in.parquet", as_parquet(table))
    message = read_to_fault(path, column="text")[1]
    assert message == f"{path}: two columns are called {names[-1]!r}; rename one"


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "arrow"])
def test_without_a_column_rows_are_read_as_they_are(tmp_path, file_format):
    """Neither one of the usual names, nor one alone, nor one that is text."""
    for rows in (
        [{"text": "1", "sentence": "2"}, {"text": "3", "sentence": "4"}],
        [{"a": "1"}, {"a": "2"}],
    ):
        path = saved(tmp_path, f"in.{file_format}", encoded(file_format, rows))
        assert read(path, column=NO_COLUMN) == (["", ""], rows)


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_without_a_column_nothing_must_be_text(tmp_path, file_format):
    rows = [{"text": 1, "words": ["a", "b"]}, {"text": None, "words": []}]
    path = saved(tmp_path, f"in.{file_format}", encoded(file_format, rows))
    assert read(path, column=NO_COLUMN) == (["", ""], rows)


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "arrow"])
def test_without_a_column_batches_are_bounded_in_rows(tmp_path, file_format):
    rows = [{"words": f"word {n}"} for n in range(2 * MAX_ROWS + 1)]
    path = saved(tmp_path, f"in.{file_format}", encoded(file_format, rows))
    with open_reader(path, None, NO_COLUMN, "utf-8") as reader:
        sizes = [len(batch.as_dicts()) for batch in reader.batches()]
        assert reader.column in (None, NO_COLUMN)
    assert sizes == [MAX_ROWS, MAX_ROWS, 1]
