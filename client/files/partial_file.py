"""A file that appears under its name only when it is whole."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, cast

from ..errors import FileError
from .file_place import file_system, first_line, local_path, told

SUFFIX = ".partial"
# Where an object appears when all of it has arrived; elsewhere a file is seen while it grows.
_OBJECT_STORES = frozenset(
    ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "az", "oss", "oci", "r2", "hf")
)


class PartialFile:
    """A file on this machine is written beside its place, any other in a temporary file."""

    def __init__(self, place: str) -> None:
        """Begin to write; what a killed run has left under the partial name is overwritten.

        Raises:
            FileError: the place cannot be written to.
        """
        self._place = place
        self._target = local_path(place)
        self.partial = None if self._target is None else Path(f"{self._target}{SUFFIX}")
        """Where the file is until it is whole; None when its place is on another machine."""
        self.stream = self._open_temporary() if self.partial is None else self._open(self.partial)
        """What to write to."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._place if self.partial is None else str(self.partial)

    def complete(self) -> None:
        """Give the file its name.

        Raises:
            OSError: the disk is full, or the name is taken by something else.
            FileError: it cannot be sent to its place.
        """
        self.stream.flush()
        if self.partial is None or self._target is None:
            self._send()
            return
        os.fsync(self.stream.fileno())
        self.stream.close()
        self.partial.replace(self._target)
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # else the old name may be back after a power cut
        finally:
            os.close(folder)

    def abandon(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError, ValueError):
            self.stream.close()
        if self.partial is not None:
            self.partial.unlink(missing_ok=True)

    def _open(self, partial: Path) -> BinaryIO:
        target = cast("Path", self._target)
        try:
            if target.is_dir():
                raise FileError(f"{self._place}: is a folder; say a file's name")
            if target.exists() and not target.is_file():
                # A pipe or a device would be replaced by a file.
                raise FileError(f"{self._place}: is not a file; say - for standard output")
            return partial.open("wb")
        except OSError as error:
            raise FileError(f"{self._place}: cannot write there: {error.strerror}") from error

    def _open_temporary(self) -> BinaryIO:
        with told(self._place):
            files, inside = file_system(self._place)
            if files.isdir(inside):
                raise FileError(f"{self._place}: is a folder; say a file's name")
            held = tempfile.NamedTemporaryFile(prefix="twinhead-")  # noqa: SIM115 (closed later)
            return cast("BinaryIO", held)

    def _send(self) -> None:
        try:
            files, inside = file_system(self._place)
            protocols = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
            arriving = inside if protocols & _OBJECT_STORES else f"{inside}{SUFFIX}"
            files.put_file(self.stream.name, arriving)
            if arriving != inside:
                files.mv(arriving, inside)
        except Exception as error:  # the packages of object stores raise what they like
            raise FileError(f"{self._place} cannot be written: {first_line(error)}") from error
        self.stream.close()
