"""Bytes to lines of text: encodings, marks, line ends, and what cannot be read."""

import errno
import io
import os
import threading
import tracemalloc

import pytest
from read_files import ROWS, TEXT_FORMATS, TEXTS, encoded, read, read_to_fault, rows_of, saved
from twinhead.client import FileError
from twinhead.client.files import file_reader, text_lines
from twinhead.client.files.text_lines import TextLines


def lines_of(data: bytes, encoding: str = "utf-8") -> list[str]:
    return list(TextLines(io.BufferedReader(io.BytesIO(data)), encoding, "it"))


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("file_format", TEXT_FORMATS)
def test_a_byte_order_mark_tells_the_encoding_and_is_no_part_of_the_data(
    tmp_path, file_format, mark
):
    data = encoded(file_format, ROWS).decode().encode(mark)
    assert not data.startswith(encoded(file_format, ROWS)[:1])
    assert read(saved(tmp_path, f"in.{file_format}", data)) == (TEXTS, rows_of(file_format, ROWS))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8-sig", "cp1252", "shift_jis"])
def test_other_encodings_are_read_when_they_are_said(encoding):
    lines = ["text\n"] * 30_000 + ["Übel" if encoding != "shift_jis" else "日本"]
    assert lines_of("".join(lines).encode(encoding), encoding) == lines


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_told(tmp_path, encoding):
    path = saved(tmp_path, "in.csv", "id,text\n1,one\n".encode(encoding))
    message = f"{path}: looks like UTF-16; say --encoding {encoding}"
    assert read_to_fault(path) == ([], message)
    assert read(path, encoding=encoding)[0] == ["one"]


def test_utf16_that_is_broken_is_told_after_the_lines_before_it(tmp_path):
    words = [f"word {n}" for n in range(40_000)]
    data = ("\n".join(words) + "\n").encode("utf-16") + b"\x00\xd8\x00\x00"
    texts, message = read_to_fault(saved(tmp_path, "in.txt", data))
    assert texts == words[: len(texts)]
    assert len(texts) > 30_000
    assert f"is not valid utf-16-le after line {len(texts)}; convert it to UTF-8" in message


@pytest.mark.parametrize("file_format", TEXT_FORMATS)
@pytest.mark.parametrize("last_end", [True, False])
@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_other_line_ends_are_no_part_of_the_data(tmp_path, file_format, end, last_end):
    data = {
        "txt": ["one", "two words", "three"],
        "csv": ["text", "one", '"two words"', "three"],
        "tsv": ["text", "one", '"two words"', "three"],
        "jsonl": ['{"text": "one"}', '{"text": "two words"}', '{"text": "three"}'],
    }[file_format]
    path = saved(tmp_path, f"in.{file_format}", end.join(data) + end * last_end)
    assert read(path)[0] == ["one", "two words", "three"]


def test_a_long_file_with_carriage_returns_alone_is_read_in_blocks():
    lines = [f"line {n}\r" for n in range(50_000)]
    lines[40_000] = "with both\r\n"
    assert lines_of("".join(lines).encode()) == lines


def test_a_pipe_that_gives_little_at_a_time_gives_the_same_lines():
    """How lines end is told by the file, and not by what has come of it so far."""
    reading, writing = os.pipe()

    def drip() -> None:
        with os.fdopen(writing, "wb", buffering=0) as stream:
            for piece in (b"id,te", b"xt\rstill one\n", b"tw", b"o\r", b"\nthree"):
                stream.write(piece)

    thread = threading.Thread(target=drip)
    thread.start()
    with os.fdopen(reading, "rb") as stream:
        lines = list(TextLines(stream, "utf-8", "it"))
    thread.join()
    assert lines == ["id,text\rstill one\n", "two\r\n", "three"]


@pytest.mark.parametrize("file_format", TEXT_FORMATS)
def test_what_is_not_utf8_is_told_with_its_line_and_the_option_that_helps(tmp_path, file_format):
    words = [f"word {n}" for n in range(5000)] + ["cr\xe8me br\xfbl\xe9e", "after"]
    lines = [f'{{"text": "{word}"}}' if file_format == "jsonl" else word for word in words]
    if file_format in ("csv", "tsv"):
        lines.insert(0, "text")
    path = saved(tmp_path, f"in.{file_format}", "\n".join(lines).encode("cp1252"))
    texts, message = read_to_fault(path)
    assert texts == words[:5000]
    assert f"line {len(lines) - 1} is not valid utf-8 (byte 0xe8)" in message
    assert "--encoding cp1252" in message
    assert read(path, encoding="cp1252")[0] == words


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("klingon", "the encoding 'klingon' is not known; examples: utf-8, cp1252"),
        ("base64", "the encoding 'base64' is not known; examples: utf-8, cp1252"),
        ("undefined", "the encoding 'undefined' is not known; examples: utf-8, cp1252"),
        ("cp037", "the encoding 'cp037' is not read; convert the file to UTF-8"),
    ],
)
def test_an_encoding_that_cannot_be_read_is_told(tmp_path, encoding, message):
    assert read_to_fault(saved(tmp_path, "in.csv", "text\none\n"), encoding=encoding) == (
        [],
        message,
    )


def test_a_line_that_never_ends_is_told_before_memory_is_full(monkeypatch):
    monkeypatch.setattr(text_lines, "MAX_LINE_BYTES", 8 << 20)

    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer) -> int:
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=r"^it: line 1 is longer than 8 MiB$"):
            list(TextLines(io.BufferedReader(Endless()), "utf-8", "it"))
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


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


@pytest.mark.parametrize("size", [0, 300_000])
@pytest.mark.parametrize("file_format", TEXT_FORMATS)
def test_a_disk_that_fails_is_told_after_the_rows_before_it(monkeypatch, file_format, size):
    rows = [{"text": f"word {n}"} for n in range(60_000)]
    data = encoded(file_format, rows)[:size]
    monkeypatch.setattr(file_reader, "open_input", lambda _: io.BufferedReader(BrokenDisk(data)))
    texts, message = read_to_fault("-", file_format=file_format)
    assert texts == [row["text"] for row in rows[: len(texts)]]
    assert bool(texts) == bool(size)
    assert message.startswith("standard input: cannot be read")
    assert message.endswith(": Input/output error")
