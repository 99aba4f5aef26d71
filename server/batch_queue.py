"""Sentences that wait for the encoder, over all callers; micro-batches are cut from them."""

import asyncio
import bisect
import contextlib
import threading
from collections import deque
from collections.abc import Sequence

from .errors import QueueFullError
from .job import Job
from .live_model import LiveModel


class Item:
    """One sentence of a job."""

    __slots__ = ("ids", "job", "length", "row", "taken")

    def __init__(self, job: Job, row: int, ids: Sequence[int]) -> None:
        self.job = job
        self.row = row
        self.ids = ids
        self.length = len(ids)
        self.taken = False


class MicroBatch:
    """What one encoder pass takes: sentences of one version, of similar length."""

    def __init__(self, model: LiveModel, items: Sequence[Item]) -> None:
        self.model = model
        self.items = items


class BatchQueue:
    """A pool bounded in tokens; its jobs take turns.

    The event loop puts jobs in; the runner's thread takes micro-batches out. Each micro-batch is
    built around the oldest sentence of the job whose turn it is, so a small job waits for as many
    passes as there are jobs, not for all that was there before it; and it is filled with those
    nearest in length, of all jobs, so little is padded.
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
        # Each job's sentences in their order, without those at the front that are taken; the job
        # whose turn is next comes first.
        self._turns: dict[Job, deque[Item]] = {}
        # Sorted by length. A job keeps its version, so during a swap there are two pools.
        self._pools: dict[LiveModel, list[Item]] = {}
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
        """Raise QueueFullError when the queue has no room at all."""
        if self._tokens >= self._max_tokens:
            raise QueueFullError(self._retry_seconds())

    def put(self, job: Job) -> None:
        """Take a job in, at once.

        Raises:
            QueueFullError: there is no room for it.
        """
        if not self._fits(job, self._max_tokens):
            raise QueueFullError(self._retry_seconds())
        self._add(job)

    def put_first(self, job: Job) -> None:
        """Take a small job of the worker's own in, before all others, and whether there is room.

        Callers wait for it no longer than for a pass of its size.
        """
        with self._changed:
            self._add(job)
            if job in self._turns:
                self._turns = {job: self._turns.pop(job), **self._turns}

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
            if self._turns.pop(job, None) is not None:
                left = [item for item in self._pools[job.model] if item.job is job]
                self._tokens -= sum(item.length for item in left)
                self._set_pool(
                    job.model, [item for item in self._pools[job.model] if item.job is not job]
                )
        self._admit_waiters()

    def take(self, token_budget: int) -> MicroBatch | None:
        """Wait for work and cut a micro-batch; None when the queue is closed and empty.

        Args:
            token_budget: padded tokens of the micro-batch; a single longer sentence goes alone.
        """
        with self._changed:
            while not self._turns:
                if self._closed:
                    return None
                self._changed.wait()
            job, line = next(iter(self._turns.items()))
            self._turns[job] = self._turns.pop(job)  # its next turn comes after the others'
            pool = self._pools[job.model]
            start, end = _window(pool, line[0], token_budget)
            items = pool[start:end]
            for item in items:
                item.taken = True
                self._tokens -= item.length
            for touched in {item.job for item in items}:
                self._advance(touched)
            self._set_pool(job.model, pool[:start] + pool[end:])
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker was cut off
            self._loop.call_soon_threadsafe(self._admit_waiters)
        return MicroBatch(job.model, items)

    def measured(self, tokens: int, seconds: float) -> None:
        """Learn the pace of the encoder, for the advice to callers who find the queue full."""
        pace = tokens / max(seconds, 1e-6)
        known = self._tokens_per_second
        self._tokens_per_second = pace if not known else 0.9 * known + 0.1 * pace

    def close(self) -> None:
        """Let `take` return None once the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, job: Job, limit: int) -> bool:
        return not self._tokens or self._tokens + job.tokens <= limit

    def _retry_seconds(self) -> float:
        pace = self._tokens_per_second or 1000.0
        return min(max(self._tokens / pace / 2, 0.1), 5.0)

    def _add(self, job: Job) -> None:
        items = [
            Item(job, row, sentence.ids)
            for row, sentence in enumerate(job.sentences)
            if sentence is not None
        ]
        if not items:
            return
        with self._changed:
            self._turns[job] = deque(items)
            pool = self._pools.setdefault(job.model, [])
            pool.extend(items)
            pool.sort(key=_length)  # cheap: the old part is sorted already
            self._tokens += job.tokens
            self._changed.notify()

    def _advance(self, job: Job) -> None:
        """Pass over what is taken at the front of a job's line."""
        line = self._turns[job]
        while line and line[0].taken:
            line.popleft()
        if not line:
            del self._turns[job]

    def _set_pool(self, model: LiveModel, items: list[Item]) -> None:
        if items:
            self._pools[model] = items
        else:
            del self._pools[model]

    def _admit_waiters(self) -> None:
        while self._waiters and self._fits(self._waiters[0][0], self._max_stream_tokens):
            job, turn = self._waiters.popleft()
            if not turn.done():  # else its caller has left
                self._add(job)
                turn.set_result(None)


def _length(item: Item) -> int:
    return item.length


def _window(pool: Sequence[Item], oldest: Item, budget: int) -> tuple[int, int]:
    """The range of a length-sorted pool around `oldest` that fits the budget when padded.

    Grows by the neighbour that wastes less padding; takes the whole pool when that fits.
    """
    start = bisect.bisect_left(pool, oldest.length, key=_length)
    while pool[start] is not oldest:
        start += 1
    end = start + 1
    longest = oldest.length
    while True:
        count = end - start + 1
        shorter = pool[start - 1] if start and longest * count <= budget else None
        longer = pool[end] if end < len(pool) and pool[end].length * count <= budget else None
        if shorter is None and longer is None:
            return start, end
        # Padding that each adds: a shorter one is padded itself, a longer one pads the rest.
        if longer is None or (
            shorter is not None
            and longest - shorter.length <= (longer.length - longest) * (count - 1)
        ):
            start -= 1
        else:
            longest = longer.length
            end += 1
