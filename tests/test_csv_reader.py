"""CSV and TSV as the wild has them."""

import pyarrow as pa
import pytest
from read_files import read, read_to_fault, saved
from twinhead.client.files import csv_reader
from twinhead.client.files.row_batch import MAX_CHARACTERS, MAX_ROWS
from twinhead.client.files.row_reader import open_reader


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
    hint = "; say --input-format tsv" if mark == "\t" else ""
    assert read_to_fault(path) == ([], f"{path}: {message}{hint}")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("301,too,many", "row 301 (line 304) has 3 cells, the header has 2; put quotes around"),
        ("301", "row 301 (line 304) has 1 cells, the header has 2; put quotes around"),
        (
            '301,"never closed',
            "row 301 (lines 304 to 306) is broken: unexpected end of data; is a quote",
        ),
        ("301,re\rturn", "row 301 (line 304) is broken: a carriage return stands outside quotes; "),
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
    assert "the header (lines 1 to 2) is broken" in read_to_fault(path)[1]


def test_a_quote_that_never_closes_is_told_by_the_line_where_it_opens(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_reader, "_MAX_CELL_CHARACTERS", 1 << 20)
    lines = ["id,text", "1,one", '2,"two', *["x" * 99] * 20_000]
    texts, message = read_to_fault(saved(tmp_path, "in.csv", "\n".join(lines)))
    assert texts == ["one"]
    assert "row 2 (lines 3 to 10" in message
    assert "field larger than field limit" in message
    assert "is a quote missing" in message


def test_a_header_of_tabs_in_a_csv_file_and_the_other_way_round(tmp_path):
    path = saved(tmp_path, "in.tsv", "id,text\n1,one\n")
    message = "the header 'id,text' is one cell; the cells must be separated by tabs"
    assert read_to_fault(path) == ([], f"{path}: {message}; say --input-format csv")
    assert read(path, file_format="csv")[0] == ["one"]


def test_tabs_separate_and_quotes_hold(tmp_path):
    data = 'id\ttext\n1\ta, b "c"\n2\t"tab\there,\n""next"""\n'
    texts, rows = read(saved(tmp_path, "in.tsv", data))
    assert texts == ['a, b "c"', 'tab\there,\n"next"']
    assert [row["id"] for row in rows] == ["1", "2"]
    ragged = saved(tmp_path, "odd.tsv", "id\ttext\n1\tone\ttwo\n")
    assert (
        "row 1 (line 2) has 3 cells, the header has 2; put quotes around text that holds tabs"
        in (read_to_fault(ragged)[1])
    )


@pytest.mark.parametrize("mark", [",", "\t"])
def test_without_a_header_columns_have_numbers(tmp_path, mark):
    name = "in.csv" if mark == "," else "in.tsv"
    path = saved(tmp_path, name, f"1{mark}one\n2{mark}two\n")
    texts, rows = read(path, column="column_2", header=False)
    assert texts == ["one", "two"]
    assert rows == [{"column_1": "1", "column_2": "one"}, {"column_1": "2", "column_2": "two"}]
    message = read_to_fault(path, header=False)[1]
    assert message.endswith("Say --column NAME; there are 'column_1', 'column_2'")
    ragged = saved(tmp_path, name, f"1{mark}one\n2\n")
    texts, message = read_to_fault(ragged, column="column_2", header=False)
    assert texts == ["one"]
    assert "row 2 (line 2) has 1 cells, the first row has 2" in message


def test_without_a_header_the_only_column_is_taken(tmp_path):
    path = saved(tmp_path, "in.csv", 'one; two\n\n"three\nlines"\n')
    assert read(path, header=False)[0] == ["one; two", "", "three\nlines"]
    with open_reader(path, header=False) as reader:
        assert [list(batch.lines or ()) for batch in reader.batches()] == [[1, 2, 4]]


def test_cells_hold_nul_and_whatever_else(tmp_path):
    cells = ["a\0b", "\0", "\x0b\x0c\x1c\x85\u2028", "\ufeff"]
    path = saved(tmp_path, "in.csv", "text\n" + "".join(cell + "\n" for cell in cells))
    assert read(path)[0] == cells


def test_huge_cells_make_small_batches_also_in_other_columns(tmp_path):
    huge = "y" * (MAX_CHARACTERS // 2)
    path = saved(tmp_path, "in.csv", "text,page\n" + f"word,{huge}\n" * 4)
    with open_reader(path) as reader:
        assert [len(batch.texts) for batch in reader.batches()] == [1, 1, 1, 1]


def test_rows_are_columns_of_strings(tmp_path):
    rows = "".join(f"{n},word {n}\n" for n in range(MAX_ROWS + 1))
    with open_reader(saved(tmp_path, "in.csv", f"id,text\n{rows}")) as reader:
        first, second = reader.batches()
        assert reader.schema == pa.schema([("id", pa.string()), ("text", pa.string())])
    assert first.rows.schema == reader.schema
    assert second.rows.to_pylist() == [{"id": str(MAX_ROWS), "text": f"word {MAX_ROWS}"}]
