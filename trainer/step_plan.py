"""Which rows are in which step: a function of the seed and the number of the step alone.

So a resumed run goes on with the rows that an uninterrupted one would have had, and every process
of a data-parallel run knows all rows of a step.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .recipe import Policy, SamplingRecipe, Schedule

Indices = NDArray[np.int64]


class StepPlan:
    """The batches of each step."""

    def __init__(self, sets: Sequence[Indices], recipe: SamplingRecipe, seed: int) -> None:
        """Plan the steps over some data sets.

        Args:
            sets: indices of the rows of each data set; none is empty.
            recipe: schedule, policy and sizes.
            seed: decides the order.
        """
        self._sets = sets
        self._recipe = recipe
        self._seed = seed
        self.quotas = _quotas([len(rows) for rows in sets], recipe)
        """Rows of each data set in an epoch; a set that has fewer is gone through again."""
        if recipe.schedule is Schedule.SYNCHRONOUS:
            self._batches = -(-sum(self.quotas) // recipe.batch_size)
        else:
            self._batches = sum(-(-quota // recipe.batch_size) for quota in self.quotas)
        self.steps_per_epoch = -(-self._batches // recipe.accumulate)
        self._epoch: tuple[int, list[Indices]] | None = None

    def batches(self, step: int) -> list[Indices]:
        """The batches of a step, counted from 0: indices of their rows."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches_of(epoch))
        start = within * self._recipe.accumulate
        return self._epoch[1][start : start + self._recipe.accumulate]

    def _batches_of(self, epoch: int) -> list[Indices]:
        streams = [
            self._stream(rows, quota, epoch, index)
            for index, (rows, quota) in enumerate(zip(self._sets, self.quotas, strict=True))
        ]
        order = np.random.default_rng([self._seed, epoch]).permutation(self._batches)
        if self._recipe.schedule is Schedule.SYNCHRONOUS:
            return _mixed(streams, order)
        batches = [
            part
            for stream in streams
            for part in _evenly(stream, -(-len(stream) // self._recipe.batch_size))
        ]
        return [batches[index] for index in order]

    def _stream(self, rows: Indices, quota: int, epoch: int, index: int) -> Indices:
        """Every row as often as any other, or once more."""
        rounds = [
            np.random.default_rng([self._seed, epoch, index, number]).permutation(rows)
            for number in range(-(-quota // len(rows)))
        ]
        return np.concatenate(rounds)[:quota]


def _quotas(sizes: Sequence[int], recipe: SamplingRecipe) -> list[int]:
    """Rows of each set in an epoch, so that every row is seen once at least."""
    match recipe.policy:
        case Policy.PROPORTIONAL:
            return list(sizes)
        case Policy.EQUAL:
            return [max(sizes)] * len(sizes)
        case Policy.TEMPERATURE:
            shares = np.array(sizes, dtype=np.float64) ** (1 / recipe.temperature)
            epoch = (np.array(sizes) / shares).max()
            return [round(share * epoch) for share in shares]


def _mixed(streams: Sequence[Indices], order: Indices) -> list[Indices]:
    """Batches with rows of each stream: as many as the other batches have of it, or one more.

    Those that have one more of a stream are the next in `order`, so that all batches together
    differ by one row at most, too: none is larger than the recipe says, and none is empty.
    """
    parts: list[list[Indices]] = []
    taken = 0
    for stream in streams:
        each, more = divmod(len(stream), len(order))
        sizes = np.full(len(order), each)
        sizes[order[np.arange(taken, taken + more) % len(order)]] += 1
        taken += more
        parts.append(np.split(stream, np.cumsum(sizes)[:-1]))
    return [np.concatenate(batch) for batch in zip(*parts, strict=True)]


def _evenly(stream: Indices, parts: int) -> list[Indices]:
    """Cut into parts that differ by one row at most, the larger ones spread over all."""
    bounds = np.linspace(0, len(stream), parts + 1).round().astype(np.int64)
    return [stream[start:end] for start, end in pairwise(bounds)]
