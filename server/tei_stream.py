"""A stream of `tei.v1`, one text a message: gathered into batches, answered in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from twinhead.v1 import inference_service_pb2 as pb

from .pipeline import Accepted, Pipeline
from .tei_question import AnswerT, Question

# Texts that go together when they come in faster than they are answered: enough that what a batch
# costs beside the encoder is little for each.
_TEXTS = 128
# Batches of a stream that are in the worker at once, whose texts share encoder passes. With half as
# many texts 5 % more padding is encoded; with more, a slow reader holds more.
_BATCHES = 4

RequestT = TypeVar("RequestT")


@dataclass(frozen=True)
class Asked(Generic[AnswerT]):
    """A text, and what is asked of it."""

    text: str
    characters: int
    """Of the text as it was sent; the end that nobody will look at is not kept."""
    question: Question[AnswerT]


@dataclass(frozen=True)
class _End:
    """No further texts come."""

    error: Exception | None


@dataclass(frozen=True)
class _Batch(Generic[AnswerT]):
    """Texts that were asked the same, in the worker."""

    question: Question[AnswerT]
    characters: Sequence[int]
    accepted: Accepted
    settled: asyncio.Task[pb.InferResponse]


class TextStream(Generic[RequestT, AnswerT]):
    """Answers one stream."""

    def __init__(
        self, pipeline: Pipeline, read: Callable[[RequestT], tuple[str, Question[AnswerT]]]
    ) -> None:
        """Prepare to answer.

        Args:
            pipeline: what answers.
            read: takes the text and the question from a message; raises a ServiceError.
        """
        self._pipeline = pipeline
        self._read = read
        self._inbox: asyncio.Queue[Asked[AnswerT] | _End] = asyncio.Queue(_TEXTS)
        self._next: Asked[AnswerT] | _End | None = None
        self._room = asyncio.Semaphore(min(_BATCHES, pipeline.settings.batches_per_stream))
        self._batches: asyncio.Queue[_Batch[AnswerT] | _End] = asyncio.Queue()

    async def answer(
        self, requests: AsyncIterator[RequestT], write: Callable[[AnswerT], Awaitable[None]]
    ) -> None:
        """Answer text after text; reads no further while the worker is full or the caller slow.

        Raises:
            ServiceError: why the next text has no answer; there are none after it.
        """
        reading = asyncio.create_task(self._read_on(requests))
        accepting = asyncio.create_task(self._accept_on())
        batch: _Batch[AnswerT] | _End | None = None
        try:
            while isinstance(batch := await self._batches.get(), _Batch):
                await batch.settled
                for answer in batch.question.answers(batch.accepted, batch.characters):
                    await write(answer)
                self._room.release()
            if batch.error is not None:
                raise batch.error
        finally:
            reading.cancel()
            accepting.cancel()
            self._give_up(batch)
            while not self._batches.empty():
                self._give_up(self._batches.get_nowait())

    async def _read_on(self, requests: AsyncIterator[RequestT]) -> None:
        """Put texts into the inbox until they end, or the worker drains."""
        error: Exception | None = None
        try:
            with self._pipeline.serving.until_draining() as first:
                await first(self._fill_inbox(requests))
        except Exception as raised:
            error = raised
        await self._inbox.put(_End(error))

    async def _fill_inbox(self, requests: AsyncIterator[RequestT]) -> None:
        # So that a stream of huge texts holds no more of them than will be read; one more character
        # says that there are more.
        most = self._pipeline.settings.characters_per_sentence + 1
        async for request in requests:
            text, question = self._read(request)
            await self._inbox.put(Asked(text[:most], len(text), question))

    async def _accept_on(self) -> None:
        """Have texts answered until they end, as many in one batch as are there."""
        error: Exception | None = None
        try:
            while True:
                await self._room.acquire()
                first = await self._take()
                if isinstance(first, _End):
                    error = first.error
                    break
                self._batches.put_nowait(await self._accept(self._gather(first)))
        except Exception as raised:
            error = raised
        self._batches.put_nowait(_End(error))

    async def _take(self) -> Asked[AnswerT] | _End:
        taken, self._next = self._next, None
        return taken or await self._inbox.get()

    def _gather(self, first: Asked[AnswerT]) -> Sequence[Asked[AnswerT]]:
        """A text and those behind it that are there already and are asked the same."""
        gathered = [first]
        while len(gathered) < _TEXTS and not self._inbox.empty():
            following = self._inbox.get_nowait()
            if isinstance(following, _End) or following.question != first.question:
                self._next = following
                break
            gathered.append(following)
        return gathered

    async def _accept(self, gathered: Sequence[Asked[AnswerT]]) -> _Batch[AnswerT]:
        question = gathered[0].question
        accepted = await question.accept(
            self._pipeline, [asked.text for asked in gathered], wait=True
        )
        return _Batch(
            question,
            [asked.characters for asked in gathered],
            accepted,
            asyncio.create_task(self._pipeline.answer(accepted)),
        )

    def _give_up(self, batch: _Batch[AnswerT] | _End | None) -> None:
        """Encode no more of a batch, if it is one; without effect when it is answered."""
        if isinstance(batch, _Batch):
            batch.settled.cancel()
            # Cancelled before its first step, a task runs none of its own clean-up.
            self._pipeline.discard(batch.accepted)
