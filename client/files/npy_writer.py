"""Writes a float32 matrix as `.npy`, row by row; its number of rows is filled in at the end.

The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from typing import BinaryIO

import numpy as np
import pyarrow as pa

_MAGIC = b"\x93NUMPY\x01\x00"
# Of the whole header: room for any number of rows, and data that begins at a multiple of 64.
_HEADER_BYTES = 128


class NpyWriter:
    """Writes embeddings beside a format that has no good place for them."""

    def __init__(self, stream: BinaryIO, dimensions: int) -> None:
        """Write to `stream`, which can seek, rows of `dimensions` numbers."""
        self._stream = stream
        self._dimensions = dimensions
        self._rows = 0
        self._stream.write(self._header())

    def write(self, embeddings: pa.FixedSizeListArray) -> None:
        """Write one row for each embedding: NaN where there is none."""
        rows, width = len(embeddings), self._dimensions
        values = embeddings.values.slice(embeddings.offset * width, rows * width)
        matrix = values.to_numpy(zero_copy_only=False).reshape(rows, width).astype("<f4")
        missing = embeddings.is_null().to_numpy(zero_copy_only=False)
        matrix[missing] = np.nan
        self._stream.write(matrix.data)
        self._rows += rows

    def finish(self) -> None:
        """Fill in how many rows there are."""
        self._stream.seek(0)
        self._stream.write(self._header())

    def _header(self) -> bytes:
        shape = (self._rows, self._dimensions)
        said = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        length = _HEADER_BYTES - len(_MAGIC) - 2
        text = said.encode().ljust(length - 1) + b"\n"
        return _MAGIC + length.to_bytes(2, "little") + text
