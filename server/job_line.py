"""Jobs of one class that wait, and the micro-batches that are cut from them."""

import bisect
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from .engines.engine import Engine
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


@dataclass(frozen=True)
class MicroBatch:
    """What one encoder pass takes: sentences of one version and class, of similar length."""

    model: LiveModel
    items: Sequence[Item]
    """From the shortest to the longest."""
    alone: bool = False
    """Whether nothing else waits or runs, so that the pass may have the whole machine."""

    @property
    def repeatable(self) -> bool:
        """Whether it must be computed as at any other time."""
        return self.items[0].job.plan.repeatable

    @property
    def padded_tokens(self) -> int:
        """What the encoder computes."""
        return _padded_tokens(self.model.engine, len(self.items), self.items[-1].length)


class JobLine:
    """Jobs that take turns.

    Each micro-batch is built around the oldest sentence of the job whose turn it is, so a small job
    waits for as many passes as there are jobs, not for all that was there before it; and it is
    filled with those nearest in length, of all jobs, so little is padded. A job that is to be
    repeatable has passes of its own.
    """

    def __init__(self) -> None:
        # Each job's sentences in their order, without those at the front that are taken; the job
        # whose turn is next comes first.
        self._turns: dict[Job, deque[Item]] = {}
        # What may share a pass, sorted by length. A job keeps its version, so during a swap there
        # are two pools; repeatable jobs have one each.
        self._pools: dict[LiveModel | Job, list[Item]] = {}

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._turns)

    def add(self, job: Job) -> None:
        """Let a job that has sentences to encode wait behind the others."""
        items = [
            Item(job, row, sentence.ids)
            for row, sentence in enumerate(job.sentences)
            if sentence is not None
        ]
        self._turns[job] = deque(items)
        pool = self._pools.setdefault(_pool_of(job), [])
        pool.extend(items)
        pool.sort(key=_length)  # cheap: the old part is sorted already

    def remove(self, job: Job) -> int:
        """Drop what is left of a job; returns how many tokens that was."""
        if self._turns.pop(job, None) is None:
            return 0
        pool = self._pools[_pool_of(job)]
        self._set_pool(_pool_of(job), [item for item in pool if item.job is not job])
        return sum(item.length for item in pool if item.job is job)

    def cut(self, token_budget: int) -> MicroBatch:
        """Take the next micro-batch out; there must be one.

        Args:
            token_budget: its padded tokens; a single longer sentence goes alone.
        """
        job, line = next(iter(self._turns.items()))
        self._turns[job] = self._turns.pop(job)  # its next turn comes after the others'
        pool = self._pools[_pool_of(job)]
        # A job that is alone in its line is one pass if it fits.
        alone = len(self._turns) == 1 and not job.plan.repeatable
        padding = token_budget if alone else job.model.engine.pass_tokens
        start, end = _window(pool, line[0], token_budget, padding, job.model.engine)
        items = pool[start:end]
        for item in items:
            item.taken = True
        for touched in {item.job for item in items}:
            self._advance(touched)
        self._set_pool(_pool_of(job), pool[:start] + pool[end:])
        return MicroBatch(job.model, items)

    def _advance(self, job: Job) -> None:
        """Pass over what is taken at the front of a job's line."""
        line = self._turns[job]
        while line and line[0].taken:
            line.popleft()
        if not line:
            del self._turns[job]

    def _set_pool(self, key: LiveModel | Job, items: list[Item]) -> None:
        if items:
            self._pools[key] = items
        else:
            del self._pools[key]


def _pool_of(job: Job) -> LiveModel | Job:
    return job if job.plan.repeatable else job.model


def _length(item: Item) -> int:
    return item.length


def _padded_tokens(engine: Engine, sentences: int, longest: int) -> int:
    rows, tokens = engine.padded_shape(sentences, longest)
    return rows * tokens


def _window(
    pool: Sequence[Item], oldest: Item, budget: int, max_padding: int, engine: Engine
) -> tuple[int, int]:
    """The range of a length-sorted pool around `oldest` that fits the budget when padded.

    Grows by the neighbour that wastes less padding, until that would be more than `max_padding`:
    beyond what a pass costs by itself, two passes are quicker than one.
    """
    start = bisect.bisect_left(pool, oldest.length, key=_length)
    while pool[start] is not oldest:
        start += 1
    end, padding = start + 1, 0
    while True:
        longest, count = pool[end - 1].length, end - start
        # A shorter one is padded itself, a longer one pads the rest.
        wider: list[tuple[int, int, int]] = []
        if start and _padded_tokens(engine, count + 1, longest) <= budget:
            wider.append((longest - pool[start - 1].length, start - 1, end))
        if end < len(pool) and _padded_tokens(engine, count + 1, pool[end].length) <= budget:
            wider.append(((pool[end].length - longest) * count, start, end + 1))
        if not wider:
            return start, end
        added, next_start, next_end = min(wider)
        padding += added
        if padding > max_padding:
            return start, end
        start, end = next_start, next_end
