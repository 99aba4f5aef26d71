"""How long a call waits for a worker that went away."""

import time

from .errors import TwinheadError, WorkerUnavailableError

# Short, so that a worker that is back is soon noticed; a try costs next to nothing.
RECONNECT_PAUSE_SECONDS = 0.25


class Patience:
    """The time that one call may take, and the part of it without a worker."""

    def __init__(
        self,
        timeout: float | None,
        reconnect_seconds: float,
        passing: tuple[type[TwinheadError], ...] = (WorkerUnavailableError,),
    ) -> None:
        """Begin to wait.

        Args:
            timeout: seconds for all of it; None for ever.
            reconnect_seconds: of these, how many without a worker.
            passing: what is over by itself after a while.
        """
        now = time.monotonic()
        self._passing = passing
        self._deadline = None if timeout is None else now + timeout
        self._until = now + reconnect_seconds

    def left(self) -> float | None:
        """Seconds that the next try may take; None for ever."""
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)

    def waits_for(self, failure: TwinheadError) -> bool:
        """Whether it makes sense to try again."""
        now = time.monotonic()
        return (
            isinstance(failure, self._passing)
            and now < self._until
            and (self._deadline is None or now < self._deadline)
        )
