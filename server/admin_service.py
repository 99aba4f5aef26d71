"""The RPCs that change what the worker serves."""

import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from google.protobuf.timestamp_pb2 import Timestamp
from twinhead.v1 import model_admin_service_pb2 as pb
from twinhead.v1 import model_admin_service_pb2_grpc as pb_grpc

from ..model.probes import MAX_PROBES
from .blob_receiver import Chunk
from .errors import Context, InvalidRequestError, PushAbortedError
from .live_model import BeforeDraining, LiveModel, Serving
from .metrics import SECONDS, Metrics
from .model_versions import ModelVersions, Offer, StagedVersion
from .semantic_gate import DriftLimits, GateReport

# A push holds the worker's one place for them. Those who push to several workers let one wait until
# the others are ready, which takes seconds, or a minute where a network is slow.
_IDLE_SECONDS = 120.0
_CHUNK_BYTES = 4 << 20
# Nor may it be held by one that sends next to nothing; a modem would be faster.
_SLOWEST_BYTES_PER_SECOND = 1 << 14


class ModelAdminService(pb_grpc.ModelAdminServiceServicer):
    """Takes versions in, lists them, activates one, and tells how the worker does."""

    def __init__(self, serving: Serving, versions: ModelVersions, metrics: Metrics) -> None:
        self._serving = serving
        self._versions = versions
        self._metrics = metrics
        self._started = datetime.now(UTC)
        self._release = version("twinhead")

    async def PushWeights(
        self, request_iterator: AsyncIterator[pb.PushWeightsRequest], context: Context
    ) -> None:
        """Stage a version, and make it live when the caller says so."""
        with self._serving.until_draining() as first:
            await self._push(_Requests(request_iterator, first), context)

    async def ListVersions(
        self,
        request: pb.ListVersionsRequest,  # noqa: ARG002 (it is empty)
        context: Context,  # noqa: ARG002
    ) -> pb.ListVersionsResponse:
        """Return the versions that are kept."""
        live = self._serving.model()
        known = await self._versions.list()
        return pb.ListVersionsResponse(
            versions=[
                pb.VersionInfo(
                    model_version=each.version,
                    state=_STATES[each.state],
                    received=_timestamp(each.received),
                    tasks=each.tasks,
                    bytes=each.bytes,
                    provenance_json=json.dumps(each.provenance, ensure_ascii=False),
                )
                for each in known
            ],
            lasting=self._versions.lasting,
            started=_timestamp(self._started.timestamp()),
            worker_release=self._release,
            engine=_engine(live),
        )

    async def GetStatus(
        self,
        request: pb.GetStatusRequest,  # noqa: ARG002 (it is empty)
        context: Context,  # noqa: ARG002
    ) -> pb.GetStatusResponse:
        """Return how the worker does."""
        live = self._serving.model()
        totals: Counter[str] = Counter()
        failures: Counter[str] = Counter()
        latencies: dict[str, dict[float, int]] = {}
        for (name, labels), value in self._metrics.samples().items():
            totals[name.removeprefix("twinhead_")] += int(value)
            if name == "twinhead_failures_total":
                failures[labels[1]] += int(value)
            elif name == "twinhead_request_seconds_bucket":
                latencies.setdefault(labels[0], {})[float(labels[1])] = int(value)
        return pb.GetStatusResponse(
            model_version=live.version,
            ready=bool(totals["ready"]),
            started=_timestamp(self._started.timestamp()),
            worker_release=self._release,
            engine=_engine(live),
            resident_bytes=totals["process_resident_memory_bytes"],
            calls=totals["calls"],
            queue_tokens=totals["queue_tokens"],
            queue_limit_tokens=totals["queue_limit_tokens"],
            sentences=totals["sentences_total"],
            tokens=totals["tokens_total"],
            padded_tokens=totals["padded_tokens_total"],
            passes=totals["pass_seconds_count"],
            swaps=totals["swaps_total"],
            failures=failures,
            latencies={name: _latencies(buckets) for name, buckets in latencies.items()},
        )

    async def ActivateVersion(
        self,
        request: pb.ActivateVersionRequest,
        context: Context,  # noqa: ARG002
    ) -> pb.ActivateVersionResponse:
        """Make a kept version the live one."""
        live, previous = await self._versions.activate(
            request.model_version, request.expected_live_version
        )
        return pb.ActivateVersionResponse(model_version=live, previous_version=previous)

    async def _push(self, requests: "_Requests", context: Context) -> None:
        offer = await self._offer(await requests.next("offer"))

        async def fetch(digests: Sequence[str]) -> AsyncGenerator[Chunk]:
            await context.write(
                pb.PushWeightsResponse(
                    wanted=pb.BlobsWanted(
                        model_version=offer.files.version,
                        sha256=digests,
                        live_version=self._serving.model().version,
                    )
                )
            )
            started, size = time.monotonic(), 0
            while digests:
                chunk = (await requests.next("chunk")).chunk
                size += len(chunk.data)
                allowed = _IDLE_SECONDS + size / _SLOWEST_BYTES_PER_SECOND
                if time.monotonic() - started > allowed:
                    raise PushAbortedError(idle=True)
                if len(chunk.data) > _CHUNK_BYTES:
                    raise InvalidRequestError(
                        [("chunk.data", f"{len(chunk.data):,} bytes are over {_CHUNK_BYTES:,}")]
                    )
                yield Chunk(chunk.sha256, chunk.data, chunk.last)

        async def received(size: int) -> None:
            await context.write(pb.PushWeightsResponse(received=pb.BlobsReceived(bytes=size)))

        async with self._versions.staging(offer, fetch, received) as staged:
            await context.write(
                pb.PushWeightsResponse(staged=pb.VersionStaged(report=_report(staged.report)))
            )
            await requests.next("go_live")
            await self._versions.go_live(staged)
            await context.write(self._live(staged))

    def _live(self, staged: StagedVersion) -> pb.PushWeightsResponse:
        return pb.PushWeightsResponse(
            live=pb.VersionLive(
                previous_version=staged.live.version, lasting=self._versions.lasting
            )
        )

    async def _offer(self, request: pb.PushWeightsRequest) -> Offer:
        offer, limits = request.offer, request.offer.drift_limits
        drift = DriftLimits(
            min_cosine=limits.min_cosine if limits.HasField("min_cosine") else None,
            min_agreement=limits.min_agreement if limits.HasField("min_agreement") else None,
            sentences=tuple(limits.sentences),
        )
        violations = list(_drift_violations(drift))
        if violations:
            raise InvalidRequestError(violations)
        return Offer(
            files=await self._versions.read_files(offer.files),
            expected_live_version=offer.expected_live_version,
            allow_new_tasks=offer.allow_new_tasks,
            drift_limits=drift,
        )


