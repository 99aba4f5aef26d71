"""The client of a worker's admin service: push weights, list versions, roll back."""

import contextlib
import queue
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from twinhead.v1 import model_admin_service_pb2 as pb
from twinhead.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub

from .channel import DEFAULT_ADMIN_TARGET, Access, Tls
from .errors import WorkerFailedError, from_rpc_error
from .results import VersionList, read_versions
from .worker_status import WorkerStatus, read_status

_CHUNK_BYTES = 1 << 20

Blob = bytes | bytearray | memoryview


@dataclass(frozen=True)
class DriftLimits:
    """How far a pushed version may be from the live one, on probe sentences."""

    min_cosine: float | None = None
    """Smallest cosine of the embeddings of a probe by both versions; None for any."""
    min_agreement: float | None = None
    """Smallest share of probes that both give the same labels, for each task; None for any."""
    sentences: Sequence[str] = ()
    """Probes in place of those that come with the version."""


@dataclass(frozen=True)
class VersionOffer:
    """A version to push, and on what conditions."""

    files: Mapping[str, bytes]
    """The small files of its checkpoint, by name; see the contract."""
    read: Callable[[str], Blob]
    """The bytes of a blob of the version, by its SHA-256 in hexadecimal."""
    expected_live_version: str = ""
    """The version that must be live; empty for any."""
    allow_new_tasks: bool = False
    """Whether it may have another architecture, other tasks, labels or tokenizer."""
    drift_limits: DriftLimits = field(default_factory=DriftLimits)


@dataclass(frozen=True)
class GateReport:
    """What the worker has measured on probe sentences before a version goes live."""

    probes: int
    deviation: float | None
    """Largest difference to what the version states, relative; None when it states nothing."""
    min_cosine: float | None
    """Smallest cosine of the embeddings of a probe by the new and the live version."""
    agreement: Mapping[str, float] = field(default_factory=dict[str, float])
    """Share of probes with the same labels by both, for each task that both have."""
    received_bytes: int = 0
    """Bytes that the worker lacked and got."""


class AdminClient:
    """Calls the admin service of a worker; safe to use from several threads.

    >>> with AdminClient("localhost:50052") as admin:
    ...     [version.version for version in admin.versions().versions]
    """

    def __init__(
        self,
        target: str = DEFAULT_ADMIN_TARGET,
        *,
        token: str = "",
        tls: Tls | None = None,
        timeout: float = 60.0,
    ) -> None:
        """Connect when the first call is made.

        Args:
            target: `host:port` of the admin service.
            token: for workers that ask for one.
            tls: for workers that have a certificate; None for plain text.
            timeout: seconds for a call. A push has no limit of its own: the worker ends one on
                which nothing happens.
        """
        self.target = target
        self._timeout = timeout
        access = Access(token, tls)
        self._metadata = access.metadata
        self._channel = access.channel(target)
        self._stub: Any = ModelAdminServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def versions(self) -> VersionList:
        """The versions that the worker keeps.

        Raises:
            TwinheadError: the call failed.
        """
        return read_versions(self._call(self._stub.ListVersions, pb.ListVersionsRequest()))

    def status(self) -> WorkerStatus:
        """How the worker does.

        Raises:
            TwinheadError: the call failed.
        """
        return read_status(self._call(self._stub.GetStatus, pb.GetStatusRequest()))

    def activate(self, version: str = "", expected_live_version: str = "") -> tuple[str, str]:
        """Make a kept version the live one.

        Args:
            version: its id; empty for the one that was live before.
            expected_live_version: do nothing unless this version is live; empty for any.

        Returns:
            The ids of the version that is live now and of the one that was before.

        Raises:
            TwinheadError: the call failed.
        """
        request = pb.ActivateVersionRequest(
            model_version=version, expected_live_version=expected_live_version
        )
        answer = self._call(self._stub.ActivateVersion, request)
        return answer.model_version, answer.previous_version

    def push(self, offer: VersionOffer) -> "Push":
        """Begin a push; nothing is sent before `Push.stage`."""
        return Push(offer, self._stub.PushWeights, self._metadata, self.target)

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error


