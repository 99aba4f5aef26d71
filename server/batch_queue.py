"""Sentences that wait for the encoder, over all callers and classes of work."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Generator
from dataclasses import replace
from typing import NoReturn

from .errors import QueueFullError
from .job import Job
from .job_line import JobLine, MicroBatch
from .service_class import ServiceClass

# A smaller pass gains next to nothing from further threads, which others could use: on two cores
# the time of 32 tokens falls by a fifth, of 128 by a half.
_WIDE_TOKENS = 128
# Share of the bound that waits when jobs are looked at again after one did not fit.
_ROOM_AGAIN = 0.95


class BatchQueue:
    """A pool bounded in tokens; the event loop puts jobs in, runners take micro-batches out.

    Classes of work share the encoder by weight while they wait (start-time fair queueing, Goyal,
    Vin and Cheng 1996): each has a clock that runs by the work it gets over its weight, and the one
    that is furthest behind is next. Whoever comes after a pause starts at the time of the others,
    and so goes ahead of those that were served of late, but saves nothing up.
    """

    def __init__(self, max_tokens: int) -> None:
        """Make an empty queue on the running event loop.

        Args:
            max_tokens: tokens that may wait. A job is always taken into an empty queue, however
                large it is, so that no admissible request waits for ever.
        """
        self._max_tokens = max_tokens
        # Streams wait for room and unary calls do not: they keep a quarter for themselves.
        self._max_stream_tokens = max_tokens * 3 // 4
        self._tokens = 0
        self._expected_tokens = 0
        self._full = False
        self._lines = {service_class: JobLine() for service_class in ServiceClass}
        self._clocks = dict.fromkeys(ServiceClass, 0.0)
        self._clock = 0.0
        self._running = 0
        # A pass has the whole machine: none is to run beside it.
        self._exclusive = False
        self._closed = False
        self._changed = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._waiters: deque[tuple[Job, asyncio.Future[None]]] = deque()
        self._tokens_per_second = 0.0

    @property
    def tokens(self) -> int:
        """Tokens that wait."""
        return self._tokens

    def check_room(self) -> None:
        """Raise QueueFullError when it makes no sense to look at another job.

        That is from when one did not fit until there is room for some: else each pass would make
        room for one, many would be read and tokenised for it, and nearly all in vain.
        """
        waiting = self._tokens + self._expected_tokens
        if self._full:
            self._full = waiting > self._max_tokens * _ROOM_AGAIN
        if self._full or waiting >= self._max_tokens:
            self._refuse()

    @contextlib.contextmanager
    def expecting(self, tokens: int) -> Generator[None]:
        """Keep room for a job of about so many tokens while they are counted.

        Raises:
            QueueFullError: there is none.
        """
        waiting = self._tokens + self._expected_tokens
        if waiting and waiting + tokens > self._max_tokens:
            self._refuse()
        self._expected_tokens += tokens
        try:
            yield
        finally:
            self._expected_tokens -= tokens

    def put(self, job: Job) -> None:
        """Take a job in, at once.

        Raises:
            QueueFullError: there is no room for it.
        """
        if job.plan.service_class is not ServiceClass.PROBE and not self._fits(
            job, self._max_tokens
        ):
            self._refuse()
        self._add(job)

    async def put_when_room(self, job: Job) -> None:
        """Take a job in as soon as there is room; those who wait are served in turn."""
        if not self._waiters and self._fits(job, self._max_stream_tokens):
            self._add(job)
            return
        waiter = (job, self._loop.create_future())
        self._waiters.append(waiter)
        try:
            await waiter[1]
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self.discard(job)  # it may have been let in just before
            raise

    def discard(self, job: Job) -> None:
        """Drop what is left of a job whose caller is gone."""
        with self._changed:
            self._tokens -= self._lines[job.plan.service_class].remove(job)
        self._admit_waiters()

    def take(self, token_budget: int) -> MicroBatch | None:
        """Wait for work and cut a micro-batch; None when the queue is closed and empty.

        Args:
            token_budget: padded tokens of the micro-batch; a single longer sentence goes alone.

        Returns:
            What is to be given back with `finished`.
        """
        with self._changed:
            while self._exclusive or not any(self._lines.values()):
                if self._closed and not self._exclusive:
                    return None
                self._changed.wait()
            batch = self._cut(token_budget)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker was cut off
            self._loop.call_soon_threadsafe(self._admit_waiters)
        return batch

    def finished(self, batch: MicroBatch, seconds: float) -> None:
        """Note that the pass of a micro-batch has ended, however it did, and how long it took."""
        tokens = sum(item.length for item in batch.items)
        with self._changed:
            # The pace of all runners, for the advice to callers who find the queue full.
            pace = self._running * tokens / max(seconds, 1e-6)
            known = self._tokens_per_second
            self._tokens_per_second = 0.9 * known + 0.1 * pace if known else pace
            self._running -= 1
            if batch.alone:
                self._exclusive = False
                self._changed.notify_all()

    def close(self) -> None:
        """Let `take` return None once the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _cut(self, token_budget: int) -> MicroBatch:
        chosen = min(
            (each for each in ServiceClass if self._lines[each]), key=self._clocks.__getitem__
        )
        batch = self._lines[chosen].cut(token_budget)
        self._tokens -= sum(item.length for item in batch.items)
        self._clock = self._clocks[chosen]
        self._clocks[chosen] += batch.padded_tokens / chosen.weight
        # (Other numbers of threads round differently.)
        widens = batch.model.engine.widens and not batch.repeatable
        wide = widens and batch.padded_tokens >= _WIDE_TOKENS
        if wide and not self._running and not any(self._lines.values()):
            self._exclusive = True
            batch = replace(batch, alone=True)
        self._running += 1
        return batch

    def _fits(self, job: Job, limit: int) -> bool:
        return not self._tokens or self._tokens + job.tokens <= limit

    def _refuse(self) -> NoReturn:
        self._full = True
        raise QueueFullError(self._retry_seconds())

    def _retry_seconds(self) -> float:
        pace = self._tokens_per_second or 1000.0
        return min(max(self._tokens / pace / 2, 0.1), 5.0)

    def _add(self, job: Job) -> None:
        if all(sentence is None for sentence in job.sentences):
            return
        service_class = job.plan.service_class
        with self._changed:
            line = self._lines[service_class]
            if not line:
                self._clocks[service_class] = max(self._clocks[service_class], self._clock)
            line.add(job)
            self._tokens += job.tokens
            self._changed.notify_all()

    def _admit_waiters(self) -> None:
        while self._waiters and self._fits(self._waiters[0][0], self._max_stream_tokens):
            job, turn = self._waiters.popleft()
            if not turn.done():  # else its caller has left
                self._add(job)
                turn.set_result(None)
