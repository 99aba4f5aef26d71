"""Takes in the blobs of a version, chunk by chunk, and believes none before its digest is right."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass

from ..model.version_parts import TOKENIZER_BYTES
from .errors import BlobDamagedError, InvalidRequestError
from .version_store import Staging


@dataclass(frozen=True)
class Chunk:
    """A part of a blob; its parts follow each other in order."""

    sha256: str
    """Of the whole blob."""
    data: bytes
    last: bool
    """Whether the blob ends here."""


Fetch = Callable[[Sequence[str]], AsyncGenerator[Chunk]]
"""Gives the blobs of some digests in their order."""


async def receive(
    fetch: Fetch, wanted: Mapping[str, int | None], staging: Staging, threads: Executor
) -> int:
    """Fetch blobs into a staging folder.

    Args:
        fetch: where they come from.
        wanted: their digests and sizes in bytes; None for a tokenizer, whose size is not known.
        staging: where they go.
        threads: where writing and hashing is done.

    Returns:
        How many bytes came.

    Raises:
        InvalidRequestError: what comes is not what was asked for.
        BlobDamagedError: bytes are not those of their digest.
        OSError: they cannot be written.
    """
    loop = asyncio.get_running_loop()
    total = 0
    async with aclosing(fetch(list(wanted))) as chunks:
        if not wanted:  # the other side is to know that, too
            await anext(chunks, None)
        for digest, size in wanted.items():
            blob = _Blob(digest, size, staging)
            try:
                while not blob.whole:
                    chunk = await anext(chunks, None)
                    if chunk is None:
                        raise _invalid(f"the stream ends before blob {digest} is whole")
                    # Off the event loop: the digest of a megabyte takes a millisecond or two.
                    await loop.run_in_executor(threads, blob.take, chunk)
            finally:
                blob.close()
            total += blob.received
    return total


class _Blob:
    """A blob that is coming in."""

    def __init__(self, digest: str, size: int | None, staging: Staging) -> None:
        self.received = 0
        self.whole = False
        self._expected = digest
        self._size = size
        self._digest = hashlib.sha256()
        self._stream = staging.path(digest).open("wb")

    def take(self, chunk: Chunk) -> None:
        if chunk.sha256 != self._expected:
            raise _invalid(f"blob {self._expected} was to come, {chunk.sha256[:64]!r} did")
        if not chunk.data and not chunk.last:  # else a push need never end
            raise _invalid(f"an empty chunk came of blob {self._expected}")
        self.received += len(chunk.data)
        if self.received > (TOKENIZER_BYTES if self._size is None else self._size):
            raise _invalid(f"more bytes came of blob {self._expected} than it has")
        self._digest.update(chunk.data)
        self._stream.write(chunk.data)
        if chunk.last:
            if self._size is not None and self.received < self._size:
                raise _invalid(f"fewer bytes came of blob {self._expected} than it has")
            if (found := self._digest.hexdigest()) != self._expected:
                raise BlobDamagedError(self._expected, found)
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self.whole = True

    def close(self) -> None:
        self._stream.close()


def _invalid(text: str) -> InvalidRequestError:
    return InvalidRequestError([("chunk", text)])
