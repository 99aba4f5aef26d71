"""Places of files, on this machine and elsewhere, and what is said when one is not there."""

import os
import subprocess
import sys

import pytest
from twinhead.client import FileError
from twinhead.client.files.file_place import (
    STANDARD,
    can_seek,
    change_mark,
    file_system,
    first_line,
    is_uri,
    local_path,
    open_input,
    size_of,
    told,
)


@pytest.mark.parametrize(
    ("place", "expected"),
    [("s3://bucket/in.csv", True), ("file:///in.csv", True), ("a/b:c.csv", False), ("-", False)],
)
def test_a_uri_is_told_from_a_path(place, expected):
    assert is_uri(place) == expected


def test_only_places_on_this_machine_have_a_path(tmp_path):
    assert local_path(str(tmp_path / "a b.csv")) == tmp_path / "a b.csv"
    assert local_path(f"file://{tmp_path}/a.csv") == tmp_path / "a.csv"
    assert local_path("memory://a.csv") is None
    assert local_path(STANDARD) is None


def test_a_file_system_that_is_not_known_is_told():
    with pytest.raises(FileError, match=r"^klingon://a.csv: .*klingon"):
        file_system("klingon://a.csv")


def test_a_package_that_is_missing_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)  # also where it is installed
    with pytest.raises(FileError, match=r"^s3://bucket/a.csv: .*s3fs"):
        file_system("s3://bucket/a.csv")


def test_files_on_this_machine_need_no_fsspec(tmp_path):
    """It takes a tenth of a second to load."""
    (tmp_path / "in.csv").write_text("text\none\n")
    script = (
        "import sys\n"
        "from twinhead.client.files.input_files import expand\n"
        "from twinhead.client.files.output_file import OutputFile\n"
        "from twinhead.client.files.row_reader import open_reader\n"
        "with open_reader(expand('in.csv')) as reader: print(next(reader.batches()).texts)\n"
        "OutputFile('out.parquet', None, 'in.csv').abandon()\n"
        "print('fsspec' in sys.modules)"
    )
    said = subprocess.check_output([sys.executable, "-c", script], cwd=tmp_path, text=True)
    assert said == "['one']\nFalse\n"


def test_files_are_opened_wherever_they_are(tmp_path, memory):
    path = tmp_path / "a.csv"
    path.write_bytes(b"local")
    memory.pipe_file("/folder/a.csv", b"remote")
    for place, expected in (
        (str(path), b"local"),
        (f"file://{path}", b"local"),
        ("memory://folder/a.csv", b"remote"),
    ):
        with open_input(place) as stream:
            assert stream.read() == expected
            assert can_seek(stream)
        assert size_of(place) == len(expected)


def test_a_pipe_has_no_size_and_cannot_seek(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert size_of(str(tmp_path / "pipe")) is None
    assert size_of(STANDARD) is None
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert not can_seek(stream)


@pytest.mark.parametrize("place", ["memory://nowhere/a.csv", "nowhere/a.csv"])
@pytest.mark.parametrize("ask", [open_input, size_of, change_mark])
def test_a_file_that_is_not_there_is_told(ask, place):
    with pytest.raises(FileError) as caught:
        ask(place)
    assert str(caught.value) == f"{place}: no such file"


def test_the_mark_changes_with_the_file(tmp_path, memory):
    path = tmp_path / "a.csv"
    path.write_bytes(b"one")
    memory.pipe_file("/a.csv", b"one")
    places = [str(path), f"file://{path}", "memory://a.csv"]
    before = [change_mark(place) for place in places]
    assert [change_mark(place) for place in places] == before
    path.write_bytes(b"two, and more")
    memory.pipe_file("/a.csv", b"two, and more")
    assert not set(before) & {change_mark(place) for place in places}
    longer = change_mark(str(path))
    os.utime(path, ns=(1, 1))  # of the same size
    assert change_mark(str(path)) != longer


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied"), "a.csv: Permission denied"),
        (OSError("of the package"), "a.csv: of the package"),
        (KeyError("any other\nwith lines"), "a.csv: 'any other\\nwith lines'"),
        (FileError("ours"), "ours"),
    ],
)
def test_errors_of_file_systems_become_ours(error, said):
    with pytest.raises(FileError) as caught, told("a.csv"):
        raise error
    assert str(caught.value) == said


def test_a_foreign_error_is_told_in_one_line():
    assert first_line(ValueError("\none\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 999))) == 200
