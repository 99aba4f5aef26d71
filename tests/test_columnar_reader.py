"""Formats whose columns have types: what is text, what is kept, what is damaged."""

import pyarrow as pa
import pytest
from read_files import COMPRESS, ROWS, TEXTS, as_arrow, as_parquet, read, read_to_fault, saved
from twinhead.client.files.row_batch import MAX_CHARACTERS, MAX_ROWS
from twinhead.client.files.row_reader import open_reader

FORMATS = {"parquet": as_parquet, "arrow": as_arrow}


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_of_another_format_is_refused(tmp_path, name):
    path = saved(tmp_path, f"in.{name}", "id,text\n1,hello, this is CSV\n")
    said = f"{path}: not a readable {name.capitalize()} file: "
    assert read_to_fault(path)[1].startswith(said)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_in_damaged_compression_is_refused(tmp_path, name, ending):
    data = COMPRESS[ending](FORMATS[name](pa.Table.from_pylist(ROWS * 99)))
    path = saved(tmp_path, f"in.{name}{ending}", data[:-20])
    said = f"{path}: not a readable {name.capitalize()} file: the "
    message = read_to_fault(path)[1]
    assert message.startswith(said)
    assert message.endswith(" data is cut off or damaged")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1, 2]), "int64"),
        (pa.array([["a"], ["b"]]), "list<"),
        (pa.array([{"a": "b"}]), "struct<a: string>"),
        (pa.array([b"a", b"b"]), "binary"),
        (pa.array([1, 2]).dictionary_encode(), "int64"),
    ],
)
def test_a_column_that_is_not_text_is_refused(tmp_path, values, kind, name):
    path = saved(tmp_path, f"in.{name}", FORMATS[name](pa.table({"text": values})))
    assert read_to_fault(path)[1].startswith(f"{path}: column 'text' is not text but {kind}")


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_every_type_of_text_is_read_and_null_is_empty(tmp_path, kind, name):
    values = ["one", None, "two", "one"]
    array = (
        pa.array(values).dictionary_encode()
        if kind == "dictionary"
        else pa.array(values, getattr(pa, kind)())
    )
    table = pa.table({"id": [1, 2, 3, 4], "text": array})
    path = saved(tmp_path, f"in.{name}", FORMATS[name](table))
    texts, rows = read(path)
    assert texts == ["one", "", "two", "one"]
    assert rows == table.to_pylist()
    with open_reader(path) as reader:
        assert reader.schema == table.schema


@pytest.mark.parametrize("name", FORMATS)
def test_a_text_column_without_any_value_is_read(tmp_path, name):
    table = pa.table({"text": pa.nulls(2), "id": [1, 2]})
    assert read(saved(tmp_path, f"in.{name}", FORMATS[name](table)))[0] == ["", ""]


@pytest.mark.parametrize("name", FORMATS)
def test_nested_columns_beside_the_text_are_kept(tmp_path, name):
    rows = [{"text": "one", "deep": {"a": [{"b": None}]}}, {"text": "two", "deep": None}]
    path = saved(tmp_path, f"in.{name}", FORMATS[name](pa.Table.from_pylist(rows)))
    assert read(path) == (["one", "two"], rows)


def broken_text() -> pa.Array:
    """Text that is not UTF-8, as careless writers make it."""
    offsets = pa.py_buffer(b"\0\0\0\0\2\0\0\0")
    return pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff\xfe")])


@pytest.mark.parametrize("name", FORMATS)
def test_text_that_is_not_utf8_is_told_after_the_rows_before_it(tmp_path, name):
    words = [f"word {n}" for n in range(MAX_ROWS)]
    table = pa.table({"text": pa.chunked_array([words, broken_text()])})
    path = saved(tmp_path, f"in.{name}", FORMATS[name](table))
    texts, message = read_to_fault(path)
    assert texts == words
    assert message.startswith(f"{path}: damaged after row {MAX_ROWS}: ")
    assert "UTF" in message.upper().replace("-", "")


@pytest.mark.parametrize("name", FORMATS)
def test_batches_are_cut_by_characters_and_have_no_lines(tmp_path, name):
    rows = [{"text": text * (MAX_CHARACTERS // 2)} for text in ("x", "y", "z", "zz", "a")]
    path = saved(tmp_path, f"in.{name}", FORMATS[name](pa.Table.from_pylist(rows)))
    with open_reader(path) as reader:
        batches = list(reader.batches())
    assert [text[0] for batch in batches for text in batch.texts] == ["x", "y", "z", "z", "a"]
    assert all(sum(map(len, batch.texts)) <= MAX_CHARACTERS for batch in batches)
    assert [batch.first_row for batch in batches] == [1, 3, 4, 5]
    assert [row for batch in batches for row in batch.as_dicts()] == rows
    assert {batch.lines for batch in batches} == {None}


@pytest.mark.parametrize("name", FORMATS)
def test_compression_is_told_by_the_data_and_not_by_the_name(tmp_path, name):
    data = FORMATS[name](pa.Table.from_pylist(ROWS))
    assert read(saved(tmp_path, f"in.{name}", COMPRESS[".zst"](data)))[0] == TEXTS
    assert read(saved(tmp_path, f"in.{name}.gz", data))[0] == TEXTS
