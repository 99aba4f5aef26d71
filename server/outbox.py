"""Answers of a stream on their way out, and a bound on what slow readers hold in memory."""

import asyncio

from twinhead.v1 import inference_service_pb2 as pb


class UnreadAnswers:
    """Counts bytes of answers that wait for their callers, over all streams."""

    def __init__(self, limit_bytes: int) -> None:
        """Let streams have more than one batch in the worker up to so many bytes."""
        self._limit = limit_bytes
        self._waiting: set[asyncio.Event] = set()
        self.bytes = 0
        """Bytes that wait."""

    @property
    def too_many(self) -> bool:
        """Whether more wait than may."""
        return self.bytes > self._limit

    def add(self, size: int) -> None:
        """Count an answer that waits."""
        self.bytes += size

    def remove(self, size: int) -> None:
        """Forget one that does not wait any more."""
        self.bytes -= size
        if not self.too_many:
            for event in self._waiting:
                event.set()

    async def wait(self, event: asyncio.Event) -> None:
        """Wait for an event, which is set also when there are no longer too many."""
        self._waiting.add(event)
        try:
            await event.wait()
        finally:
            self._waiting.discard(event)


class Outbox:
    """The answers of one stream."""

    def __init__(self, unread: UnreadAnswers, batches: int) -> None:
        """Let so many batches of the stream be in the worker at once."""
        self._unread = unread
        self._answers: asyncio.Queue[tuple[pb.StreamInferResponse, int] | None] = asyncio.Queue()
        self._permits = asyncio.Semaphore(batches)
        self._batches = 0
        self._go = asyncio.Event()
        self._closed = False

    async def room(self) -> None:
        """Wait until another batch may be read."""
        await self._permits.acquire()
        while self._batches and self._unread.too_many:
            self._go.clear()
            await self._unread.wait(self._go)
        self._batches += 1

    def put(self, answer: pb.StreamInferResponse) -> None:
        """Give an answer out; does nothing once the caller has left."""
        if self._closed:
            return
        size = answer.ByteSize()
        self._unread.add(size)
        self._answers.put_nowait((answer, size))

    def end(self) -> None:
        """Say that there will be no further answers."""
        self._answers.put_nowait(None)

    async def take(self) -> tuple[pb.StreamInferResponse, int] | None:
        """The next answer and its bytes; None at the end."""
        return await self._answers.get()

    def taken(self, size: int) -> None:
        """Note that the caller has an answer."""
        self._unread.remove(size)
        self._batches -= 1
        self._permits.release()
        if not self._batches:
            self._go.set()

    def close(self) -> None:
        """Forget what is left."""
        self._closed = True
        while not self._answers.empty():
            left = self._answers.get_nowait()
            if left is not None:
                self._unread.remove(left[1])
