"""The worker process: listen, load, serve, drain."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from twinhead.protocols import open_inference_service_pb2
from twinhead.protocols.open_inference_service_pb2_grpc import (
    add_GRPCInferenceServiceServicer_to_server,
)
from twinhead.v1 import inference_service_pb2, model_service_pb2
from twinhead.v1.inference_service_pb2_grpc import add_InferenceServiceServicer_to_server
from twinhead.v1.model_service_pb2_grpc import add_ModelServiceServicer_to_server

from .access import Access, TokenFile
from .admin_listener import AdminListener
from .batch_queue import BatchQueue
from .batch_runner import BatchRunner
from .daemon_thread import in_daemon_thread
from .gate import Gate
from .health import Health
from .inference_service import InferenceService
from .listen import OPTIONS, bind, read_certificates
from .live_model import LiveModel, Serving
from .metrics import Metrics, counter, gauge, info
from .model_service import ModelService
from .open_inference_service import OpenInferenceService
from .pipeline import Pipeline
from .settings import WorkerSettings
from .tei_services import TEI_SERVICES, add_tei_services
from .watchdog import Watchdog

if TYPE_CHECKING:  # they import torch, and the worker listens before that is there
    from prometheus_client.core import Metric

    from .model_versions import ModelVersions
    from .traces import Traces
    from .version_store import VersionStore
    from .version_watch import VersionWatch

logger = logging.getLogger(__name__)

# Smaller passes are slower, larger ones are not quicker; see bench/NOTES.md.
CPU_TOKEN_BUDGET = 512
_GPU_TOKEN_BUDGET = 16_384
# For calls that came while the last answers went out, to be told that the worker drains.
_CLOSE_SECONDS = 3.0
# For the first look at where versions are published: weights may have to come from afar.
_FIRST_LOOK_SECONDS = 120.0
_SERVICES = (
    inference_service_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name,
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
    open_inference_service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name,
)


class Worker:
    """A worker inside a running event loop."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self.port = 0
        """The port it listens on, once started."""
        self.metrics_port = 0
        """The port of its metrics, once started; 0 for none."""
        self._serving = Serving()
        self._services = (*_SERVICES, *TEI_SERVICES) if settings.tei else _SERVICES
        self._health = Health(self._services)
        self._ready = False
        self.metrics = Metrics()
        """What it counts and times."""
        self._traces: Traces | None = None
        self._gate: Gate | None = None
        self._stop_metrics: Callable[[], None] | None = None
        self._queue: BatchQueue | None = None
        self._runner: BatchRunner | None = None
        self._pipeline: Pipeline | None = None
        self._inference: InferenceService | None = None
        self._server: grpc.aio.Server | None = None
        self._admin: AdminListener | None = None
        self._store: VersionStore | None = None
        self._versions: ModelVersions | None = None
        self._watch: VersionWatch | None = None
        self._background: set[asyncio.Task[None]] = set()

    @property
    def admin_port(self) -> int:
        """The port that the admin service listens on, once started."""
        return self._admin.port if self._admin else 0

    async def start(
        self, load: "Callable[[WorkerSettings, VersionStore | None], LiveModel]"
    ) -> LiveModel:
        """Listen, then load the model; calls before it is ready get UNAVAILABLE.

        Args:
            load: makes a model that has run once, of the settings and the versions that are kept;
                called in a thread.

        Returns:
            The model that is live.

        Raises:
            ListenError: an address is taken, not ours, or open to more than it should be.
            ValueError: the token file or a TLS file is no good.
            Exception: what `load` raises; the worker is then stopped.
        """
        settings = self._settings
        server, admin, queue = self._listen(settings)
        await server.start()
        try:
            self._store = await asyncio.to_thread(_open_store, settings)
            model = await asyncio.to_thread(load, settings, self._store)
        except BaseException:
            await server.stop(None)
            await admin.stop(None)
            self._end_eyes()
            raise
        default_budget = CPU_TOKEN_BUDGET if model.engine.device == "cpu" else _GPU_TOKEN_BUDGET
        self._runner = BatchRunner(
            queue, self.metrics, settings.token_budget or default_budget, model.engine.streams
        )
        self._runner.start()
        self._serving.publish(model)
        await self._start_versions(model, queue, admin)
        self._set_ready(True)
        watchdog = Watchdog(self._serving, queue, self._runner, settings.stall_seconds)
        self._in_background(watchdog.follow(self._set_ready))
        return self._serving.model()

    def _listen(
        self, settings: WorkerSettings
    ) -> tuple[grpc.aio.Server, AdminListener, BatchQueue]:
        """Take the addresses, and put together what answers on the first of them."""
        certificates = read_certificates(settings)
        tokens = TokenFile(Path(settings.token_file)) if settings.token_file else None
        access = Access(tokens, filter(None, settings.anonymous.split(",")))
        if settings.traces:
            from .traces import Traces  # an extra

            self._traces = Traces()
        queue = self._queue = BatchQueue(settings.queue_tokens)
        self._pipeline = Pipeline(self._serving, queue, settings, self.metrics, self._traces)
        self._inference = InferenceService(self._pipeline)
        self._gate = Gate(
            access,
            settings.concurrent_calls,
            self.metrics,
            self._traces,
            queue.check_room,
        )
        server = grpc.aio.server(
            interceptors=[self._gate],
            options=[
                # Those beyond wait on the caller's side; with room for our own word that it is
                # full, and for health checks.
                ("grpc.max_concurrent_streams", 2 * settings.concurrent_calls + 100),
                ("grpc.max_receive_message_length", settings.request_bytes),
                ("grpc.max_send_message_length", -1),  # bounded by what a request may hold
                *OPTIONS,
            ],
        )
        self._server = server
        add_InferenceServiceServicer_to_server(self._inference, server)
        add_ModelServiceServicer_to_server(ModelService(self._serving, settings), server)
        add_GRPCInferenceServiceServicer_to_server(
            OpenInferenceService(self._pipeline, lambda: self._ready), server
        )
        if settings.tei:
            add_tei_services(server, self._pipeline)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            [*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME], server
        )
        self.port = bind(server, settings.host, settings.port, "--port", certificates)
        admin = AdminListener(settings, access, certificates, self.metrics, self._traces)
        self._admin = admin
        self.metrics.ask(self._present)
        if settings.metrics_port is not None:
            self.metrics_port, self._stop_metrics = self.metrics.serve(
                settings.metrics_host, settings.metrics_port
            )
        return server, admin, queue

    async def _start_versions(
        self, model: LiveModel, queue: BatchQueue, admin: AdminListener
    ) -> None:
        # They import torch, which is there only now.
        from .model_versions import ModelVersions
        from .semantic_gate import SemanticGate

        settings = self._settings
        versions = ModelVersions(
            self._serving, SemanticGate(queue), self._store, settings.version_bytes
        )
        self._versions = versions
        self._in_background(versions.keep(model))
        if settings.watch:
            from ..model.published import Published
            from .version_watch import VersionWatch

            watch = self._watch = VersionWatch(
                Published(settings.watch),
                self._serving,
                versions,
                settings.watch_seconds,
                settings.watch_new_tasks,
                self.metrics,
            )
            # Before the worker says that it is ready: whoever starts late is not behind.
            with contextlib.suppress(TimeoutError):  # a place that hangs is not waited for
                await asyncio.wait_for(watch.look(new_tasks=True), _FIRST_LOOK_SECONDS)
            self._in_background(watch.follow())
        await admin.start(self._serving, versions)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._background.discard)

    async def drain(self) -> bool:
        """Take no new work, finish what is accepted, stop.

        Returns:
            Whether all accepted work was finished within the drain time.
        """
        if self._server is None or self._queue is None or self._gate is None:
            return True
        deadline = time.monotonic() + self._settings.drain_seconds
        # Health first: those who watch it turn away at once.
        self._health.drain()
        self._serving.drain()
        self._ready = False
        # Not by the server's own grace: health watchers would hold it for all of the drain time.
        finished = await self._gate.inference.idle(self._settings.drain_seconds)
        for task in list(self._background):
            task.cancel()
        if self._admin is not None:
            await self._admin.stop(_CLOSE_SECONDS if finished else None)
        await self._server.stop(_CLOSE_SECONDS if finished else None)
        self._queue.close()
        if self._runner is not None and finished:
            # A pass may still run for callers who have left.
            await asyncio.to_thread(self._runner.join, deadline - time.monotonic())
        if self._pipeline is not None:
            self._pipeline.close()
        if self._versions is not None:
            await self._versions.close(_CLOSE_SECONDS)
        if self._store is not None:
            self._store.close()
        with contextlib.suppress(TimeoutError):  # a collector of traces may not answer
            await asyncio.wait_for(in_daemon_thread(self._end_eyes), _CLOSE_SECONDS)
        return finished

    def _set_ready(self, ready: bool) -> None:
        self._ready = ready and not self._serving.draining.is_set()
        self._health.set(serving=ready)

    def _present(self) -> "Iterator[Metric]":
        """Figures of the present; asked for from the metrics' own thread, too."""
        yield gauge("ready", "1 when the model answers and the worker serves.", self._ready)
        yield gauge(
            "calls",
            "Inference calls and streams that are open.",
            self._gate.inference.count if self._gate else 0,
        )
        yield gauge("queue_tokens", "Tokens that wait.", self._queue.tokens if self._queue else 0)
        yield gauge("queue_limit_tokens", "Tokens that may wait.", self._settings.queue_tokens)
        yield gauge(
            "unread_answer_bytes",
            "Bytes of answers on streams that their callers have not taken.",
            self._inference.unread_bytes if self._inference else 0,
        )
        if self._watch is not None:
            yield gauge(
                "watch_failing",
                "1 while what is published where --watch looks is away, damaged or refused.",
                self._watch.failing,
            )
        yield counter("swaps", "Versions that went live after the first.", self._serving.swaps)
        live = self._serving.live
        if live is not None:
            yield info(
                "model",
                "The live model.",
                {
                    "version": live.version,
                    "encoder": live.config.encoder,
                    "engine": live.engine.name,
                    "precision": live.engine.precision,
                    "device": live.engine.device,
                },
            )

    def _end_eyes(self) -> None:
        if self._stop_metrics is not None:
            self._stop_metrics()
        if self._traces is not None:
            self._traces.close()


def _open_store(settings: WorkerSettings) -> "VersionStore | None":
    if not settings.state:
        return None
    from .version_store import VersionStore

    return VersionStore(Path(settings.state), settings.keep_versions)
