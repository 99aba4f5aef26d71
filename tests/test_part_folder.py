"""A folder of part files appears as a whole."""

import json
from pathlib import Path

import pytest
from twinhead.client import FileError
from twinhead.client.files.part_folder import SUCCESS, PartFolder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_it_has_its_name_when_it_is_complete(tmp_path):
    (tmp_path / "out").mkdir()  # an empty one is no hindrance
    folder = PartFolder(str(tmp_path / "out"), restart=False)
    folder.begin()
    Path(folder.staging, "part-000000.csv").write_text("a\n")
    assert names(tmp_path) == ["out", "out.partial", "out.partial/part-000000.csv"]
    folder.complete({"rows": 1})
    assert names(tmp_path) == ["out", f"out/{SUCCESS}", "out/part-000000.csv"]
    assert json.loads((tmp_path / "out" / SUCCESS).read_text()) == {"rows": 1}


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    (tmp_path / "file").touch()
    for name in ("out", "file"):
        for restart in (False, True):
            with pytest.raises(FileError, match=f"{name}: is there already; say another name$"):
                PartFolder(str(tmp_path / name), restart=restart)
    assert names(tmp_path) == ["file", "out", "out/mine"]


def test_what_an_interrupted_run_left_is_removed_when_asked_for(tmp_path):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "part-000000.csv").touch()
    with pytest.raises(FileError, match=r"out\.partial was left by .* --restart to remove it"):
        PartFolder(str(tmp_path / "out"), restart=False)
    folder = PartFolder(str(tmp_path / "out"), restart=True)
    folder.begin()
    assert names(tmp_path) == ["out.partial"]
    folder.abandon()
    assert names(tmp_path) == []


def test_in_an_object_store_the_mark_comes_last(memory):
    folder = PartFolder("memory://bucket/out", restart=False)
    folder.begin()
    assert folder.staging == "memory://bucket/out"
    memory.pipe_file("/bucket/out/part-000000.csv", b"a\n")
    with pytest.raises(FileError, match=r"is there already; .* or --restart, since it is not fini"):
        PartFolder("memory://bucket/out", restart=False)
    again = PartFolder("memory://bucket/out", restart=True)
    again.begin()
    assert memory.find("/bucket") == []
    folder.complete({})
    assert memory.find("/bucket") == [f"/bucket/out/{SUCCESS}"]
    with pytest.raises(FileError, match=r"is there already; say another name$"):
        PartFolder("memory://bucket/out", restart=True)


def test_a_place_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").touch()
    folder = PartFolder(str(tmp_path / "file" / "out"), restart=False)
    with pytest.raises(FileError, match=r"file/out\.partial: Not a directory"):
        folder.begin()
    folder.abandon()
    with pytest.raises(FileError, match="nowhere://out"):
        PartFolder("nowhere://out", restart=False)
