"""Calls that block the thread until they are answered.

Nothing here ever suspends a coroutine. So `run` and `iterate` run what is written over this
transport, without an event loop.
"""

import queue
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from .channel import Access
from .transport import Lifetime, Mailbox, Metadata, Stubs

T = TypeVar("T")


def run(work: Awaitable[T]) -> T:
    """Run what never suspends, and give what it returns."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a blocking call has suspended; this is a defect of Twinhead's client")


def iterate(items: AsyncGenerator[T]) -> Generator[T]:
    """Give what an asynchronous generator gives that never suspends."""
    try:
        while True:
            try:
                item = run(anext(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(items.aclose())


class BlockingMailbox(Generic[T]):
    """A queue between threads."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[T] = queue.SimpleQueue()
        self.put = self._items.put

    async def get(self) -> T:
        """Wait for the first that is in it."""
        return self._items.get()


class BlockingStream:
    """A call with many responses; its requests are written by a thread of gRPC's."""

    def __init__(self, call: Any, outbox: Mailbox[Any] | None = None) -> None:
        self._call = call
        self._outbox = outbox

    async def read(self) -> Any:
        """The next response; None at the end."""
        return next(self._call, None)

    async def close(self) -> None:
        """End the call, and the thread if it has nothing to write."""
        self._call.cancel()
        if self._outbox is not None:
            self._outbox.put(None)


class BackgroundThread:
    """A thread that ends with its work."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        # Nothing can end it while it waits for the caller's own code: a program is not held up.
        threading.Thread(target=run, args=(work,), name="twinhead-stream", daemon=True).start()

    async def stop(self) -> None:
        """Nothing: a thread can only be told, through a mailbox, to end."""


class BlockingTransport:
    """A connection for any number of threads."""

    def __init__(self, target: str, access: Access) -> None:
        """Connect when the first call is made.

        Raises:
            FileError: a TLS file cannot be read, or is none.
        """
        self._lifetime = Lifetime()
        self._stubs = Stubs(access.channel(target))

    def stubs(self) -> Stubs:
        """What to call; see `Transport`."""
        self._lifetime.check()
        return self._stubs

    async def call(
        self, method: Any, request: Any, seconds: float | None, headers: Metadata
    ) -> Any:
        """Make a call with one response, within so many seconds."""
        return method(request, timeout=seconds, metadata=headers)

    def subscribe(self, method: Any, request: Any, headers: Metadata) -> BlockingStream:
        """Make a call with one request and many responses."""
        return BlockingStream(method(request, metadata=headers))

    def stream(self, method: Any, outbox: Mailbox[Any], headers: Metadata) -> BlockingStream:
        """Make a call whose requests are what comes to `outbox`, up to None."""
        return BlockingStream(
            method(iter(lambda: run(outbox.get()), None), metadata=headers), outbox
        )

    async def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)  # noqa: ASYNC251 (there is no loop to hold up)

    def mailbox(self) -> BlockingMailbox[Any]:
        """A new one."""
        return BlockingMailbox()

    def start(self, work: Coroutine[Any, Any, None]) -> BackgroundThread:
        """Let work go on in a thread."""
        return BackgroundThread(work)

    def close(self) -> None:
        """Close the connection."""
        self._lifetime.closed = True
        self._stubs.channel.close()