class _Requests:
    """The caller's side of a push, one step after the other."""

    def __init__(
        self, requests: AsyncIterator[pb.PushWeightsRequest], first: BeforeDraining
    ) -> None:
        self._requests = requests
        self._first = first

    async def next(self, wanted: str) -> pb.PushWeightsRequest:
        """The next request, which must be of a kind.

        Raises:
            InvalidRequestError: it is another, or the stream ends.
            PushAbortedError: none comes.
            NotServingError: the worker drains.
        """
        try:
            request = await self._first(anext(self._requests, None), _IDLE_SECONDS)
        except TimeoutError as error:
            raise PushAbortedError(idle=True) from error
        step = request.WhichOneof("step") if request is not None else None
        if request is None or step != wanted:
            came = "the stream ends" if request is None else f"{step or 'nothing'} came"
            raise InvalidRequestError([(wanted, f"it was to come now, but {came}")])
        return request


_STATES = {
    "live": pb.VERSION_STATE_LIVE,
    "previous": pb.VERSION_STATE_PREVIOUS,
    "kept": pb.VERSION_STATE_KEPT,
}


def _drift_violations(limits: DriftLimits) -> Iterator[tuple[str, str]]:
    for name, value, lowest in (
        ("min_cosine", limits.min_cosine, -1.0),
        ("min_agreement", limits.min_agreement, 0.0),
    ):
        if value is not None and not lowest <= value <= 1:
            yield f"offer.drift_limits.{name}", f"{value} is not between {lowest:g} and 1"
    if len(limits.sentences) > MAX_PROBES:
        yield "offer.drift_limits.sentences", f"more than {MAX_PROBES}"
    elif not all(sentence.strip() and len(sentence) <= 10_000 for sentence in limits.sentences):
        yield "offer.drift_limits.sentences", "one is empty, or longer than 10,000 characters"


def _report(report: GateReport) -> pb.GateReport:
    return pb.GateReport(
        probes=report.probes,
        deviation=report.deviation,
        min_cosine=report.min_cosine,
        agreement=report.agreement,
    )


def _engine(model: LiveModel) -> str:
    return f"{model.engine.name} {model.engine.precision} {model.engine.device}"


def _latencies(cumulative: Mapping[float, int]) -> pb.Latencies:
    """Counts of each bucket, of those up to each bound."""
    up_to = [count for _, count in sorted(cumulative.items())]
    return pb.Latencies(
        at_most_seconds=SECONDS,
        batches=[count - before for count, before in zip(up_to, [0, *up_to], strict=False)],
    )


def _timestamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(int(seconds * 1000))
    return stamp
