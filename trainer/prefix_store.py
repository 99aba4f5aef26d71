"""Where the output of the frozen layers is kept, and when it is computed anew."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from ..model.config import TaskKind
from ..model.network import Network
from .freezing import frozen_layers
from .frozen_prefix import CachedPrefix, FrozenPrefix
from .row_batches import RowBatches

_SUFFIX = ".vectors"


class PrefixStore:
    """Keeps one prefix at a time, of the rows of several splits."""

    def __init__(
        self,
        folder: Path,
        bytes_allowed: int,
        accelerator: Accelerator,
        progress: Callable[[str, int, int], None],
    ) -> None:
        # Processes of one machine share the files, those of others have their own.
        machine = os.environ.get("GROUP_RANK", "0")
        self._folder = folder / f"cache-{machine}"
        self._bytes_allowed = bytes_allowed
        self._accelerator = accelerator
        self._progress = progress
        self._prefix: FrozenPrefix | None = None
        self._key = ""
        self.notes: list[str] = []
        """What was done, for the report."""

    def renew(self, network: Network, splits: Sequence[RowBatches], passes_left: float) -> None:
        """Compute the prefix of the layers that are frozen now, and hand it to the splits.

        Args:
            network: has its frozen layers set.
            splits: the rows to compute it for, the most important first.
            passes_left: how often the rows will be seen; where that is once, nothing is gained.
        """
        self.drop(splits)
        network.eval()  # what is frozen now may have trained until now
        layers = frozen_layers(network)
        if layers == 0 or passes_left <= 1:
            return
        tasks = network.config.tasks
        prefix = FrozenPrefix(
            network,
            layers,
            [task.pooling for task in tasks if task.kind is not TaskKind.TOKEN],
            every_token=any(task.kind is TaskKind.TOKEN for task in tasks),
            pass_tokens=splits[0].pass_tokens,
            autocast=lambda: self._accelerator.autocast(),
        )
        self._prefix, self._key = prefix, prefix.key
        self._keep_only(self._key)  # else both would be on the disk for a while
        started, allowed = time.monotonic(), self._room()
        left = allowed
        kept = rows = 0
        caches: list[CachedPrefix] = []
        for batches in splits:
            cached = CachedPrefix(prefix, batches.rows, left)
            digest = hashlib.sha256(batches.rows.ids.tobytes() + batches.rows.starts.tobytes())
            file = self._folder / f"{self._key}-{digest.hexdigest()[:16]}-{cached.kept}{_SUFFIX}"
            self._fill(cached, file)
            cached.open(file)
            caches.append(cached)
            left -= cached.bytes
            kept, rows = kept + cached.kept, rows + len(batches.rows)
        for batches, cached in zip(splits, caches, strict=True):
            batches.prefix = cached
        what = "the encoder" if layers is None else f"embeddings and {layers} layers"
        part = "all" if kept == rows else f"{kept:,} of {rows:,}"
        self.notes.append(
            f"The output of the frozen part ({what}, in evaluation mode) was computed once for "
            f"{part} rows: {(allowed - left) / 1e6:,.0f} MB on disk, "
            f"{time.monotonic() - started:.1f} s."
        )

    def drop(self, splits: Sequence[RowBatches]) -> None:
        """All layers run again."""
        self._prefix = None
        for batches in splits:
            batches.prefix = None

    def drop_if_stale(self, splits: Sequence[RowBatches]) -> None:
        """All layers run again, if the frozen weights are not those it was computed with."""
        if self._prefix is not None and self._prefix.key != self._key:
            self.drop(splits)

    def remove(self) -> None:
        """Delete its files."""
        if self._accelerator.is_local_main_process and self._folder.is_dir():
            for file in self._folder.iterdir():
                file.unlink()
            self._folder.rmdir()

    def _room(self) -> int:
        """Bytes that may be used: as allowed, and never the last tenth of what is free."""
        if self._folder.is_dir() and any(self._folder.glob(f"*{_SUFFIX}")):
            return self._bytes_allowed  # an interrupted run's files, which fitted
        free = shutil.disk_usage(self._folder.parent).free
        room = min(self._bytes_allowed, int(free * 0.9))
        return broadcast_object_list([room])[0]  # the processes must cut alike

    def _keep_only(self, key: str) -> None:
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_local_main_process and self._folder.is_dir():
            for file in self._folder.iterdir():
                if not (file.name.startswith(key) and file.suffix == _SUFFIX):
                    file.unlink()
        self._accelerator.wait_for_everyone()

    def _fill(self, cached: CachedPrefix, file: Path) -> None:
        if not cached.kept or file.is_file():  # an interrupted run has left it
            return
        accelerator = self._accelerator
        partial = file.with_suffix(".partial")
        if accelerator.is_local_main_process:
            cached.make_file(partial)
        accelerator.wait_for_everyone()
        machines = accelerator.num_processes // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        cached.fill(
            partial,
            lambda done, total: self._progress("frozen layers", done, total),
            part=accelerator.local_process_index,
            parts=accelerator.num_processes // machines,
        )
        accelerator.wait_for_everyone()
        if accelerator.is_local_main_process:
            partial.replace(file)
        accelerator.wait_for_everyone()
