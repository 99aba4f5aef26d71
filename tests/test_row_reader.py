"""Files to batches of rows: formats, columns, encodings, and what is said of broken input."""

import csv
import errno
import gzip
import io
import json
import os
import random
import threading
import tracemalloc
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from twinhead.client import FileError, row_reader
from twinhead.client.row_batch import MAX_CHARACTERS, MAX_ROWS
from twinhead.client.row_reader import NO_COLUMN, format_of, open_reader

TEXTS = [
    "The goalkeeper saved two penalties.",
    'A "quiet" start, then a storm',
    "Die Bäckerei öffnet früh 🥐",
    "  spaces around  ",
    "tab\there, \u2028 and a line separator",
]
ROWS = [{"id": str(n), "text": text} for n, text in enumerate(TEXTS, 1)]
FORMATS = ["txt", "csv", "jsonl", "parquet"]
TEXT_FORMATS = ["txt", "csv", "jsonl"]


def encoded(file_format: str, rows: list[dict]) -> bytes:
    """Rows as a file of a format, made without any code of the package."""
    if file_format == "txt":
        return "".join(row["text"] + "\n" for row in rows).encode()
    if file_format == "csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if file_format == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def rows_of(file_format: str, rows: list[dict]) -> list[dict]:
    """What a format keeps of rows."""
    return [{"text": row["text"]} for row in rows] if file_format == "txt" else rows


def saved(folder: Path, name: str, data: bytes | str) -> str:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def read(
    path: str,
    *,
    file_format: str | None = None,
    column: str | None = None,
    encoding: str = "utf-8",
) -> tuple[list[str], list[dict]]:
    texts: list[str] = []
    rows: list[dict] = []
    with open_reader(path, file_format, column, encoding) as reader:
        for batch in reader.batches():
            assert batch.first_row == len(texts) + 1
            texts += batch.texts
            rows += batch.as_dicts()
    return texts, rows


def read_to_fault(path: str, **options) -> tuple[list[str], str]:
    """The texts given out before the fault, and what is said of it."""
    texts: list[str] = []
    reading = options.get("file_format"), options.get("column"), options.get("encoding", "utf-8")
    with pytest.raises(FileError) as caught, open_reader(path, *reading) as reader:  # noqa: PT012
        for batch in reader.batches():
            texts += batch.texts
    return texts, str(caught.value)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, file_format, ending):
    data = encoded(file_format, ROWS)
    path = saved(tmp_path, f"in.{file_format}{ending}", gzip.compress(data) if ending else data)
    assert read(path) == (TEXTS, rows_of(file_format, ROWS))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_is_read_from_standard_input(
    run_twinhead, starter_worker, file_format, zipped
):
    data = encoded(file_format, ROWS)
    arguments = ["label", "-", "-o", "-", "--worker", starter_worker.target]
    if file_format != "txt":  # the default
        arguments += ["--input-format", file_format]
    done = run_twinhead(*arguments, stdin=gzip.compress(data) if zipped else data)
    assert done.returncode == 0, done.stderr
    names = ["text"] if file_format == "txt" else ["id", "text"]
    lines = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert [{name: line[name] for name in names} for line in lines] == rows_of(file_format, ROWS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", "csv"),
        ("a.TXT", "txt"),
        ("a.jsonl.gz", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.pq", "parquet"),
        ("folder.csv/a.parquet", "parquet"),
        ("folder.csv/a", None),
        ("a.gz", None),
    ],
)
def test_the_name_tells_the_format(name, expected):
    assert format_of(name) == expected


def test_an_unknown_format_is_told_with_the_option_that_helps(tmp_path):
    path = saved(tmp_path, "in.dat", "text\nhello\n")
    texts, message = read_to_fault(path)
    assert texts == []
    assert "'dat'" not in message
    assert "format dat is not known" in message
    assert "--input-format txt|csv|jsonl|parquet" in message
    assert read(path, file_format="csv")[0] == ["hello"]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_gzip_is_told_by_the_data_and_not_by_the_name(tmp_path, ending):
    data = encoded("csv", ROWS)
    path = saved(tmp_path, f"in.csv{ending}", data if ending else gzip.compress(data))
    assert read(path)[0] == TEXTS


