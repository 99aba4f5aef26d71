"""Where the admin service listens: an address of its own, which few can reach."""

from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer  # what `health.aio` names, for type checkers
from grpc_reflection.v1alpha import reflection
from twinhead.v1 import model_admin_service_pb2
from twinhead.v1.model_admin_service_pb2_grpc import add_ModelAdminServiceServicer_to_server

from .admin_token import AdminToken, is_loopback, read_token
from .listen import ListenError, bind
from .live_model import Serving
from .malformed import MalformedRequests
from .settings import WorkerSettings

if TYPE_CHECKING:  # it imports torch, and the worker listens before that is there
    from .model_versions import ModelVersions

_SERVICE = model_admin_service_pb2.DESCRIPTOR.services_by_name["ModelAdminService"].full_name
# An offer's small files, each as large as it may be, and a chunk of 4 MiB with room to spare.
_REQUEST_BYTES = 32 << 20
_MAX_CALLS = 32


class AdminListener:
    """A gRPC server for the admin service."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Take the address; calls wait until `start`.

        Raises:
            ListenError: the address is taken or not ours, or needs a token and has none.
            ValueError: the token file is no good.
        """
        token = read_token(Path(settings.admin_token_file)) if settings.admin_token_file else ""
        if not token and not is_loopback(settings.admin_host):
            raise ListenError(
                f"--admin-host {settings.admin_host} lets others than this machine in, who could "
                "replace the model; give them a token with --admin-token-file"
            )
        self._health = HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[*([AdminToken(token)] if token else []), MalformedRequests()],
            options=[
                ("grpc.max_receive_message_length", _REQUEST_BYTES),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 20_000),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
                ("grpc.so_reuseport", 0),  # as for the worker's other port
            ],
            maximum_concurrent_rpcs=_MAX_CALLS,
        )
        port = settings.admin_port
        if port is None:
            port = settings.port + 1 if 0 < settings.port < 65535 else 0
        self.port = bind(self._server, settings.admin_host, port, "--admin-port")
        """The port it listens on."""

    async def start(self, serving: Serving, versions: "ModelVersions") -> None:
        """Answer calls from now on."""
        from .admin_service import ModelAdminService

        add_ModelAdminServiceServicer_to_server(ModelAdminService(serving, versions), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            [_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        for service in ("", _SERVICE):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()

    async def stop(self, seconds: float | None) -> None:
        """Stop, after at most so many seconds for calls that go on."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(seconds)
