"""Paths, globs and folders as lists of files, here and elsewhere."""

from pathlib import Path

import fsspec
import pytest
from twinhead.client import FileError
from twinhead.client.files.input_files import expand

FILES = [
    "b.csv",
    "a.csv.gz",
    "deep/er/c.csv",
    "deep/out.csv.partial",
    "out.csv.journal",
    ".hidden.csv",
    ".git/d.csv",
    "_SUCCESS",
    "_delta_log/e.csv",
    "readme.md",
    "empty/",
]
FOUND = ["a.csv.gz", "b.csv", "deep/er/c.csv"]


@pytest.fixture(params=["path", "file", "memory"])
def root(request, memory, tmp_path) -> str:
    """A folder with files, as a path or as a URI."""
    place = {"path": str(tmp_path), "file": f"file://{tmp_path}", "memory": "memory://root"}
    files = memory if request.param == "memory" else fsspec.filesystem("file")
    inside = "/root" if request.param == "memory" else str(tmp_path)
    for name in FILES:
        if name.endswith("/"):
            files.makedirs(f"{inside}/{name}")
        else:
            files.makedirs(f"{inside}/{name}".rpartition("/")[0], exist_ok=True)
            files.pipe_file(f"{inside}/{name}", b"text\n")
    return place[request.param]


def below(root: str, files: list[str]) -> list[str]:
    """The files, by their paths in the folder."""
    return [file.replace("memory:///", "memory://").split(f"{root[-20:]}/")[-1] for file in files]


@pytest.mark.parametrize("end", ["", "/"])
def test_a_folder_stands_for_the_files_in_it(root, end):
    found = expand(root + end)
    assert below(root, found) == FOUND
    for file in found:  # as they are given they can be opened
        with fsspec.open(file) as stream:
            assert stream.read() == b"text\n"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.csv", ["b.csv"]),
        ("*", ["a.csv.gz", "b.csv"]),
        ("[ab].csv*", ["a.csv.gz", "b.csv"]),
        ("**/*.csv", ["b.csv", "deep/er/c.csv"]),
        ("*/*/c.csv", ["deep/er/c.csv"]),
        ("_delta*/*", ["_delta_log/e.csv"]),  # it is asked for
        ("_delta_log/*", ["_delta_log/e.csv"]),
    ],
)
def test_a_glob_stands_for_the_files_that_match(root, pattern, expected):
    assert below(root, expand(f"{root}/{pattern}")) == expected


def test_a_file_stands_for_itself_whatever_it_is_called(root, tmp_path):
    for place in (f"{root}/b.csv", f"{root}/.hidden.csv", f"{root}/readme.md", "-", "nowhere.csv"):
        assert expand(place) == [place]
    odd = tmp_path / "a[1].csv"
    odd.write_text("text\n")
    assert expand(str(odd)) == [str(odd)]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("empty", "empty: holds no files"),
        ("*.tsv", "*.tsv: matches no file"),
        ("nowhere/*", "nowhere/*: matches no file"),
        ("*.md", "*.md: has no files of a known format (txt, csv, tsv, jsonl, parquet, arrow), "),
    ],
)
def test_what_stands_for_nothing_is_told(root, place, said):
    with pytest.raises(FileError) as caught:
        expand(f"{root}/{place}")
    assert f"{root}/{said}" in str(caught.value)


def test_files_of_several_formats_are_told_and_one_can_be_chosen(tmp_path):
    for name in ("a.csv", "b.txt", "c.txt.zst", "d.dat"):
        (tmp_path / name).write_text("text\n")
    with pytest.raises(FileError) as caught:
        expand(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: has files of several formats, for example {tmp_path}/a.csv and "
        f"{tmp_path}/b.txt; say --input-format"
    )
    assert [Path(file).name for file in expand(str(tmp_path), "txt")] == ["b.txt", "c.txt.zst"]
    # Of a format that no name tells, those whose names tell none.
    assert [Path(file).name for file in expand(str(tmp_path), "jsonl")] == ["d.dat"]
    (tmp_path / "d.dat").unlink()
    with pytest.raises(FileError, match="has no jsonl files"):
        expand(str(tmp_path), "jsonl")
