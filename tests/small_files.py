"""A command whose files cannot grow: to it, the disk is full."""

import sys
from collections.abc import Sequence

# Set by a program of its own before it becomes the command. A function that runs between fork and
# exec would run gRPC's handlers in the child, which may end it.
_LIMIT = (
    "import os, resource, sys; "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1]))); "
    "os.execv(sys.argv[2], sys.argv[2:])"
)


def with_small_files(size: int, command: Sequence[str]) -> list[str]:
    """The command, in a process that writes no file of more than `size` bytes.

    Writing more fails with "File too large": Python ignores the signal that comes with it.
    """
    return [sys.executable, "-c", _LIMIT, str(size), *command]
