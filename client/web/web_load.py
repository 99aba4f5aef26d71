"""How much the worker does: sentences a second, latencies, queue."""

import asyncio
import time
from collections import deque
from typing import Any

from ..admin_client import AdminClient
from ..errors import TwinheadError, WorkerUnavailableError
from ..status_watch import Look
from ..worker_status import WorkerStatus
from .web_board import Board

_LOOK_SECONDS = 1.0
# A worker that refuses is not bothered each second, and its log not filled.
_REFUSED_SECONDS = 5.0
# Of sentences a second, what the page draws: a minute.
_HISTORY = 60
# Latencies of a single second would jump, and be empty between two questions.
_LATENCY_LOOKS = 15


class LoadWindow:
    """Looks at a worker, and what they tell together, as JSON."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, WorkerStatus]] = deque(maxlen=_LATENCY_LOOKS + 1)
        self._history: deque[float | None] = deque(maxlen=_HISTORY)

    def clear(self) -> None:
        """Begin anew: nobody looked for a while."""
        self._looks.clear()
        self._history.clear()

    def missed(self, message: str) -> dict[str, Any]:
        """Note a look at which the worker did not tell."""
        self._looks.clear()
        self._history.append(None)
        return {"message": message, "history": list(self._history)}

    def told(self, now: float, status: WorkerStatus) -> dict[str, Any]:
        """Note what the worker told, at a time in seconds."""
        if self._looks and self._looks[-1][1].started != status.started:
            self._looks.clear()  # another process: its counts begin anew
        last = self._since(-1, now, status)
        window = self._since(0, now, status)
        self._looks.append((now, status))
        self._history.append(round(last.rate("sentences"), 2))
        return {
            "message": "",
            "ready": status.ready,
            "history": list(self._history),
            "sentences": status.sentences,
            "tokens_per_second": round(last.rate("tokens"), 1),
            "calls": status.calls,
            "queue_tokens": status.queue_tokens,
            "queue_limit_tokens": status.queue_limit_tokens,
            "memory_bytes": status.resident_bytes,
            "window_seconds": round(_LATENCY_LOOKS * _LOOK_SECONDS),
            "latencies": [
                {
                    "class": name,
                    "batches": latencies.count,
                    "half_within": _finite(latencies.quantile(0.5)),
                    "most_within": _finite(latencies.quantile(0.99)),
                }
                for name, latencies in window.latencies()
            ],
            "failures": [
                {"reason": reason, "recent": round(rate * window.seconds), "count": count}
                for reason, rate, count in window.failures()
            ],
        }

    def _since(self, place: int, now: float, status: WorkerStatus) -> Look:
        if not self._looks:
            return Look("", status, None, _LOOK_SECONDS)
        then, before = self._looks[place]
        return Look("", status, before, max(now - then, 1e-3))


class Load:
    """Asks the worker's admin service once a second while somebody looks; section `load`."""

    def __init__(self, admin: AdminClient, board: Board) -> None:
        self._admin = admin
        self._board = board
        self._window = LoadWindow()

    async def follow(self) -> None:
        """Look again and again; does not end."""
        while True:
            if not self._board.watched.is_set():
                await self._board.watched.wait()
                self._window.clear()
            began, pause = time.monotonic(), _LOOK_SECONDS
            try:
                status = await asyncio.to_thread(self._admin.status)
                load = self._window.told(time.monotonic(), status)
            except TwinheadError as error:
                if not isinstance(error, WorkerUnavailableError):
                    pause = _REFUSED_SECONDS
                load = self._window.missed(str(error))
            self._board.post("load", load)
            await asyncio.sleep(max(0.0, began + pause - time.monotonic()))


def _finite(seconds: float | None) -> float | None:
    """None for what is beyond the last bound, a minute."""
    return None if seconds is None or seconds == float("inf") else round(seconds, 6)
