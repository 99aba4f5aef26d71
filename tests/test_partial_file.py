"""A file appears when it is whole, and nothing else is replaced by it."""

import os
import stat

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from twinhead.client import FileError
from twinhead.client.files.output_file import OutputFile
from twinhead.client.files.partial_file import PartialFile
from twinhead.client.files.row_writer import Layout
from written_files import NEW


@pytest.mark.parametrize(
    ("below", "reason"), [("nothing", "No such file or directory"), ("a file", "Not a directory")]
)
def test_a_place_that_cannot_be_written_to_is_told(tmp_path, below, reason):
    folder = tmp_path / "folder"
    if below == "a file":
        folder.write_text("")
    with pytest.raises(FileError) as caught:
        OutputFile(str(folder / "out.csv"), None)
    assert str(caught.value) == f"{folder / 'out.csv'}: cannot write there: {reason}"


def test_a_folder_is_not_replaced(tmp_path):
    target = tmp_path / "out.csv"
    target.mkdir()
    with pytest.raises(FileError) as caught:
        OutputFile(str(target), None, "in.csv")
    assert str(caught.value) == f"{target}: is a folder; say a file's name"
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_pipe_or_device_is_not_replaced(tmp_path):
    target = tmp_path / "out.csv"
    os.mkfifo(target)
    with pytest.raises(FileError) as caught:
        OutputFile(str(target), None)
    assert str(caught.value) == f"{target}: is not a file; say - for standard output"
    assert stat.S_ISFIFO(target.stat().st_mode)


def test_a_name_that_is_taken_in_the_meantime_is_told(tmp_path):
    target = tmp_path / "out.csv"
    output = OutputFile(str(target), None)
    output.begin(Layout(["text"], None, NEW))
    target.mkdir()
    with pytest.raises(FileError, match=r"out\.csv\.partial: Is a directory"):
        output.complete()
    output.abandon()
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_has_its_name_when_it_is_whole(tmp_path):
    target = tmp_path / "out.csv"
    target.write_text("of yesterday")
    partial = tmp_path / "out.csv.partial"
    partial.write_text("of a killed run, and longer than this one is")
    file = PartialFile(str(target))
    assert file.partial == partial
    file.stream.write(b"of today")
    assert target.read_text() == "of yesterday"
    file.complete()
    assert target.read_text() == "of today"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("written", [b"", b"something"])
def test_an_abandoned_file_leaves_nothing(tmp_path, memory, written):
    for place in (str(tmp_path / "out.csv"), "memory://out.csv"):
        file = PartialFile(place)
        file.stream.write(written)
        file.abandon()
        file.abandon()  # once more does no harm
        assert file.stream.closed
    assert list(tmp_path.iterdir()) == []
    assert memory.find("/") == []


def test_a_file_on_this_machine_may_be_named_by_a_uri(tmp_path):
    file = PartialFile(f"file://{tmp_path}/out.csv")
    assert file.partial == tmp_path / "out.csv.partial"
    file.stream.write(b"one")
    file.complete()
    assert (tmp_path / "out.csv").read_bytes() == b"one"


def test_elsewhere_a_file_is_sent_in_one_go_and_then_moved(memory, monkeypatch):
    memory.pipe_file("/folder/out.csv", b"of yesterday")
    file = PartialFile("memory://folder/out.csv")
    assert file.partial is None
    file.stream.write(b"of today" * 99)
    seen: list[tuple[str, bytes]] = []
    move = MemoryFileSystem.mv

    def watched_move(self, source, target, **options):
        seen.append((source, memory.cat_file("/folder/out.csv")))
        move(self, source, target, **options)

    monkeypatch.setattr(MemoryFileSystem, "mv", watched_move)
    file.complete()
    assert seen == [("/folder/out.csv.partial", b"of yesterday")]
    assert memory.cat_file("/folder/out.csv") == b"of today" * 99
    assert memory.find("/") == ["/folder/out.csv"]
    assert file.stream.closed


def test_an_object_store_shows_whole_objects_by_itself(memory, monkeypatch):
    monkeypatch.setattr(MemoryFileSystem, "protocol", ("s3", "s3a"))
    monkeypatch.setattr(MemoryFileSystem, "mv", lambda *_: pytest.fail("a copy of all of it"))
    file = PartialFile("memory://out.csv")
    file.stream.write(b"one")
    file.complete()
    assert memory.cat_file("/out.csv") == b"one"


def test_a_place_elsewhere_that_is_a_folder_or_fails_is_told(memory, monkeypatch):
    memory.pipe_file("/folder/in.csv", b"one")
    with pytest.raises(FileError, match=r"^memory://folder: is a folder; say a file's name$"):
        PartialFile("memory://folder")
    file = PartialFile("memory://out.csv")

    def refuse(*_, **__):
        raise RuntimeError("quota\nand more")

    monkeypatch.setattr(MemoryFileSystem, "put_file", refuse)
    with pytest.raises(FileError, match=r"^memory://out\.csv cannot be written: quota$"):
        file.complete()
    file.abandon()
    assert memory.find("/") == ["/folder/in.csv"]