class Push:
    """One version on its way to one worker. Left without `go_live`, the worker forgets it.

    >>> with admin.push(offer) as push:
    ...     report = push.stage()
    ...     push.go_live()
    """

    def __init__(self, offer: VersionOffer, method: Any, metadata: Any, target: str) -> None:
        self._offer = offer
        self._method = method
        self._metadata = metadata
        self._target = target
        self._call: Any = None
        # What the worker has said that the sending side waits for; None ends it.
        self._wanted: queue.SimpleQueue[Sequence[str] | None] = queue.SimpleQueue()
        self._decision: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._sent: Callable[[int], None] = _ignore

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the push."""
        if self._call is not None:
            self._call.cancel()
        self._wanted.put(None)
        self._decision.put(False)

    def stage(self, sent: Callable[[int], None] | None = None) -> GateReport:
        """Bring the version to the worker, which loads and checks it.

        Args:
            sent: told the bytes of each piece that has been given to the connection; is called
                from another thread.

        Raises:
            PushRefusedError: the version fails a check; `check` names it.
            TwinheadError: the call failed.
        """
        self._sent = sent or _ignore
        self._call = self._method(self._requests(), metadata=self._metadata)
        received = 0
        while True:
            step = self._next()
            match step.WhichOneof("step"):
                case "wanted":
                    self._wanted.put(list(step.wanted.sha256))
                case "received":
                    received = step.received.bytes
                case "staged":
                    self._wanted.put(())  # a worker that lacks nothing need not have said so
                    report = step.staged.report
                    return GateReport(
                        probes=report.probes,
                        deviation=report.deviation if report.HasField("deviation") else None,
                        min_cosine=report.min_cosine if report.HasField("min_cosine") else None,
                        agreement=dict(sorted(report.agreement.items())),  # a map has no order
                        received_bytes=received,
                    )
                case other:
                    raise WorkerFailedError(f"{self._target} answers a push with {other}")

    def go_live(self) -> tuple[str, bool]:
        """Make the staged version the live one.

        Returns:
            The version that was live before, and whether the worker will still have this one when
            it is started again.

        Raises:
            TwinheadError: the call failed; the version may be live all the same if the connection
                was lost just now.
        """
        self._decision.put(True)
        live = self._next().live
        with contextlib.suppress(grpc.RpcError):
            for _ in self._call:  # to its end: closing it before would count as a cancelled push
                pass
        return live.previous_version, live.lasting

    def _requests(self) -> Generator[pb.PushWeightsRequest]:
        offer, limits = self._offer, self._offer.drift_limits
        yield pb.PushWeightsRequest(
            offer=pb.VersionOffer(
                files=dict(offer.files),
                expected_live_version=offer.expected_live_version,
                allow_new_tasks=offer.allow_new_tasks,
                drift_limits=pb.DriftLimits(
                    min_cosine=limits.min_cosine,
                    min_agreement=limits.min_agreement,
                    sentences=limits.sentences,
                ),
            )
        )
        for digest in self._wanted.get() or ():
            blob = memoryview(offer.read(digest))
            for start in range(0, max(len(blob), 1), _CHUNK_BYTES):
                data = bytes(blob[start : start + _CHUNK_BYTES])
                last = start + _CHUNK_BYTES >= len(blob)
                yield pb.PushWeightsRequest(chunk=pb.BlobChunk(sha256=digest, data=data, last=last))
                self._sent(len(data))
        if self._decision.get():
            yield pb.PushWeightsRequest(go_live=pb.GoLive())

    def _next(self) -> pb.PushWeightsResponse:
        try:
            return next(self._call)
        except StopIteration:
            raise WorkerFailedError(f"{self._target} ended the push without a word") from None
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._target) from error


def _ignore(_: int) -> None:
    pass
