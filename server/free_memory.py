"""Gives memory that is free back to the system."""

import ctypes
from functools import cache
from typing import Any


def return_memory() -> None:
    """Give back what the C library keeps for later; does nothing where it cannot be asked to.

    glibc keeps freed blocks of up to 32 MiB in the arena of the thread that took them. The weights
    of one version are a hundred such blocks, and without this a worker would seem to grow with
    every swap.
    """
    library = _c_library()
    if library is not None:
        library.malloc_trim(0)


@cache
def _c_library() -> Any:
    try:
        library = ctypes.CDLL(None)  # what this process has loaded
    except (OSError, TypeError):
        return None
    return library if hasattr(library, "malloc_trim") else None
