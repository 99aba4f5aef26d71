"""Rows of files as tables."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from twinhead.client import FileError
from twinhead.client.labelling.label_columns import check_names
from twinhead.client.labelling.ray_rows import (
    ROW,
    TEXT,
    InputFiles,
    InputRows,
    texts_of,
)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def read(rows: InputRows) -> list[pa.Table]:
    return [table for place in rows.files.places for table in rows.tables(place)]


def test_columns_with_types_come_as_they_are(tmp_path):
    table = pa.table({"text": ["a", None], "n": pa.array([1, 2], pa.int16())})
    pq.write_table(table, tmp_path / "in.parquet")
    rows = InputRows(InputFiles([str(tmp_path / "in.parquet")]), table.schema)
    assert pa.concat_tables(read(rows)).equals(table)
    assert texts_of(table, "text") == ["a", ""]


def test_text_files_are_read_as_asked(tmp_path):
    place = str(tmp_path / "in.dat")
    Path(place).write_bytes("1\tcafé\n".encode("latin-1"))
    files = InputFiles([place], "tsv", "column_2", encoding="latin-1", header=False)
    with files.open(place) as reader:
        (table,) = read(InputRows(files, reader.schema))
        assert texts_of(table, reader.column) == ["café"]


def test_rows_with_columns_of_their_own_come_as_json(tmp_path):
    rows = [{"text": "a", "n": 1.5}, {"n": [1, {"x": None}], "text": None}, {"ü": 2**70}]
    place = write(tmp_path / "in.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    (table,) = read(InputRows(InputFiles([place], column="text"), None))
    assert [json.loads(row) for row in table[ROW].to_pylist()] == rows
    assert texts_of(table, "text") == table[TEXT].to_pylist() == ["a", "", ""]


def test_files_must_go_together(tmp_path):
    first = write(tmp_path / "a.csv", "text,n\na,1\n")
    other = write(tmp_path / "b.csv", "text,m\na,1\n")
    files = InputFiles([first, other])
    with files.open(first) as reader:
        rows = InputRows(files, reader.schema)
    with pytest.raises(FileError, match=r"b\.csv: its columns, .* are not those of .*a\.csv"):
        read(rows)


def test_names_of_new_columns_must_be_free(tmp_path):
    place = write(tmp_path / "in.jsonl", '{"text": "a"}\n{"text": "a", "topic": 1}\n')
    rows = InputRows(InputFiles([place]), None, frozenset(["topic", "error"]))
    with pytest.raises(FileError, match=r"in\.jsonl: has a column 'topic' already; .*--prefix"):
        read(rows)
    check_names(place, [])
