"""Files to batches of rows, one file or several as one, in every format."""

import os
import random
import sys
import threading
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
from read_files import (
    COMPRESS,
    FORMATS,
    ROWS,
    TEXTS,
    as_arrow,
    as_parquet,
    encoded,
    read,
    read_to_fault,
    rows_of,
    saved,
)
from twinhead.client import FileError
from twinhead.client.files.row_batch import MAX_CHARACTERS, MAX_ROWS
from twinhead.client.files.row_reader import open_reader


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, file_format, ending):
    data = COMPRESS[ending](encoded(file_format, ROWS))
    path = saved(tmp_path, f"in.{file_format}{ending}", data)
    expected = TEXTS, rows_of(file_format, ROWS)
    assert read(path) == expected
    assert read(f"file://{path}") == expected


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_is_read_from_other_file_systems(memory, file_format):
    for ending, compress in COMPRESS.items():
        memory.pipe_file(f"/in.{file_format}{ending}", compress(encoded(file_format, ROWS)))
        uri = f"memory://in.{file_format}{ending}"
        assert read(uri) == (TEXTS, rows_of(file_format, ROWS))
        with open_reader(uri) as reader:
            batches = list(reader.batches())
            assert batches[-1].position == reader.size
            assert reader.name == uri


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_is_read_from_standard_input(monkeypatch, file_format, ending):
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin, os.fdopen(writing, "wb") as other_end:
        monkeypatch.setattr(sys, "stdin", stdin)
        other_end.write(COMPRESS[ending](encoded(file_format, ROWS)))
        other_end.close()
        said = None if file_format == "txt" else file_format  # the default
        with open_reader("-", said) as reader:
            rows = [row for batch in reader.batches() for row in batch.as_dicts()]
            assert (reader.name, reader.fingerprint) == ("standard input", "")
        assert not stdin.buffer.closed
    assert rows == rows_of(file_format, ROWS)


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_standard_input_that_is_a_file_is_read_from_where_it_is(monkeypatch, tmp_path, file_format):
    path = saved(tmp_path, "in", b"#!\n" + encoded(file_format, ROWS))
    with Path(path).open() as stdin:
        os.lseek(stdin.fileno(), 3, os.SEEK_SET)  # as `(read line; twinhead label -) < in` does
        monkeypatch.setattr(sys, "stdin", stdin)
        assert read("-", file_format=file_format)[0] == TEXTS


def test_closed_or_empty_standard_input_is_told(monkeypatch):
    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        message = read_to_fault("-", file_format="csv")[1]
    assert message == "standard input: the file is empty"
    monkeypatch.setattr(sys, "stdin", None)
    assert read_to_fault("-", file_format="csv")[1] == "standard input is closed"


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_pipe_is_read_like_a_file(tmp_path, file_format):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(encoded(file_format, ROWS),))
    writer.start()
    with open_reader(str(path), file_format) as reader:
        texts = [text for batch in reader.batches() for text in batch.texts]
        assert reader.size == (len(ROWS) if file_format == "parquet" else None)
    writer.join(10)
    assert texts == TEXTS


def test_an_unknown_format_is_told_with_the_option_that_helps(tmp_path):
    path = saved(tmp_path, "in.dat", "text\nhello\n")
    texts, message = read_to_fault(path)
    assert texts == []
    assert "format dat is not known" in message
    assert "--input-format txt|csv|tsv|jsonl|parquet|arrow" in message
    assert read(path, file_format="csv")[0] == ["hello"]


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_empty_file_is_refused(tmp_path, file_format):
    path = saved(tmp_path, f"in.{file_format}", b"")
    said = {"parquet": "not a readable Parquet file", "arrow": "not a readable Arrow file"}
    assert read_to_fault(path)[1].startswith(
        f"{path}: {said.get(file_format, 'the file is empty')}"
    )


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_without_rows_gives_none(tmp_path, file_format):
    none = pa.table({"id": pa.array([], pa.int64()), "text": pa.array([], "str")})
    data = {
        "txt": COMPRESS[".gz"](b""),  # without it there would be no byte at all
        "csv": b"id,text\n",
        "tsv": b"id\ttext\n",
        "jsonl": b"\n \n",
        "parquet": as_parquet(none),
        "arrow": as_arrow(none),
    }
    path = saved(tmp_path, f"in.{file_format}", data[file_format])
    assert read(path) == ([], [])
    with open_reader(path) as reader:
        expected = {"txt": ["text"], "jsonl": None}.get(file_format, ["id", "text"])
        assert reader.columns == expected