def test_members_of_a_gzip_file_follow_each_other(tmp_path):
    path = saved(tmp_path, "in.txt.gz", gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert read(path)[0] == ["one", "two"]


@pytest.mark.parametrize("file_format", ["csv", "parquet", "jsonl", "txt"])
def test_a_pipe_is_read_like_a_file(tmp_path, file_format):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(encoded(file_format, ROWS),))
    writer.start()
    with open_reader(str(path), file_format, None, "utf-8") as reader:
        texts = [text for batch in reader.batches() for text in batch.texts]
        assert reader.size == (len(ROWS) if file_format == "parquet" else None)
    writer.join(10)
    assert texts == TEXTS


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
@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
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
@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
def test_a_column_that_is_not_clear_is_asked_for(tmp_path, file_format, names, asked, message):
    row = dict.fromkeys(names, "hello")
    path = saved(tmp_path, f"in.{file_format}", encoded(file_format, [row]))
    listed = "there are " + ", ".join(repr(name) for name in names)
    assert read_to_fault(path, column=asked) == ([], f"{path}: {message}{listed}")


def test_of_very_many_columns_only_some_are_listed(tmp_path):
    path = saved(tmp_path, "in.csv", ",".join(f"c{n}" for n in range(40)) + "\n")
    _, message = read_to_fault(path)
    assert message.endswith("'c11' and 28 more")


def test_a_text_file_has_one_column(tmp_path):
    path = saved(tmp_path, "in.txt", "hello\n")
    assert read(path, column="text")[0] == ["hello"]
    assert "there is no column 'body'; there are 'text'" in read_to_fault(path, column="body")[1]


@pytest.mark.parametrize("file_format", TEXT_FORMATS)
def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path, file_format):
    data = b"\xef\xbb\xbf" + encoded(file_format, ROWS)
    assert read(saved(tmp_path, f"in.{file_format}", data)) == (TEXTS, rows_of(file_format, ROWS))


@pytest.mark.parametrize("file_format", TEXT_FORMATS)
@pytest.mark.parametrize("last_end", ["\r\n", ""])
def test_windows_line_ends_are_no_part_of_the_data(tmp_path, file_format, last_end):
    data = {
        "txt": ["one", "two words", "three"],
        "csv": ["text", "one", '"two words"', "three"],
        "jsonl": ['{"text": "one"}', '{"text": "two words"}', '{"text": "three"}'],
    }[file_format]
    path = saved(tmp_path, f"in.{file_format}", "\r\n".join(data) + last_end)
    assert read(path)[0] == ["one", "two words", "three"]


def test_only_line_feeds_end_a_line_of_text(tmp_path):
    lines = ["a\x0bb", "c\x0cd", "e\x85f", "g\u2028h", "i\rj", "k\x00l"]
    path = saved(tmp_path, "in.txt", "".join(line + "\n" for line in lines))
    assert read(path)[0] == lines


def test_an_empty_line_of_text_is_a_row_without_a_text(tmp_path):
    assert read(saved(tmp_path, "in.txt", "one\n\nthree\n"))[0] == ["one", "", "three"]


def test_csv_cells_hold_line_ends_commas_and_doubled_quotes(tmp_path):
    data = 'id,text\n1,"two\nlines, and a ""quote"""\n2,"Windows\r\nlines"\n3,\n'
    texts, rows = read(saved(tmp_path, "in.csv", data))
    assert texts == ['two\nlines, and a "quote"', "Windows\r\nlines", ""]
    assert [row["id"] for row in rows] == ["1", "2", "3"]


