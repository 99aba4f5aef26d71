"""TXT: one sentence a line."""

from read_files import read, read_to_fault, saved


def test_a_text_file_has_one_column(tmp_path):
    path = saved(tmp_path, "in.txt", "hello\n")
    assert read(path, column="text")[0] == ["hello"]
    assert "there is no column 'body'; there are 'text'" in read_to_fault(path, column="body")[1]


def test_only_line_feeds_end_a_line_of_text(tmp_path):
    lines = ["a\x0bb", "c\x0cd", "e\x85f", "g\u2028h", "i\rj", "k\x00l"]
    path = saved(tmp_path, "in.txt", "".join(line + "\n" for line in lines))
    assert read(path)[0] == lines


def test_an_empty_line_of_text_is_a_row_without_a_text(tmp_path):
    assert read(saved(tmp_path, "in.txt", "one\n\nthree\n"))[0] == ["one", "", "three"]
