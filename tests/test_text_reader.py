"""Rows of text formats in batches: each with the line that it ends on."""

import pytest
from read_files import COMPRESS, TEXT_FORMATS, encoded, lines_of, saved
from twinhead.client.files.row_batch import MAX_ROWS


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    ("file_format", "text", "lines"),
    [
        ("txt", "one\n\nthree\n", [1, 2, 3]),
        # The header is a line; a quoted newline makes a row of two, and a blank line is no row.
        ("csv", 'id,text\n1,one\n2,"two\nlines"\n\n3,three\n', [2, 4, 6]),
        ("csv", 'id,text\r\n1,"a\r\n\r\nb"\r\n2,two', [4, 5]),
        ("csv", "text\none\n\nthree\n", [2, 3, 4]),
        ("tsv", 'id\ttext\n1\t"two\nlines"\n', [3]),
        ("jsonl", '\n{"text": "one"}\n \n\n{"text": "two"}', [2, 5]),
    ],
)
def test_each_row_has_the_line_that_it_ends_on(tmp_path, file_format, text, lines, ending):
    path = saved(tmp_path, f"in.{file_format}{ending}", COMPRESS[ending](text.encode()))
    assert lines_of(path) == [lines]


@pytest.mark.parametrize("file_format", TEXT_FORMATS)
def test_lines_are_counted_on_from_batch_to_batch(tmp_path, file_format):
    rows = [{"text": f"word {n}"} for n in range(2 * MAX_ROWS + 1)]
    first = 2 if file_format in ("csv", "tsv") else 1
    found = lines_of(saved(tmp_path, f"in.{file_format}", encoded(file_format, rows)))
    assert [len(lines) for lines in found] == [MAX_ROWS, MAX_ROWS, 1]
    assert [n for lines in found for n in lines] == list(range(first, first + len(rows)))