@pytest.mark.parametrize("file_format", FORMATS)
def test_batches_are_bounded_in_rows_and_in_characters(tmp_path, file_format):
    third = "x" * (MAX_CHARACTERS // 3 - 100)
    texts = ["short"] * (2 * MAX_ROWS + 9) + [third] * 7 + ["y" * (MAX_CHARACTERS + 1), "end"]
    path = saved(tmp_path, f"in.{file_format}", encoded(file_format, [{"text": t} for t in texts]))
    with open_reader(path) as reader:
        batches = list(reader.batches())
    assert [text for batch in batches for text in batch.texts] == texts
    sizes = [len(batch.texts) for batch in batches]
    for batch in batches:
        characters = sum(map(len, batch.texts))
        assert len(batch.texts) <= MAX_ROWS
        assert characters <= MAX_CHARACTERS or len(batch.texts) == 1
        assert [row["text"] for row in batch.as_dicts()] == batch.texts
    assert [batch.first_row for batch in batches] == [1 + sum(sizes[:n]) for n in range(len(sizes))]
    if file_format != "parquet":  # which is read in as few rows as its widest ones allow
        assert sizes[:2] == [MAX_ROWS, MAX_ROWS]
        assert len(batches) == 2 + 3 + 2  # not smaller than they must be, either


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_the_position_grows_with_the_rows_up_to_the_size(tmp_path, file_format, ending):
    noise = random.Random(5)  # so that gzip cannot make it small
    rows = [{"text": f"{noise.getrandbits(512):x}"} for _ in range(4 * MAX_ROWS)]
    data = COMPRESS[ending](encoded(file_format, rows))
    path = saved(tmp_path, f"in.{file_format}{ending}", data)
    with open_reader([path, path]) as reader:
        positions = [batch.position for batch in reader.batches()]
        expected = len(rows) if file_format == "parquet" else len(data)
        assert reader.size == 2 * expected
    assert len(positions) == 8
    assert positions == sorted(positions)
    assert (positions[3], positions[-1]) == (expected, 2 * expected)
    # It tells what is done: reading is lazy, and little is read ahead.
    assert 0 < positions[0] <= 0.6 * expected


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere/in.csv"])
def test_a_file_that_is_not_there_is_told(tmp_path, name):
    path = str(tmp_path / name)
    assert read_to_fault(path) == ([], f"{path}: no such file")


def test_a_folder_is_no_file(tmp_path):
    message = read_to_fault(str(tmp_path), file_format="csv")[1]
    assert message == f"{tmp_path}: Is a directory"


@pytest.mark.parametrize("ending", ["", ".zst"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_files_are_closed_in_the_end(tmp_path, file_format, ending):
    process = psutil.Process()
    data = COMPRESS[ending](encoded(file_format, ROWS))
    path = saved(tmp_path, f"in.{file_format}{ending}", data)
    broken = saved(tmp_path, f"broken.{file_format}{ending}", b"")
    before = process.num_fds()
    with open_reader([path, path]) as reader:
        batches = reader.batches()
        next(batches)
        opened = process.num_fds()
        next(batches)  # of the second file
        assert process.num_fds() == opened
    # What is mapped into memory needs no descriptor.
    assert opened > before or file_format == "arrow"
    assert process.num_fds() == before
    for paths in (broken, [path, broken]):
        with pytest.raises(FileError):
            open_reader(paths)
        assert process.num_fds() == before


# Several files.


@pytest.mark.parametrize("file_format", FORMATS)
def test_files_are_read_one_after_the_other_as_one(tmp_path, file_format):
    parts = [ROWS[:2], ROWS[2:3], ROWS[3:]]
    paths = [
        saved(tmp_path, f"{n}.{file_format}", encoded(file_format, part))
        for n, part in enumerate(parts)
    ]
    assert read(paths) == (TEXTS, rows_of(file_format, ROWS))  # rows are counted on
    with open_reader(paths) as reader:
        assert reader.name == f"{paths[0]} and 2 more"
        assert reader.paths == tuple(paths)
        if file_format == "jsonl":
            assert reader.column is None  # no row has told it
        list(reader.batches())
        assert reader.column == "text"


def test_column_names_with_spaces_are_those_of_all_files(tmp_path):
    table = pa.table({" text ": ["a", "b"], "id": [1, 2]})
    path = saved(tmp_path, "in.parquet", as_parquet(table))
    assert read([path, path], column=" text ")[0] == ["a", "b"] * 2
    path = saved(tmp_path, "in.csv", "id, text\n1,a\n")
    assert read([path, path])[0] == ["a", "a"]


def test_in_json_lines_the_first_file_tells_the_column(tmp_path):
    first = saved(tmp_path, "1.jsonl", '{"content": "one"}\n')
    second = saved(tmp_path, "2.jsonl", '{"text": "not this", "content": "two"}\n{"id": 3}\n')
    assert read([first, second])[0] == ["one", "two", ""]


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"text": ["b"]}, "has no column 'id', as the first file has"),
        ({"id": [1], "text": ["b"], "more": [1]}, "has a column 'more', which the first file has"),
        ({"id": [1.5], "text": ["b"]}, "column 'id' is double, in the first file int64"),
        ({"text": ["b"], "id": [1]}, "has the columns of the first file in another order"),
    ],
)
def test_files_with_other_columns_are_told_before_any_work(tmp_path, odd, said):
    good = saved(tmp_path, "good.parquet", as_parquet(pa.table({"id": [1], "text": ["a"]})))
    path = saved(tmp_path, "odd.parquet", as_parquet(pa.table(odd)))
    texts, message = read_to_fault([good, good, path])
    assert texts == []
    assert message.startswith(f"{path}: {said}")
    assert good in message


