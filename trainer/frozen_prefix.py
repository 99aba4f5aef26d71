"""The frozen part of an encoder, computed once: vectors of all rows in a memory-mapped file.

Frozen layers run in evaluation mode, with the cache and without, so both train alike.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.config import Pooling
from ..model.network import Network
from ..model.pooling import pool
from .encoded_rows import EncodedRows
from .padded_batch import cut_by_tokens, pad
from .split_encoder import SplitEncoder

# Enough to find rows of like length among, few for memory.
_ROWS_AT_ONCE = 1024

Progress = Callable[[int, int], None]
"""Told how many rows are done, of how many."""


class FrozenPrefix:
    """What is below the lowest trained layer, as one function of a row.

    It gives, for each row, the token vectors that enter the trained layers; or, where all of the
    encoder is frozen and no task reads single tokens, the pooled vectors that the heads read.
    """

    def __init__(
        self,
        network: Network,
        layers: int | None,
        poolings: Sequence[Pooling],
        *,
        every_token: bool,
        pass_tokens: int,
        autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """Describe a prefix.

        Args:
            network: its frozen parts must not change while this is in use.
            layers: how many layers are frozen from below; None for all of the encoder.
            poolings: what the heads read.
            every_token: whether a head reads single tokens.
            pass_tokens: padded tokens of one pass.
            autocast: makes the context of a pass, which has the precision of training.
        """
        self._network = network
        self._pass_tokens = pass_tokens
        self._autocast = autocast
        self.split = None if layers is None else SplitEncoder(network.encoder, layers)
        self.poolings = () if every_token or layers is not None else tuple(dict.fromkeys(poolings))
        """Of the vectors that are given; empty where they are token vectors."""
        self.layers = layers

    @property
    def key(self) -> str:
        """Digest of the weights that it runs, which are all that are frozen in the encoder."""
        digest = hashlib.sha256(f"{self.layers} {self.poolings}".encode())
        for name, parameter in self._network.encoder.named_parameters():
            if not parameter.requires_grad:
                digest.update(name.encode())
                digest.update(parameter.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def width(self) -> int:
        """Length of one vector that it gives."""
        if not self.poolings:
            return self._network.dimensions
        return sum(self._width_of(pooling) for pooling in self.poolings)

    def units(self, rows: EncodedRows) -> NDArray[np.int64]:
        """How many vectors each row has."""
        return np.ones(len(rows), dtype=np.int64) if self.poolings else rows.lengths

    def compute(self, rows: EncodedRows, chosen: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        """The vectors of some rows, [1 or tokens, width] each."""
        results: dict[int, NDArray[np.float32]] = {}
        for group in cut_by_tokens(rows.lengths, chosen, self._pass_tokens):
            input_ids, mask = pad(rows, group)
            device = next(self._network.parameters()).device
            input_ids, mask = input_ids.to(device), mask.to(device)
            with self._autocast(), torch.no_grad():
                if self.split is not None:
                    hidden = self.split.lower(input_ids, mask)
                else:
                    hidden = self._network.encoder(input_ids, mask)
                if self.poolings:
                    parts = [pool(hidden, mask, pooling) for pooling in self.poolings]
                    hidden = torch.cat(parts, dim=1).unsqueeze(1)
            vectors = hidden.float().cpu().numpy()
            for position, index in enumerate(group):
                count = 1 if self.poolings else int(rows.lengths[index])
                results[int(index)] = vectors[position, :count]
        return [results[int(index)] for index in chosen]

    def pooled(self, vectors: torch.Tensor) -> Mapping[Pooling, torch.Tensor]:
        """Rows of pooled vectors, [batch, width], by their pooling."""
        parts = vectors.split([self._width_of(pooling) for pooling in self.poolings], dim=1)
        return dict(zip(self.poolings, parts, strict=True))

    def _width_of(self, pooling: Pooling) -> int:
        return self._network.dimensions * (2 if pooling is Pooling.CLS_MEAN else 1)


class CachedPrefix:
    """The vectors of a prefix for the rows that fit on the disk; others are computed each time."""

    def __init__(self, prefix: FrozenPrefix, rows: EncodedRows, bytes_allowed: int) -> None:
        """Choose the rows to keep, the first ones first.

        Args:
            prefix: what to keep.
            rows: of these rows.
            bytes_allowed: size of the file at most.
        """
        self.prefix = prefix
        self._rows = rows
        ends = np.cumsum(prefix.units(rows))
        self.kept = int(np.searchsorted(ends * prefix.width * 4, bytes_allowed, side="right"))
        """How many rows are kept."""
        self._starts = np.concatenate([[0], ends[: self.kept]])
        self._vectors: NDArray[np.float32] | None = None

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return int(self._starts[-1]) * self.prefix.width * 4

    def make_file(self, file: Path) -> None:
        """Make the file that `fill` fills.

        Raises:
            OSError: the disk has no room for it. (Written through memory, a full disk would end
                the process.)
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        if shutil.disk_usage(file.parent).free < self.bytes:
            reason = f"no room for {self.bytes / 1e9:.1f} GB of vectors of the frozen layers; "
            raise OSError(errno.ENOSPC, reason + "lower freezing.cache_gigabytes", str(file))
        with file.open("wb") as stream:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(stream.fileno(), 0, self.bytes)
            else:  # not on this system
                stream.truncate(self.bytes)

    def fill(self, file: Path, progress: Progress, *, part: int = 0, parts: int = 1) -> None:
        """Compute the vectors of the kept rows, or of one of several parts of them.

        Each part may be filled by a process of its own, in the same file.
        """
        vectors = np.memmap(
            file, np.float32, "r+", shape=(int(self._starts[-1]), self.prefix.width)
        )
        own = np.arange(part, self.kept, parts)
        for start in range(0, len(own), _ROWS_AT_ONCE):
            chosen = own[start : start + _ROWS_AT_ONCE]
            for index, row in zip(chosen, self.prefix.compute(self._rows, chosen), strict=True):
                vectors[self._starts[index] : self._starts[index + 1]] = row
            progress(start + len(chosen), len(own))
        vectors.flush()

    def open(self, file: Path) -> None:
        """Read from a file that is filled."""
        if self.kept:
            shape = (int(self._starts[-1]), self.prefix.width)
            self._vectors = np.memmap(file, np.float32, "r", shape=shape)

    def vectors(self, chosen: NDArray[np.int64]) -> list[NDArray[np.float32]]:
        """The vectors of some rows, [1 or tokens, width] each."""
        if self._vectors is None:
            return self.prefix.compute(self._rows, chosen)
        missing = chosen[chosen >= self.kept]
        computed = iter(self.prefix.compute(self._rows, missing) if len(missing) else ())
        return [
            self._vectors[self._starts[index] : self._starts[index + 1]]
            if index < self.kept
            else next(computed)
            for index in chosen
        ]
