"""The asyncio client."""

from typing import Self

from .asyncio_transport import AsyncioTransport
from .calls import Calls
from .channel import DEFAULT_TARGET, Access, Tls


class AsyncClient(Calls):
    """Calls a worker from asyncio; the twin of `Client`.

    >>> async with AsyncClient("localhost:50051") as client:
    ...     result = await client.infer(["The match was a delight."])

    It may be made before there is an event loop, and used in several, one after the other.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        token: str = "",
        tls: Tls | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        """Connect to a worker when the first call is made; see `Client`."""
        access = Access(token, tls)
        self._connection = AsyncioTransport(target, access)
        super().__init__(target, self._connection, access.metadata, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()
