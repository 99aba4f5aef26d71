"""Places of files: on this machine, standard input and output, or any URI that fsspec knows."""

import contextlib
import io
import os
import stat
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import FileError

STANDARD = "-"
"""Standard input or output, in place of a path."""
# What file systems have of these tells whether a file was changed.
_CHANGE_MARKS = ("size", "ETag", "etag", "mtime", "LastModified", "last_modified", "md5Hash")


def is_uri(place: str) -> bool:
    """Whether it is a URI such as `s3://bucket/file.csv`, and no path of this machine."""
    return "://" in place


def file_system(uri: str) -> tuple[Any, str]:
    """The fsspec file system of a URI, and the path in it.

    Raises:
        FileError: there is no such file system, a package for it is missing, or it cannot be
            reached.
    """
    import fsspec  # takes a tenth of a second, and only URIs need it

    with told(uri):
        return fsspec.core.url_to_fs(uri)


def local_path(place: str) -> Path | None:
    """The path of a place on this machine, also of a `file://` URI; None for all others.

    Raises:
        FileError: as `file_system` does.
    """
    if place == STANDARD:
        return None
    if not is_uri(place):
        return Path(place)
    if not place.startswith(("file://", "local://")):
        return None
    return Path(file_system(place)[1])


@contextlib.contextmanager
def told(place: str) -> Generator[None]:
    """Tell what file systems raise as errors of ours that name the place.

    Raises:
        FileError: instead of whatever is raised inside.
    """
    try:
        yield
    except FileError:
        raise
    except FileNotFoundError:
        raise FileError(f"{place}: no such file") from None
    except OSError as error:
        raise FileError(f"{place}: {error.strerror or first_line(error)}") from error
    except Exception as error:  # the packages of object stores raise what they like
        raise FileError(f"{place}: {first_line(error)}") from error


def open_input(place: str) -> BinaryIO:
    """Open a file to read; `-` is standard input, which stays open when this is closed.

    Raises:
        FileError: it is not there, or cannot be read.
    """
    if place == STANDARD:
        if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] (closed by the caller)
            raise FileError("standard input is closed")
        return os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    path = local_path(place)
    with told(place):
        if path is not None:
            return path.open("rb")
        files, inside = file_system(place)
        return cast("BinaryIO", files.open(inside, "rb"))


def size_of(place: str) -> int | None:
    """Bytes of a file; None when that is not known, as of a pipe or of standard input.

    Raises:
        FileError: it is not there, or cannot be read.
    """
    if place == STANDARD:
        return None
    path = local_path(place)
    with told(place):
        if path is not None:
            found = path.stat()
            return found.st_size if stat.S_ISREG(found.st_mode) else None
        files, inside = file_system(place)
        size: int | None = files.info(inside).get("size")
        return size


def change_mark(place: str) -> str:
    """What differs after a file was changed: size and time, or what its file system has of it.

    Raises:
        FileError: it is not there, or cannot be read.
    """
    path = local_path(place)
    with told(place):
        if path is not None:
            found = path.stat()
            return f"{found.st_size} {found.st_mtime_ns}"
        files, inside = file_system(place)
        info = files.info(inside)
        marks = [f"{name}={info[name]}" for name in _CHANGE_MARKS if info.get(name) is not None]
        return " ".join([*marks, files.ukey(inside)])


def can_seek(stream: BinaryIO) -> bool:
    """Whether any part of an open file can be read at any time."""
    try:
        return stream.seekable()
    except (OSError, ValueError, io.UnsupportedOperation):
        return False


def first_line(error: BaseException) -> str:
    """What a foreign error says, short enough for one line of ours."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