def test_blank_lines_of_csv_are_no_rows(tmp_path):
    assert read(saved(tmp_path, "in.csv", "\nid,text\n\n1,one\n\r\n2,two\n\n"))[0] == ["one", "two"]


def test_blank_lines_of_a_single_csv_column_are_rows_without_a_text(tmp_path):
    assert read(saved(tmp_path, "in.csv", '\ntext\none\n\n""\ntwo\n'))[0] == ["one", "", "", "two"]


@pytest.mark.parametrize("asked", ["text", None])
def test_spaces_in_csv_are_kept_and_need_not_be_said(tmp_path, asked):
    path = saved(tmp_path, "in.csv", "id , text\n1, one\n")
    assert read(path, column=asked) == ([" one"], [{"id ": "1", " text": " one"}])
    with open_reader(path, None, asked, "utf-8") as reader:
        assert reader.columns == ["id ", " text"]
        assert reader.column == " text"


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_csv_with_another_separator_is_told(tmp_path, mark):
    path = saved(tmp_path, "in.csv", f"id{mark}text\n1{mark}one\n")
    message = f"the header {f'id{mark}text'!r} is one cell; the cells must be separated by commas"
    assert read_to_fault(path) == ([], f"{path}: {message}")


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
@pytest.mark.parametrize("names", [["text", "n", "n"], ["text", "text"]])
def test_two_columns_of_one_name_are_refused(tmp_path, file_format, names):
    if file_format == "csv":
        path = saved(tmp_path, "in.csv", ",".join(names) + "\n")
    else:
        path = str(tmp_path / "in.parquet")
        pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * len(names), names=names), path)
    message = read_to_fault(path, column="text")[1]
    assert message == f"{path}: two columns are called {names[-1]!r}; rename one"


@pytest.mark.parametrize("file_format", TEXT_FORMATS)
def test_what_is_not_utf8_is_told_with_its_line_and_the_option_that_helps(tmp_path, file_format):
    words = [f"word {n}" for n in range(300)] + ["cr\xe8me br\xfbl\xe9e"]
    lines = [f'{{"text": "{word}"}}' if file_format == "jsonl" else word for word in words]
    if file_format == "csv":
        lines.insert(0, "text")
    path = saved(tmp_path, f"in.{file_format}", "\n".join(lines).encode("cp1252"))
    texts, message = read_to_fault(path)
    assert texts == words[:300]
    assert f"line {len(lines)} is not valid utf-8 (byte 0xe8)" in message
    assert "--encoding cp1252" in message
    assert read(path, encoding="cp1252")[0] == words


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("klingon", "the encoding 'klingon' is not known; examples: utf-8, cp1252"),
        ("base64", "the encoding 'base64' is not known; examples: utf-8, cp1252"),
        ("undefined", "the encoding 'undefined' is not known; examples: utf-8, cp1252"),
        ("utf-16", "the encoding 'utf-16' is not read; convert the file to UTF-8"),
    ],
)
def test_an_encoding_that_cannot_be_read_is_told(tmp_path, encoding, message):
    assert read_to_fault(saved(tmp_path, "in.csv", "text\none\n"), encoding=encoding) == (
        [],
        message,
    )


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("301,too,many", "row 301 (line 304) has 3 cells, the header has 2; put quotes around"),
        ("301", "row 301 (line 304) has 1 cells, the header has 2; put quotes around"),
        ('301,"never closed', "row 301 (line 306) is broken: unexpected end of data; is a quote"),
        ('301,"half" closed', "row 301 (line 304) is broken: ',' expected after '\"'; is a quote"),
    ],
)
def test_a_broken_csv_row_is_named_after_the_rows_before_it(tmp_path, broken, message):
    # Lines and rows are counted apart: the first row takes two lines, and one line is blank.
    good = ['1,"word 1\nand more"', "", *(f"{n},word {n}" for n in range(2, 301))]
    path = saved(tmp_path, "in.csv", "\n".join(["id,text", *good, broken, "302,a", "303,b"]))
    texts, said = read_to_fault(path)
    assert texts == ["word 1\nand more", *(f"word {n}" for n in range(2, 301))]
    assert said.startswith(f"{path}: {message}")


