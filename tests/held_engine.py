"""A debug worker whose engine can be held in a pass: as one that is stuck."""

import threading

from conftest import DebugWorker


class HeldEngine:
    """Holds the passes of a worker from now until `release`."""

    def __init__(self, worker: DebugWorker) -> None:
        self.reached = threading.Event()
        """A pass is held."""
        self._free = threading.Event()
        self._encode = worker.engine.encode
        worker.engine.encode = self._held

    def release(self) -> None:
        self._free.set()

    def _held(self, *arguments, **options):
        if not self._free.is_set():
            self.reached.set()
            self._free.wait()
        return self._encode(*arguments, **options)
