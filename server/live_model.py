"""The model that answers, and whether the worker serves at all."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from ..model.config import ModelConfig
from ..model.tokenizer import Tokenizer
from .engines.engine import Engine
from .errors import NotServingError, VersionNotLiveError

if TYPE_CHECKING:  # it imports torch, and the worker listens before that is there
    from ..model.checkpoint import Checkpoint

# Answers stay under the 4 MiB that gRPC clients accept by default, with room for the statuses.
_ANSWER_BYTES = 4 * 1024 * 1024 - 128 * 1024
# A status takes about 30 bytes, a label and its score 10.
_ROW_OVERHEAD_BYTES = 64


@dataclass(frozen=True, eq=False)
class LiveModel:
    """A version, whole and unchangeable: whoever holds one answers by it to the end."""

    version: str
    config: ModelConfig
    dimensions: int
    """Length of an embedding."""
    tokenizer: Tokenizer
    engine: Engine
    checkpoint: "Checkpoint"
    """What it was made of."""
    created: float = field(default_factory=time.time)
    """When it was loaded, seconds since the epoch."""

    @classmethod
    def of(cls, checkpoint: "Checkpoint", engine: Engine) -> Self:
        """The model of a checkpoint, run by an engine that has its network."""
        return cls(
            version=checkpoint.version,
            config=checkpoint.config,
            dimensions=checkpoint.network.dimensions,
            tokenizer=checkpoint.tokenizer,
            engine=engine,
            checkpoint=checkpoint,
        )

    @cached_property
    def sentences_per_answer(self) -> int:
        """Sentences whose answer stays under the size that clients accept; at least one."""
        labels = [label for task in self.config.tasks for label in task.labels]
        row_bytes = 4 * (self.dimensions + len(labels)) + _ROW_OVERHEAD_BYTES
        # Label names travel once in every answer, with two or three bytes before each.
        fixed_bytes = sum(len(label.encode()) + 3 for label in labels)
        return max(1, (_ANSWER_BYTES - fixed_bytes) // row_bytes)


BeforeDraining = Callable[..., Awaitable[Any]]
"""See `Serving.until_draining`."""


@dataclass(frozen=True)
class Swap:
    """A model went live."""

    model: LiveModel
    previous: str
    """The version that was live before; empty for the first."""


# What a subscriber may be behind; a swap takes far longer than telling it.
_UNTOLD_SWAPS = 64


class Serving:
    """What the worker serves: nothing yet, a model, or nothing any more."""

    def __init__(self) -> None:
        # Both in one, so that a swap is one assignment.
        self._models: tuple[LiveModel, LiveModel | None] | None = None
        self._subscribers: set[asyncio.Queue[Swap]] = set()
        self.swaps = 0
        """How often another model went live."""
        self.draining = asyncio.Event()

    def publish(self, model: LiveModel) -> None:
        """Make a model the live one, and keep the one before it for those who pin it.

        All that answers took its model before or takes it after; nothing else is to be done.
        """
        before = self._models[0] if self._models else None
        self._models = (model, before)
        self.swaps += before is not None
        swap = Swap(model, before.version if before else "")
        for subscriber in list(self._subscribers):
            try:
                subscriber.put_nowait(swap)
            except asyncio.QueueFull:
                self._subscribers.discard(subscriber)

    @contextmanager
    def subscribed(self) -> Generator[asyncio.Queue[Swap]]:
        """A queue of the swaps from now on; see `keeps_up`."""
        queue: asyncio.Queue[Swap] = asyncio.Queue(_UNTOLD_SWAPS)
        self._subscribers.add(queue)
        try:
            yield queue
        finally:
            self._subscribers.discard(queue)

    def keeps_up(self, queue: asyncio.Queue[Swap]) -> bool:
        """Whether a subscriber has been told of every swap."""
        return queue in self._subscribers

    def is_live(self, model: LiveModel) -> bool:
        """Whether a model is the live one, also while the worker drains."""
        return self._models is not None and self._models[0] is model

    @property
    def live(self) -> LiveModel | None:
        """The live model, also while the worker drains; None while it starts."""
        return self._models[0] if self._models else None

    @property
    def previous(self) -> LiveModel | None:
        """The model that was live before, if it is still in memory."""
        return self._models[1] if self._models else None

    @contextmanager
    def until_draining(self) -> Generator[BeforeDraining]:
        """For those who wait: `await first(x)` gives what `x` does, unless the worker drains.

        `first` takes a time in seconds, too, and raises NotServingError or TimeoutError.
        """
        draining = asyncio.ensure_future(self.draining.wait())

        async def first(waiting: Awaitable[Any], seconds: float | None = None) -> Any:
            coming = asyncio.ensure_future(waiting)
            try:
                await asyncio.wait(
                    {coming, draining}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                )
                if coming.done():
                    return coming.result()
                if draining.done():
                    raise NotServingError(draining=True)
                raise TimeoutError
            finally:
                coming.cancel()

        try:
            yield first
        finally:
            draining.cancel()

    def drain(self) -> None:
        """Take no new work from now on."""
        self.draining.set()

    def model(self, version: str = "") -> LiveModel:
        """The live model.

        Args:
            version: take the version that was live before, if this is its id; empty for the
                live one.

        Raises:
            NotServingError: starting or draining.
            VersionNotLiveError: the version is neither.
        """
        if self.draining.is_set() or self._models is None:
            raise NotServingError(draining=self.draining.is_set())
        live, previous = self._models
        if not version or version == live.version:
            return live
        if previous is not None and version == previous.version:
            return previous
        raise VersionNotLiveError(version, live.version)
