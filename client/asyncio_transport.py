"""Calls that are awaited in an event loop."""

import asyncio
import contextlib
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

import grpc

from .channel import Access
from .transport import Lifetime, Mailbox, Metadata, Stubs

T = TypeVar("T")
_aio: Any = grpc.aio
_END = _aio.EOF


class AsyncioMailbox(Generic[T]):
    """A queue between tasks."""

    def __init__(self) -> None:
        items: asyncio.Queue[T] = asyncio.Queue()
        self.put = items.put_nowait
        self.get = items.get


class OpenCalls(Lifetime):
    """The calls that are under way: closing a connection, gRPC leaves some of them hanging."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: set[Any] = set()

    def add(self, call: Any) -> None:
        """Take one that has begun."""
        self._calls.add(call)

    def remove(self, call: Any) -> None:
        """Forget one that is over."""
        self._calls.discard(call)

    def close(self) -> None:
        """End all of them."""
        self.closed = True
        for call in self._calls:
            call.cancel()

    @contextlib.contextmanager
    def waiting(self) -> Generator[None]:
        """While a task waits for one of them.

        Raises:
            RuntimeError: they were ended. By itself gRPC would say that the task is cancelled.
        """
        try:
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                self.check()
            raise


class AsyncioStream:
    """A call with many responses; its requests are written by a task."""

    def __init__(
        self, call: Any, open_calls: OpenCalls, outbox: Mailbox[Any] | None = None
    ) -> None:
        self._call = call
        self._open_calls = open_calls
        open_calls.add(call)
        self._writing = None if outbox is None else BackgroundTask(self._write(outbox))

    async def read(self) -> Any:
        """The next response; None at the end."""
        with self._open_calls.waiting():
            response = await self._call.read()
        return None if response is _END else response

    async def close(self) -> None:
        """End the call and the task."""
        self._open_calls.remove(self._call)
        self._call.cancel()
        if self._writing is not None:
            await self._writing.stop()

    async def _write(self, outbox: Mailbox[Any]) -> None:
        # Why a call is over is told to the one who reads.
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            while (request := await outbox.get()) is not None:
                await self._call.write(request)
            await self._call.done_writing()


class BackgroundTask:
    """A task that ends with its work, or when it is stopped."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.create_task(work)

    async def stop(self) -> None:
        """Cancel it, and wait for its end."""
        self._task.cancel()
        await asyncio.wait({self._task})


class AsyncioTransport:
    """A connection for each event loop that calls; gRPC ties it to the loop."""

    def __init__(self, target: str, access: Access) -> None:
        """Connect when the first call is made; until then there need be no loop.

        Raises:
            FileError: a TLS file cannot be read, or is none.
        """
        access.credentials()  # told now that they are no good
        self._target = target
        self._access = access
        self._open_calls = OpenCalls()
        self._stubs: dict[asyncio.AbstractEventLoop, Stubs] = {}

    def stubs(self) -> Stubs:
        """What to call; see `Transport`."""
        self._open_calls.check()
        loop = asyncio.get_running_loop()
        if loop not in self._stubs:
            for ended in [each for each in self._stubs if each.is_closed()]:
                del self._stubs[ended]
            self._stubs[loop] = Stubs(self._access.aio_channel(self._target))
        return self._stubs[loop]

    async def call(
        self, method: Any, request: Any, seconds: float | None, headers: Metadata
    ) -> Any:
        """Make a call with one response, within so many seconds."""
        call = method(request, timeout=seconds, metadata=headers)
        self._open_calls.add(call)
        try:
            with self._open_calls.waiting():
                return await call
        finally:
            self._open_calls.remove(call)

    def subscribe(self, method: Any, request: Any, headers: Metadata) -> AsyncioStream:
        """Make a call with one request and many responses."""
        return AsyncioStream(method(request, metadata=headers), self._open_calls)

    def stream(self, method: Any, outbox: Mailbox[Any], headers: Metadata) -> AsyncioStream:
        """Make a call whose requests are what comes to `outbox`, up to None."""
        return AsyncioStream(method(metadata=headers), self._open_calls, outbox)

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def mailbox(self) -> AsyncioMailbox[Any]:
        """A new one."""
        return AsyncioMailbox()

    def start(self, work: Coroutine[Any, Any, None]) -> BackgroundTask:
        """Let work go on in a task."""
        return BackgroundTask(work)

    async def close(self) -> None:
        """Close the connection of this loop; those of others end with their loops."""
        self._open_calls.close()
        stubs = self._stubs.pop(asyncio.get_running_loop(), None)
        self._stubs.clear()
        if stubs is not None:
            await stubs.channel.close()