def test_a_broken_csv_header_is_named(tmp_path):
    path = saved(tmp_path, "in.csv", 'id,"text\n1,one\n')
    assert "the header (line 2) is broken" in read_to_fault(path)[1]


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_empty_file_is_refused(tmp_path, file_format):
    path = saved(tmp_path, f"in.{file_format}", b"")
    said = "not a readable Parquet file" if file_format == "parquet" else "the file is empty"
    assert read_to_fault(path)[1].startswith(f"{path}: {said}")


def test_empty_standard_input_is_refused_as_csv(run_twinhead, starter_worker):
    arguments = ["label", "-", "--input-format", "csv", "-o", "-"]
    done = run_twinhead(*arguments, "--worker", starter_worker.target, stdin=b"")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: standard input: the file is empty\n"


@pytest.mark.parametrize("file_format", ["csv", "parquet", "jsonl"])
def test_a_file_without_rows_gives_none(tmp_path, file_format):
    path = str(tmp_path / f"in.{file_format}")
    if file_format == "parquet":
        pq.write_table(
            pa.table({"id": pa.array([], pa.int64()), "text": pa.array([], "str")}), path
        )
    else:
        Path(path).write_text("id,text\n" if file_format == "csv" else "\n \n")
    assert read(path) == ([], [])
    with open_reader(path, None, None, "utf-8") as reader:
        assert reader.columns == (None if file_format == "jsonl" else ["id", "text"])


def damaged(data: bytes, damage: str) -> bytes:
    """Data as gzip that is cut off, has a wrong checksum, or goes on with what is no gzip data."""
    whole = gzip.compress(data)
    return {
        "cut off": whole[: len(whole) // 2],
        "checksum": whole[:-8] + bytes(8),
        "not deflated": whole + gzip.compress(b"")[:10] + b"\xff" * 100,
    }[damage]


@pytest.mark.parametrize("damage", ["cut off", "checksum", "not deflated"])
@pytest.mark.parametrize("file_format", TEXT_FORMATS)
def test_damaged_gzip_is_told_after_the_rows_before_it(tmp_path, file_format, damage):
    noise = random.Random(4)
    words = [f"{noise.getrandbits(64):x}" for _ in range(30_000)]
    data = damaged(encoded(file_format, [{"text": word} for word in words]), damage)
    texts, message = read_to_fault(saved(tmp_path, f"in.{file_format}.gz", data))
    assert len(texts) > 5000
    assert texts == words[: len(texts)]
    lines = len(texts) + (file_format == "csv")
    assert f"the gzip data is cut off or damaged after line {lines}" in message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('["hello"]', "is not a JSON object"),
        ('"hello"', "is not a JSON object"),
        ("null", "is not a JSON object"),
        ('{"text": "hello"', "is not valid JSON: Expecting ',' delimiter at column 17"),
        ("text", "is not valid JSON: Expecting value at column 1"),
        ('{"text": 5}', "'text' is not text but 5"),
        ('{"text": ["hello"]}', "'text' is not text but [\"hello\"]"),
        ('{"text": false}', "'text' is not text but false"),
        ('{"text": "half \\ud83d"}', "holds half of a surrogate pair"),
        ('{"text": "a", "id": "\\uDE00"}', "holds half of a surrogate pair"),
        ('{"text": "a", "\\ude00": 1}', "holds half of a surrogate pair"),
        ('{"text": "a", "n": ' + "9" * 5000 + "}", "holds a number of too many digits"),
        ('{"text": "a", "n": ' + "[" * 5000 + "]" * 5000 + "}", "is nested too deeply"),
    ],
)
def test_a_broken_json_line_is_named_after_the_rows_before_it(tmp_path, line, message):
    good = [json.dumps({"text": f"word {n}"}) for n in range(300)]
    lines = [*good[:10], "", *good[10:], line, '{"text": "after"}']  # lines are not rows
    path = saved(tmp_path, "in.jsonl", "\n".join(lines))
    texts, said = read_to_fault(path)
    assert texts == [f"word {n}" for n in range(300)]
    assert said.startswith(f"{path}: row 301 (line 302)")
    assert message in said


