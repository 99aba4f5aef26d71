"""Notices when the model does not answer any more, whatever the process says."""

import asyncio
import logging
import time
from collections.abc import Callable

from .batch_queue import BatchQueue
from .batch_runner import BatchRunner
from .errors import NotServingError
from .free_memory import return_memory
from .job import Job
from .live_model import LiveModel, Serving
from .request_check import RequestPlan
from .service_class import ServiceClass

logger = logging.getLogger(__name__)

_SENTENCE = "Is anybody there?"
# Looks in the time after which a worker counts as stalled; a probe takes some milliseconds.
_LOOKS = 6


class Watchdog:
    """Sends a sentence through the model whenever nobody else has, and tells when that fails."""

    def __init__(
        self, serving: Serving, queue: BatchQueue, runner: BatchRunner, stall_seconds: float
    ) -> None:
        """Watch a runner; a pass may take `stall_seconds`."""
        self._serving = serving
        self._queue = queue
        self._runner = runner
        self._stall_seconds = stall_seconds

    async def follow(self, tell: Callable[[bool], None]) -> None:
        """Watch for ever; `tell` is called with each change of whether the model answers."""
        pause = self._stall_seconds / _LOOKS
        serves, idle = True, False
        while True:
            await asyncio.sleep(pause)
            was_idle, idle = idle, not self._has_run(pause)
            if idle and not was_idle:  # what the last callers took is not needed soon
                await asyncio.to_thread(return_memory)
            try:
                fault = await self._fault(self._serving.model(), pause)
            except NotServingError:  # draining
                return
            if serves == (fault is None):
                continue
            serves = fault is None
            if fault is not None:
                logger.error("not ready: %s", fault)
            else:
                logger.info("ready again")
            tell(serves)

    def _has_run(self, seconds: float) -> bool:
        """Whether a pass, for anybody, has succeeded in the last so many seconds."""
        return self._runner.last_success > time.monotonic() - seconds

    async def _fault(self, model: LiveModel, fresh_seconds: float) -> str | None:
        """What is wrong with the model's runner; None if nothing is."""
        running = self._runner.running_seconds()
        if running > self._stall_seconds:
            return f"an encoder pass has been running for {running:.0f} s"
        if self._has_run(fresh_seconds):
            return None
        plan = RequestPlan(
            tasks=model.config.tasks,
            embedding=None,
            logits=False,
            token_logits=False,
            truncate=True,
            service_class=ServiceClass.PROBE,
        )
        probe = Job(model, plan, model.tokenizer([_SENTENCE]), 0.0)
        self._queue.put(probe)
        try:
            await asyncio.wait_for(probe.wait(), self._stall_seconds)
        except TimeoutError:
            return f"a probe got no answer in {self._stall_seconds:.0f} s"
        except Exception as error:
            return f"a probe failed: {error!r}"
        finally:
            self._queue.discard(probe)
        return None
