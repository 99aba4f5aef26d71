"""Where the admin service listens: an address of its own, which few can reach."""

from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from twinhead.v1 import model_admin_service_pb2
from twinhead.v1.model_admin_service_pb2_grpc import add_ModelAdminServiceServicer_to_server

from .access import Access
from .certificates import Certificates
from .gate import Gate
from .health import Health
from .listen import OPTIONS, ListenError, bind, is_loopback
from .live_model import Serving
from .metrics import Metrics
from .settings import WorkerSettings

if TYPE_CHECKING:  # it imports torch, and the worker listens before that is there
    from .model_versions import ModelVersions
    from .traces import Traces

_SERVICE = model_admin_service_pb2.DESCRIPTOR.services_by_name["ModelAdminService"].full_name
# An offer's small files, each as large as it may be, and a chunk of 4 MiB with room to spare.
_REQUEST_BYTES = 32 << 20
_MAX_CALLS = 32


class AdminListener:
    """A gRPC server for the admin service."""

    def __init__(
        self,
        settings: WorkerSettings,
        access: Access,
        certificates: Certificates | None,
        metrics: Metrics,
        traces: "Traces | None" = None,
    ) -> None:
        """Take the address; calls wait until `start`.

        Raises:
            ListenError: the address is taken or not ours, or needs tokens and has none.
        """
        # A certificate alone will not do: whoever may have sentences answered has one, too.
        if not settings.token_file and not is_loopback(settings.admin_host):
            raise ListenError(
                f"--admin-host {settings.admin_host} lets others than this machine in, who could "
                "replace the model; give those who may a token with --token-file"
            )
        self._metrics = metrics
        self._health = Health([_SERVICE])
        self._server = grpc.aio.server(
            interceptors=[Gate(access, _MAX_CALLS, metrics, traces)],
            options=[
                ("grpc.max_concurrent_streams", 4 * _MAX_CALLS),
                ("grpc.max_receive_message_length", _REQUEST_BYTES),
                *OPTIONS,
            ],
        )
        port = settings.admin_port
        if port is None:
            port = settings.port + 1 if 0 < settings.port < 65535 else 0
        self.port = bind(self._server, settings.admin_host, port, "--admin-port", certificates)
        """The port it listens on."""

    async def start(self, serving: Serving, versions: "ModelVersions") -> None:
        """Answer calls from now on."""
        from .admin_service import ModelAdminService

        add_ModelAdminServiceServicer_to_server(
            ModelAdminService(serving, versions, self._metrics), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            [_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        self._health.set(serving=True)
        await self._server.start()

    async def stop(self, seconds: float | None) -> None:
        """Stop, after at most so many seconds for calls that go on."""
        self._health.drain()
        await self._server.stop(seconds)