def test_json_texts_may_be_null_or_missing_and_rows_differ(tmp_path):
    rows = [
        {"text": "one", "id": 1},
        {"text": None},
        {"id": 3},
        {"more": [1], "text": "\U0001f950"},
    ]
    path = saved(tmp_path, "in.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert "\\ud83e\\udd50" in Path(path).read_text()  # a whole pair is no half
    assert read(path) == (["one", "", "", "\U0001f950"], rows)


def test_what_is_no_parquet_is_refused(tmp_path):
    path = saved(tmp_path, "in.parquet", "id,text\n1,hello, this is CSV\n")
    assert read_to_fault(path)[1].startswith(f"{path}: not a readable Parquet file: ")


@pytest.mark.parametrize("damage", ["cut off", "checksum", "not deflated"])
def test_a_damaged_gzipped_parquet_file_is_refused(tmp_path, damage):
    path = saved(tmp_path, "in.parquet.gz", damaged(encoded("parquet", ROWS), damage))
    assert read_to_fault(path)[1].startswith(f"{path}: not a readable Parquet file: ")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1, 2]), "int64"),
        (pa.array([["a"], ["b"]]), "list<element: string>"),
        (pa.array([b"a", b"b"]), "binary"),
        (pa.array([1, 2]).dictionary_encode(), "int64"),
    ],
)
def test_a_parquet_column_that_is_not_text_is_refused(tmp_path, values, kind):
    path = str(tmp_path / "in.parquet")
    pq.write_table(pa.table({"text": values}), path)
    assert read_to_fault(path)[1] == f"{path}: column 'text' is not text but {kind}"


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_every_parquet_type_of_text_is_read_and_null_is_empty(tmp_path, kind):
    values = ["one", None, "two", "one"]
    array = (
        pa.array(values).dictionary_encode()
        if kind == "dictionary"
        else pa.array(values, getattr(pa, kind)())
    )
    table = pa.table({"id": [1, 2, 3, 4], "text": array})
    path = str(tmp_path / "in.parquet")
    pq.write_table(table, path)
    texts, rows = read(path)
    assert texts == ["one", "", "two", "one"]
    assert rows == table.to_pylist()
    with open_reader(path, None, None, "utf-8") as reader:
        assert reader.schema == table.schema


def broken_text() -> pa.Array:
    """Text that is not UTF-8, as careless writers make it."""
    offsets = pa.py_buffer(b"\0\0\0\0\2\0\0\0")
    return pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff\xfe")])


def test_parquet_text_that_is_not_utf8_is_told_after_the_rows_before_it(tmp_path):
    path = str(tmp_path / "in.parquet")
    words = [f"word {n}" for n in range(MAX_ROWS)]
    pq.write_table(pa.table({"text": pa.chunked_array([words, broken_text()])}), path)
    texts, message = read_to_fault(path)
    assert texts == words
    assert message.startswith(f"{path}: damaged after row {MAX_ROWS}: 'utf-8' codec can't decode")


def test_damaged_parquet_is_told_after_the_rows_before_it(tmp_path):
    path = tmp_path / "in.parquet"
    words = [f"word {n}" for n in range(2 * MAX_ROWS)]
    pq.write_table(pa.table({"text": words}), path, row_group_size=MAX_ROWS)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset
    data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(data)
    texts, message = read_to_fault(str(path))
    assert texts == words[:MAX_ROWS]
    assert message.startswith(f"{path}: damaged after row {MAX_ROWS}: ")


