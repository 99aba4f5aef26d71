"""Tells a changed file by what the file system says of it."""

from pathlib import Path


def file_stamp(file: Path) -> tuple[int, int, int] | None:
    """Time of change, size and inode; None when there is no such file."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
