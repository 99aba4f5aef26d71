"""The health service, `grpc.health.v1`.

Not the library's: there a watcher who takes no answers holds up all others, and the end of the
worker; when one leaves, the others are told nothing more; and every name ever asked for is kept.
"""

import asyncio
from collections.abc import Iterable

from grpc_health.v1 import health_pb2, health_pb2_grpc

from .errors import Context, InvalidRequestError, UnknownServiceError

_Response = health_pb2.HealthCheckResponse
_NAME_CHARACTERS = 256


class Health(health_pb2_grpc.HealthServicer):
    """Tells of some services, and of all of them under the empty name, whether they serve."""

    def __init__(self, services: Iterable[str]) -> None:
        """Tell of services; none serves yet."""
        self._services = frozenset(["", *services])
        self._serving = self._draining = False
        self._changed = asyncio.Event()

    def set(self, *, serving: bool) -> None:
        """Say of all services whether they serve; without effect after `drain`."""
        if self._draining or serving == self._serving:
            return
        self._serving = serving
        self._changed.set()
        self._changed = asyncio.Event()  # each change has its own

    def drain(self) -> None:
        """Say of all services, for good, that they do not serve."""
        self.set(serving=False)
        self._draining = True

    async def Check(
        self,
        request: health_pb2.HealthCheckRequest,
        context: Context,  # noqa: ARG002
    ) -> _Response:
        """Tell of a service."""
        if not self._knows(request):
            raise UnknownServiceError
        return _Response(status=self._status(known=True))

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """Tell of a service, and of each change, until the caller leaves."""
        known = self._knows(request)
        told = None
        while True:
            changed, status = self._changed, self._status(known=known)
            if status != told:
                await context.write(_Response(status=status))
                told = status
            else:
                await changed.wait()

    def _knows(self, request: health_pb2.HealthCheckRequest) -> bool:
        """Whether the service that is asked about is here."""
        if len(request.service) > _NAME_CHARACTERS:
            raise InvalidRequestError([("service", f"longer than {_NAME_CHARACTERS} characters")])
        return request.service in self._services

    def _status(self, *, known: bool) -> "_Response.ServingStatus":
        if not known:
            return _Response.SERVICE_UNKNOWN
        return _Response.SERVING if self._serving else _Response.NOT_SERVING
