"""What the calls of both clients need: a connection, and the ways to wait that go with it.

`calls.py` is written once over it, as coroutines; see `blocking_transport.py` and
`asyncio_transport.py`.
"""

import os
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub
from twinhead.v1.model_service_pb2_grpc import ModelServiceStub

T = TypeVar("T")
Metadata = list[tuple[str, str]]


class Lifetime:
    """Where and until when a client can be used."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self.closed = False

    def check(self) -> None:
        """See that it can be used here and now.

        Raises:
            RuntimeError: it is closed, or this process is forked from the one that made it.
        """
        if self.closed:
            raise RuntimeError("the client is closed; make another one")
        if os.getpid() != self._process:  # gRPC's threads are not here: a call might never end
            raise RuntimeError(
                "the client was made before this process was forked; make one in each process"
            )


class Stubs:
    """The services of a worker, over one connection."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.inference: Any = InferenceServiceStub(channel)
        self.models: Any = ModelServiceStub(channel)


class Mailbox(Protocol[T]):
    """A queue between those who work at once."""

    def put(self, item: T, /) -> None:
        """Add to it."""

    async def get(self) -> T:
        """Wait for the first that is in it."""
        ...


class Stream(Protocol):
    """A call with many responses."""

    async def read(self) -> Any:
        """The next response; None at the end."""

    async def close(self) -> None:
        """End the call."""


class Background(Protocol):
    """Work that goes on beside whoever started it."""

    async def stop(self) -> None:
        """End it."""


class Transport(Protocol):
    """A connection to a worker."""

    def stubs(self) -> Stubs:
        """What to call.

        Raises:
            RuntimeError: see `Lifetime.check`.
        """
        ...

    async def call(
        self, method: Any, request: Any, seconds: float | None, headers: Metadata
    ) -> Any:
        """Make a call with one response, within so many seconds."""

    def subscribe(self, method: Any, request: Any, headers: Metadata) -> Stream:
        """Make a call with one request and many responses."""
        ...

    def stream(self, method: Any, outbox: Mailbox[Any], headers: Metadata) -> Stream:
        """Make a call whose requests are what comes to `outbox`, up to None."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait."""

    def mailbox(self) -> Mailbox[Any]:
        """A new one."""
        ...

    def start(self, work: Coroutine[Any, Any, None]) -> Background:
        """Let work go on in the background."""
        ...
