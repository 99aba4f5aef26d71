"""What workers have answered so far, on disk: after an interruption it need not be asked again."""

import contextlib
import json
import os
import stat
import struct
import tempfile
import zlib
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import FileError
from ..interrupts import held_interrupts
from .label_plan import LabelRequest

try:
    import fcntl
except ImportError:  # Windows has none; there two runs at once are not noticed
    fcntl = None

_MAGIC = b"twinhead label journal 1\n"
# Number of the request, digest of its sentences, length of the answer, and a checksum of them all.
_RECORD = struct.Struct("<Q16sII")
# Requests before one with an answer that may have none.
_SPARSE = 1 << 20


class LabelJournal:
    """A file of answers, in the order in which they came.

    It begins with what the run is: its input, options and model version. Then come records, each
    with a checksum: one that is cut off by a kill or a full disk is passed over, with all that
    follows. While the file is open it is locked.
    """

    def __init__(self, path: Path | None) -> None:
        """Open or make a journal.

        Args:
            path: the file; None for one without a name, which nobody can go on from.

        Raises:
            FileError: it cannot be written, is none, or another run has it.
        """
        self.path = path
        self.run: Mapping[str, Any] = {}
        """What the run is, as given to `begin`; empty for a new journal."""
        self.answered = 0
        """Requests with an answer."""
        # By number of the request: where its record begins; 0 where there is none.
        self._offsets = array("Q")
        try:
            self._file = (
                cast("BinaryIO", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
                if path is None
                else open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)  # noqa: SIM115, PTH123
            )
        except OSError as error:
            raise FileError(
                f"{path or 'temporary file'}: cannot write there: {error.strerror}"
            ) from error
        try:
            # Of a device or a pipe nothing can be read again; and at the end it would be removed.
            if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                raise FileError(f"{path}: is no regular file; the journal needs one")
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise

    def begin(self, run: Mapping[str, Any]) -> None:
        """Start anew, whatever the journal has.

        Args:
            run: what the run is, in JSON's types.

        Raises:
            FileError: the disk is full.
        """
        head = json.dumps(run).encode()
        self._file.seek(0)
        self._file.truncate()
        self._write(_MAGIC + len(head).to_bytes(4, "little") + head)
        self.forget()
        self.run = dict(run)

    def forget(self) -> None:
        """Drop all that an earlier run has left."""
        self.run, self.answered, self._offsets = {}, 0, array("Q")

    def has(self, request: LabelRequest, *, allow_changed: bool = False) -> bool:
        """Whether a request is answered.

        Raises:
            FileError: one of its number is, but it had other sentences; unless that is allowed.
        """
        offset = self._offset(request.number)
        if not offset:
            return False
        digest, _ = self._record(offset)
        if digest != request.digest and not allow_changed:
            raise FileError(
                f"{self.path} has answers to other sentences than the input has now; "
                "--allow-changed keeps those that come before the first change, --restart begins "
                "anew"
            )
        return digest == request.digest

    def add(self, request: LabelRequest, answer: bytes) -> None:
        """Keep an answer.

        Raises:
            FileError: the disk is full.
        """
        head = _RECORD.pack(request.number, request.digest, len(answer), 0)
        head = head[:-4] + zlib.crc32(answer, zlib.crc32(head[:-4])).to_bytes(4, "little")
        offset = self._file.seek(0, os.SEEK_END)
        # Else an answer may be in the file and not be known to be: of a run's first one, the file
        # would be removed.
        with held_interrupts():
            self._write(head + answer)
            self._note(request.number, offset)

    def read(self, number: int) -> bytes:
        """The answer to a request.

        Raises:
            KeyError: there is none.
            FileError: it cannot be read any more.
        """
        offset = self._offset(number)
        if not offset:
            raise KeyError(number)
        _, length = self._record(offset)
        answer = self._file.read(length)
        if len(answer) != length:
            raise self._cut_off()
        return answer

    def close(self) -> None:
        """Let go of the file; what it has stays."""
        self._file.close()

    def remove(self) -> None:
        """Remove the file: the run is complete, or there is nothing worth keeping."""
        self.close()
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _lock(self) -> None:
        if fcntl is None:
            return
        taken = FileError(f"another run writes {self.path}; wait for it, or end it")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise taken from None
        except OSError:  # a file system without locks
            return
        # Another run may just have ended, and removed the file that was opened here.
        if self.path is not None and os.fstat(self._file.fileno()).st_nlink == 0:
            raise taken

    def _read(self) -> None:
        head = self._file.read(len(_MAGIC) + 4)
        if not head.startswith(_MAGIC[: len(head)]):
            raise FileError(f"{self.path} is in the way: no journal of this version of twinhead")
        size = int.from_bytes(head[len(_MAGIC) :], "little")
        try:
            self.run = json.loads(self._file.read(size))
        except ValueError:  # cut off in its first lines: nothing was answered yet
            return
        offset = len(_MAGIC) + 4 + size
        size = os.fstat(self._file.fileno()).st_size
        with open(self._file.fileno(), "rb", closefd=False) as stream:
            while len(head := stream.read(_RECORD.size)) == _RECORD.size:
                number, _, length, checksum = _RECORD.unpack(head)
                # Damaged ones: take no memory for what they claim.
                if number > size + _SPARSE or length > size:
                    break
                answer = stream.read(length)
                if len(answer) != length or zlib.crc32(answer, zlib.crc32(head[:-4])) != checksum:
                    break
                self._note(number, offset)
                offset += _RECORD.size + length
        self._file.truncate(offset)

    def _record(self, offset: int) -> tuple[bytes, int]:
        """Digest and length of a record; what is read next is its answer."""
        self._file.seek(offset)
        head = self._file.read(_RECORD.size)
        if len(head) != _RECORD.size:
            raise self._cut_off()
        _, digest, length, _ = _RECORD.unpack(head)
        return digest, length

    def _cut_off(self) -> FileError:
        return FileError(f"{self.path or 'temporary file'} was cut off while it was in use")

    def _note(self, number: int, offset: int) -> None:
        missing = number + 1 - len(self._offsets)
        if missing > 0:
            self._offsets.extend([0] * missing)
        self.answered += not self._offsets[number]
        self._offsets[number] = offset

    def _offset(self, number: int) -> int:
        return self._offsets[number] if number < len(self._offsets) else 0

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise FileError(f"{self.path or 'temporary file'}: {error.strerror}") from error
