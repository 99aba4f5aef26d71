"""Bounds how many calls there are at once."""

import asyncio
import time

from .errors import QueueFullError

# Calls end within seconds; a caller who finds too many of them may soon try again.
_RETRY_SECONDS = 1.0
# Long enough for a call to get from the socket to its handler on a busy machine; callers who go on
# calling a worker that drains do not keep it from closing.
_QUIET_SECONDS = 0.2
_QUIET_AT_MOST_SECONDS = 2.0


class CallLimit:
    """Counts calls from before their first message is read until their last has been sent."""

    def __init__(self, limit: int) -> None:
        """Let so many calls in at once."""
        self._limit = limit
        self.count = 0
        """Calls that are going on."""
        self._last_begin = 0.0
        self._none_left = asyncio.Event()
        self._none_left.set()

    def enter(self, call: "asyncio.Task[object]") -> None:
        """Count a call until its task ends.

        Raises:
            QueueFullError: there are as many as may be.
        """
        if self.count >= self._limit:
            raise QueueFullError(_RETRY_SECONDS)
        self.count += 1
        self._last_begin = time.monotonic()
        self._none_left.clear()
        call.add_done_callback(self._leave)

    async def idle(self, timeout_seconds: float) -> bool:
        """Wait until no call is left; returns whether that came within the time."""
        if self.count:
            try:
                await asyncio.wait_for(self._none_left.wait(), timeout_seconds)
            except TimeoutError:
                return False
        # Calls may be on their way in, not counted yet; closing now would cut them off instead of
        # telling them that the worker drains. So wait for a moment in which none begins.
        until = time.monotonic() + _QUIET_AT_MOST_SECONDS
        # (No event tells of nothing.)
        while self._last_begin + _QUIET_SECONDS > time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_QUIET_SECONDS / 4)
        return True

    def _leave(self, _: object) -> None:
        self.count -= 1
        if not self.count:
            self._none_left.set()
