"""A file that was changed has another stamp."""

import os

import pytest
from twinhead.server.file_stamp import file_stamp


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "file"
    file.write_text("one")
    return file


def test_a_file_that_stays_keeps_its_stamp(file):
    before = file_stamp(file)
    assert before is not None
    file.read_text()
    file.chmod(0o600)
    assert file_stamp(file) == before


def test_other_content_of_another_size(file):
    before = file_stamp(file)
    with file.open("a") as stream:
        stream.write("more")
    assert file_stamp(file) != before


def test_other_content_of_the_same_size(file):
    before = file_stamp(file)
    file.write_text("two")
    # Within a tick of the file system's clock both writes would have one time.
    os.utime(file, ns=(0, before[0] + 1))
    assert file_stamp(file) != before


def test_another_file_of_the_same_size_and_time(file, tmp_path):
    before = file_stamp(file)
    other = tmp_path / "other"
    other.write_text("two")
    os.utime(other, ns=(0, before[0]))
    other.replace(file)
    assert file_stamp(file) != before


def test_what_a_link_leads_to_counts(file, tmp_path):
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(file)
    assert file_stamp(link) == file_stamp(file)
    other.write_text("two")
    link.unlink()
    link.symlink_to(other)
    assert file_stamp(link) == file_stamp(other) != file_stamp(file)


def test_no_file_has_no_stamp(file, tmp_path):
    file.unlink()
    assert file_stamp(file) is None
    assert file_stamp(tmp_path / "no" / "such" / "folder") is None
    assert file_stamp(tmp_path / ("x" * 300)) is None  # no name that there could be
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert file_stamp(loop) is None
