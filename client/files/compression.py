"""Gzip and zstd: told by the data on the way in, by the name of the file on the way out."""

import gzip
import io
import zlib
from typing import Any, BinaryIO, cast

import pyarrow as pa
from typing_extensions import Buffer, override

from ..errors import FileError

BUFFER_BYTES = 1 << 16
"""Read at once; small, because progress is told by what has been read."""
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
# A frame of its own for so many bytes: what has been written is no state that must be kept, and
# the bytes that come out do not depend on how the rows were cut.
_FRAME_BYTES = 1 << 22


class DamagedDataError(FileError):
    """Compressed data is cut off, damaged, or followed by something else."""


def decompressed(raw: BinaryIO) -> BinaryIO:
    """Look through gzip and zstd, so that standard input may be compressed, too.

    Members or frames that follow each other are read as one. Reading from what is returned raises
    `DamagedDataError`, and what `raw` raises.
    """
    buffered = io.BufferedReader(cast("io.RawIOBase", raw), BUFFER_BYTES)
    name = compression_of_data(buffered.peek(4))
    if name is None:
        return buffered
    return io.BufferedReader(_Decompressed(buffered, name), BUFFER_BYTES)


def compression_of_data(first_bytes: bytes) -> str | None:
    """`gzip` or `zstd`, when data begins so."""
    return next((name for magic, name in _MAGIC.items() if first_bytes.startswith(magic)), None)


class _Decompressed(io.RawIOBase):
    """Reads one stream of compressed data."""

    def __init__(self, compressed: BinaryIO, name: str) -> None:
        self._name = name
        self._stream: Any = (
            gzip.GzipFile(fileobj=compressed)
            if name == "gzip"
            else pa.input_stream(compressed, compression="zstd")
        )

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        try:
            data = self._stream.read1(len(view))  # what is good before a fault is given out
        except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowException) as error:
            raise self._damaged() from error
        except OSError as error:
            if error.errno is None:  # Arrow's own, and not the disk's
                raise self._damaged() from error
            raise
        view[: len(data)] = data
        return len(data)

    def _damaged(self) -> DamagedDataError:
        return DamagedDataError(f"the {self._name} data is cut off or damaged")


def compressed(raw: BinaryIO, name: str | None) -> BinaryIO:
    """Compress what is written, as `name` says; equal data makes equal bytes.

    Closing what is returned leaves `raw` open.
    """
    if name == "gzip":  # neither a name nor a time in the header
        return cast(
            "BinaryIO",
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0),
        )
    if name == "zstd":
        return cast("BinaryIO", _ZstdWriter(raw))
    return raw


class _ZstdWriter(io.RawIOBase):
    """Writes zstd frames."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._codec = pa.Codec("zstd", compression_level=3)
        self._held = bytearray()
        self._written = False

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, data: Buffer, /) -> int:
        self._held += data
        while len(self._held) >= _FRAME_BYTES:
            self._write_frame(bytes(self._held[:_FRAME_BYTES]))
            del self._held[:_FRAME_BYTES]
        return memoryview(data).nbytes

    @override
    def close(self) -> None:
        if not self.closed:
            try:
                if self._held or not self._written:
                    self._write_frame(bytes(self._held))
            finally:
                super().close()

    def _write_frame(self, data: bytes) -> None:
        self._raw.write(self._codec.compress(data, asbytes=True))
        self._written = True
