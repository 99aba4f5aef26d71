"""A folder of part files that appears as a whole."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import FileError
from .file_place import file_system, local_path, told

SUCCESS = "_SUCCESS"
"""Written last. Readers of such folders pass over names that begin with an underscore."""


class PartFolder:
    """Where a run writes, and what becomes of it.

    On a file system parts are written to OUTPUT.partial, which is renamed in the end. In an object
    store nothing can be renamed without copying it all: there parts are written in place, and
    `_SUCCESS` beside them tells that they are complete.
    """

    def __init__(self, output: str, *, restart: bool) -> None:
        """Look whether the place is free; nothing is written yet.

        Args:
            output: path or URI of the folder.
            restart: whether what an interrupted run has left may be removed.

        Raises:
            FileError: it is not free, or cannot be reached.
        """
        self._output = output
        local = local_path(output)
        self._renamed = local is not None
        self.staging = f"{output}.partial" if self._renamed else output
        """Where the parts go."""
        self._files, self._path = file_system(self.staging)
        _, self._target = file_system(output)
        with told(output):
            self._check_free(restart)

    def begin(self) -> None:
        """Make the folder for the parts, empty.

        Raises:
            FileError: it cannot be made.
        """
        with told(self.staging):
            self._remove()
            self._files.makedirs(self._path, exist_ok=True)

    def complete(self, about: Mapping[str, Any]) -> None:
        """Give the folder its name.

        Args:
            about: what `_SUCCESS` says, as JSON.

        Raises:
            FileError: it cannot be renamed, or the disk is full.
        """
        with told(self._output):
            self._files.pipe_file(f"{self._path}/{SUCCESS}", json.dumps(about).encode() + b"\n")
            if self._renamed:
                with contextlib.suppress(FileNotFoundError):
                    Path(self._target).rmdir()  # an empty one may be there
                Path(self._path).replace(self._target)

    def abandon(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(FileError), told(self.staging):
            self._remove()

    def _check_free(self, restart: bool) -> None:
        files = self._files
        if files.exists(self._target) and (not files.isdir(self._target) or files.ls(self._target)):
            unfinished = not self._renamed and not files.exists(f"{self._target}/{SUCCESS}")
            if not (unfinished and restart):
                hint = ", or --restart, since it is not finished" if unfinished else ""
                raise FileError(f"{self._output}: is there already; say another name{hint}")
        if self._renamed and files.exists(self._path) and not restart:
            raise FileError(
                f"{self.staging} was left by a run that was interrupted, or another run writes it; "
                "move it away, or say --restart to remove it"
            )

    def _remove(self) -> None:
        if self._files.exists(self._path):
            self._files.rm(self._path, recursive=True)