@pytest.mark.parametrize("name", ["odd.csv", "empty.csv", "nowhere.csv", "other.tsv"])
def test_a_file_that_does_not_go_with_the_others_is_named(tmp_path, name):
    good = saved(tmp_path, "good.csv", "id,text\n1,a\n")
    saved(tmp_path, "odd.csv", "id,sentence\n1,b\n")
    saved(tmp_path, "empty.csv", "")
    saved(tmp_path, "other.tsv", "id\ttext\n1\tb\n")
    texts, message = read_to_fault([good, str(tmp_path / name)])
    assert texts == []
    assert message.startswith(f"{tmp_path / name}: ")


def test_a_row_at_fault_is_named_in_its_file(tmp_path):
    good = saved(tmp_path, "1.csv", "id,text\n1,a\n2,b\n")
    bad = saved(tmp_path, "2.csv", "id,text\n3,c\n4\n")
    texts, message = read_to_fault([good, bad])
    assert texts == ["a", "b", "c"]
    assert message.startswith(f"{bad}: row 2 (line 3) has 1 cells")


def test_standard_input_does_not_go_with_files(tmp_path):
    good = saved(tmp_path, "1.txt", "a\n")
    assert read_to_fault([good, "-"], file_format="txt")[1] == (
        "standard input cannot be read together with files"
    )
    assert read_to_fault([])[1] == "there is no file to read"


def test_the_fingerprint_tells_files_and_their_changes(tmp_path):
    one, two = saved(tmp_path, "1.txt", "a\n"), saved(tmp_path, "2.txt", "b\n")

    def fingerprint(*paths: str) -> str:
        with open_reader(list(paths)) as reader:
            return reader.fingerprint

    before = fingerprint(one, two)
    assert len(before) == 64
    assert fingerprint(one, two) == before
    assert len({before, fingerprint(two, one), fingerprint(one), fingerprint(one, two, two)}) == 4
    saved(tmp_path, "2.txt", "c\n")
    os.utime(two, ns=(1, 1))
    assert fingerprint(one, two) != before
