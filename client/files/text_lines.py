"""Bytes to lines of text, block by block; decoding costs little more than reading."""

import codecs
import contextlib
import io
import itertools
from collections.abc import Generator, Iterator
from typing import BinaryIO, cast

from typing_extensions import Buffer, override

from ..errors import FileError
from .compression import BUFFER_BYTES, DamagedDataError
from .file_place import first_line

# A file whose lines never end would otherwise be in memory as a whole.
MAX_LINE_BYTES = 64 * 1024 * 1024
# Files that begin with one of these are read by it, whatever else was said. UTF-32 comes first: its
# mark begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class TextLines:
    """The lines of a stream, ends included.

    Lines end with a line feed, with or without a carriage return before it. When there is none in
    the beginning of the stream, they end with carriage returns alone, as in very old files.
    """

    def __init__(self, stream: BinaryIO, encoding: str, name: str) -> None:
        """Read lines of `stream`, which `name` stands for in messages.

        Raises:
            FileError: the encoding is not known, or the stream cannot be read.
        """
        ascii_like = _is_ascii_like(encoding)
        self._name = name
        self._read = 0  # lines given out
        with self._told():
            buffered = cast("io.BufferedReader", stream)
            marks = buffered.peek(4)[:4]
        marked = next((code for mark, code in _MARKS.items() if marks.startswith(mark)), None)
        self._encoding = marked or encoding
        self._stream = buffered
        if marked or not ascii_like:  # its line ends are no single bytes
            self._stream = io.BufferedReader(_Recoded(buffered, self._encoding), BUFFER_BYTES)
        self._decode = codecs.getdecoder("utf-8" if marked or not ascii_like else encoding)
        self._end = b"\n"

    def __iter__(self) -> Iterator[str]:
        return itertools.chain.from_iterable(
            io.StringIO(block, newline="\n" if self._end == b"\n" else "")
            for block in self._blocks()
        )

    def _blocks(self) -> Iterator[str]:
        """Whole lines, many at once.

        Raises:
            FileError: the lines cannot be read or decoded; what is good before was given out.
        """
        for number, lines in enumerate(self._whole_lines()):
            good, fault = self._decoded(lines)
            if number == 0:
                good = good.removeprefix("\ufeff")
            if good:
                yield good
            if fault is not None:
                raise fault

    def _decoded(self, lines: bytes) -> tuple[str, FileError | None]:
        """The lines before the first that cannot be decoded, and what is to say of that one."""
        try:
            text, _ = self._decode(lines)
        except UnicodeDecodeError as error:
            start = lines.rfind(self._end, 0, error.start) + 1
            good, _ = self._decode(lines[:start])
            self._read += lines.count(self._end, 0, start)
            fault = FileError(
                f"{self._name}: line {self._read + 1} is not valid {self._encoding} (byte "
                f"0x{lines[error.start]:02x}); convert the file, or say --encoding, "
                "for example --encoding cp1252"
            )
            fault.__cause__ = error
            return good, fault
        self._read += lines.count(self._end)
        return text, None

    def _whole_lines(self) -> Iterator[bytes]:
        """Blocks of bytes that end where a line does."""
        held = [self._first_block()]
        size = len(held[0])
        while True:
            last = held[-1]
            cut = last.rfind(self._end) + 1
            if cut == len(last) and self._end == b"\r":
                cut = last.rfind(self._end, 0, -1) + 1  # a line feed may follow
            if cut:
                yield b"".join(held)[: size - len(last) + cut]
                held = [last[cut:]]
                size = len(held[0])
            elif size > MAX_LINE_BYTES:
                raise FileError(
                    f"{self._name}: line {self._read + 1} is longer than "
                    f"{MAX_LINE_BYTES // 1024 // 1024} MiB"
                )
            block = self._next_block()
            if not block:
                break
            held.append(block)
            size += len(block)
        if size:
            yield b"".join(held)

    def _first_block(self) -> bytes:
        """The beginning; it shows how lines end, however few bytes a pipe gives at a time."""
        data = b""
        while len(data) < BUFFER_BYTES and b"\n" not in data:
            block = self._next_block()
            if not block:
                break
            data += block
        beginning = data[:BUFFER_BYTES]
        self._check_not_utf16(beginning[:64])
        if b"\n" not in beginning and b"\r" in beginning:
            self._end = b"\r"
        return data

    def _check_not_utf16(self, beginning: bytes) -> None:
        """Without a mark it looks like ASCII with a NUL in each second place."""
        even, odd = beginning[::2], beginning[1::2]
        if len(beginning) >= 8 and any(even) != any(odd):
            found = "utf-16-le" if any(even) else "utf-16-be"
            raise FileError(f"{self._name}: looks like UTF-16; say --encoding {found}")

    def _next_block(self) -> bytes:
        with self._told():
            return self._stream.read1(BUFFER_BYTES)

    @contextlib.contextmanager
    def _told(self) -> Generator[None]:
        """Say what is wrong with the stream, and where."""
        try:
            yield
        except DamagedDataError as error:
            raise FileError(f"{self._name}: {error} after line {self._read}") from error
        except UnicodeDecodeError as error:
            raise FileError(
                f"{self._name}: is not valid {error.encoding} after line {self._read}; convert it "
                "to UTF-8"
            ) from error
        except OSError as error:
            doing = "cannot be read on" if self._read else "cannot be read"
            reason = error.strerror or first_line(error)
            raise FileError(f"{self._name}: {doing}: {reason}") from error


class _Recoded(io.RawIOBase):
    """UTF-16 or UTF-32 as UTF-8, in which a line feed is one byte."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = cast("io.BufferedReader", stream)
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._held = b""

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        at_end = False
        while not self._held and not at_end:
            block = self._stream.read1(BUFFER_BYTES)
            at_end = not block
            self._held = self._decoder.decode(block, final=at_end).encode()
        given = self._held[: len(view)]
        self._held = self._held[len(view) :]
        view[: len(given)] = given
        return len(given)


def _is_ascii_like(encoding: str) -> bool:
    """Whether line feeds, commas and quotes are single bytes, as in ASCII.

    Raises:
        FileError: the encoding is not known, or not read.
    """
    try:
        name = codecs.lookup(encoding).name
        if '\n,"a'.encode(encoding) == b'\n,"a':
            return True
    except (LookupError, UnicodeError):
        raise FileError(
            f"the encoding {encoding!r} is not known; examples: utf-8, cp1252"
        ) from None
    if name.startswith(("utf-16", "utf-32", "utf-8-sig")):
        return False
    raise FileError(f"the encoding {encoding!r} is not read; convert the file to UTF-8")