@pytest.mark.parametrize("file_format", FORMATS)
def test_batches_are_bounded_in_rows_and_in_characters(tmp_path, file_format):
    third = "x" * (MAX_CHARACTERS // 3)
    texts = ["short"] * (2 * MAX_ROWS + 9) + [third] * 7 + ["y" * (MAX_CHARACTERS + 1), "end"]
    path = saved(tmp_path, f"in.{file_format}", encoded(file_format, [{"text": t} for t in texts]))
    with open_reader(path, None, None, "utf-8") as reader:
        batches = list(reader.batches())
    assert [text for batch in batches for text in batch.texts] == texts
    assert [row["text"] for batch in batches for row in batch.as_dicts()] == texts
    sizes = [len(batch.texts) for batch in batches]
    assert sizes[:2] == [MAX_ROWS, MAX_ROWS]
    for batch in batches:
        characters = sum(map(len, batch.texts))
        assert len(batch.texts) <= MAX_ROWS
        assert characters <= MAX_CHARACTERS or len(batch.texts) == 1
        assert len(batch.as_dicts()) == len(batch.texts)
    assert [batch.first_row for batch in batches] == [1 + sum(sizes[:n]) for n in range(len(sizes))]
    # Batches are not smaller than they must be, either.
    assert len(batches) == 2 + 3 + 2


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_the_position_grows_with_the_rows_up_to_the_size(tmp_path, file_format, ending):
    noise = random.Random(5)  # so that gzip cannot make it small
    rows = [{"text": f"{noise.getrandbits(2048):x}"} for _ in range(4 * MAX_ROWS)]
    data = encoded(file_format, rows)
    path = saved(tmp_path, f"in.{file_format}{ending}", gzip.compress(data) if ending else data)
    with open_reader(path, None, None, "utf-8") as reader:
        positions = [batch.position for batch in reader.batches()]
        expected = len(rows) if file_format == "parquet" else Path(path).stat().st_size
        assert reader.size == expected
    assert len(positions) == 4
    assert positions == sorted(positions)
    assert positions[-1] == expected
    # It tells what is done: reading is lazy, and little is read ahead.
    assert 0 < positions[0] <= 0.6 * expected


@pytest.mark.parametrize("row_group_size", [MAX_ROWS, 40 * MAX_ROWS])
def test_parquet_is_never_in_memory_as_a_whole(tmp_path, row_group_size):
    noise = random.Random(6)
    table = pa.table({"text": [f"{noise.getrandbits(4096):x}" for _ in range(40 * MAX_ROWS)]})
    path = str(tmp_path / "in.parquet")
    pq.write_table(table, path, row_group_size=row_group_size)
    size = table.nbytes
    del table
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        with open_reader(path, None, None, "utf-8") as reader:
            most = max(pa.total_allocated_bytes() - before for _ in reader.batches())
        most += tracemalloc.get_traced_memory()[1]  # what is read of the file is Python's
    finally:
        tracemalloc.stop()
    assert most < size / 2


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere/in.csv"])
def test_a_file_that_is_not_there_is_told(tmp_path, name):
    path = str(tmp_path / name)
    assert read_to_fault(path) == ([], f"{path}: no such file")


def test_a_folder_is_no_file(tmp_path):
    message = read_to_fault(str(tmp_path), file_format="csv")[1]
    assert message == f"{tmp_path}: Is a directory"


class BrokenDisk(io.RawIOBase):
    """Gives some bytes, then fails."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self._data:
            raise OSError(errno.EIO, "Input/output error")
        count = min(len(buffer), len(self._data))
        buffer[:count] = self._data[:count]
        self._data = self._data[count:]
        return count


@pytest.mark.parametrize("size", [0, 3_000_000])
@pytest.mark.parametrize("file_format", TEXT_FORMATS)
def test_a_disk_that_fails_is_told_after_the_rows_before_it(monkeypatch, file_format, size):
    rows = [{"text": f"word {n}"} for n in range(300_000)]
    data = encoded(file_format, rows)[:size]
    monkeypatch.setattr(row_reader, "_open", lambda _: io.BufferedReader(BrokenDisk(data)))
    texts, message = read_to_fault("-", file_format=file_format)
    assert texts == [row["text"] for row in rows[: len(texts)]]
    assert bool(texts) == bool(size)
    assert message.startswith("standard input: cannot be read")
    assert message.endswith(": Input/output error")


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_are_closed_in_the_end(tmp_path, file_format, ending):
    process = psutil.Process()
    before = process.num_fds()
    data = encoded(file_format, ROWS)
    name = f"in.{file_format}{ending}"
    path = saved(tmp_path, name, gzip.compress(data) if ending else data)
    with open_reader(path, None, None, "utf-8") as reader:
        assert process.num_fds() > before
        next(reader.batches())
    assert process.num_fds() == before
    with pytest.raises(FileError):
        open_reader(saved(tmp_path, name, b""), None, None, "utf-8")
    assert process.num_fds() == before


def lines_of(path: str, column: str | None = None) -> list[list[int] | None]:
    """Of each batch the lines that its rows end on."""
    with open_reader(path, None, column, "utf-8") as reader:
        batches = list(reader.batches())
    assert all(batch.lines is None or len(batch.lines) == len(batch.texts) for batch in batches)
    return [None if batch.lines is None else list(batch.lines) for batch in batches]


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("file_format", "text", "lines"),
    [
        ("txt", "one\n\nthree\n", [1, 2, 3]),
        # The header is a line; a quoted newline makes a row of two, and a blank line is no row.
        ("csv", 'id,text\n1,one\n2,"two\nlines"\n\n3,three\n', [2, 4, 6]),
        ("csv", 'id,text\r\n1,"a\r\n\r\nb"\r\n2,two', [4, 5]),
        ("csv", "text\none\n\nthree\n", [2, 3, 4]),
        ("jsonl", '\n{"text": "one"}\n \n\n{"text": "two"}', [2, 5]),
    ],
)
def test_each_row_has_the_line_that_it_ends_on(tmp_path, file_format, text, lines, ending):
    data = text.encode()
    path = saved(tmp_path, f"in.{file_format}{ending}", gzip.compress(data) if ending else data)
    assert lines_of(path) == [lines]


@pytest.mark.parametrize("file_format", TEXT_FORMATS)
def test_lines_are_counted_on_from_batch_to_batch(tmp_path, file_format):
    rows = [{"text": f"word {n}"} for n in range(2 * MAX_ROWS + 1)]
    first = 2 if file_format == "csv" else 1
    found = lines_of(saved(tmp_path, f"in.{file_format}", encoded(file_format, rows)))
    assert [len(lines) for lines in found] == [MAX_ROWS, MAX_ROWS, 1]
    assert [n for lines in found for n in lines] == list(range(first, first + len(rows)))


def test_parquet_has_no_lines(tmp_path):
    rows = [{"text": "x" * (MAX_CHARACTERS // 2 + 1)} for _ in range(3)]
    path = saved(tmp_path, "in.parquet", encoded("parquet", rows))
    assert lines_of(path) == [None, None, None]  # cut by characters, too


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
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


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "parquet"])
def test_without_a_column_batches_are_bounded_in_rows(tmp_path, file_format):
    rows = [{"words": f"word {n}"} for n in range(2 * MAX_ROWS + 1)]
    path = saved(tmp_path, f"in.{file_format}", encoded(file_format, rows))
    with open_reader(path, None, NO_COLUMN, "utf-8") as reader:
        sizes = [len(batch.as_dicts()) for batch in reader.batches()]
        assert reader.column in (None, NO_COLUMN)
    assert sizes == [MAX_ROWS, MAX_ROWS, 1]
