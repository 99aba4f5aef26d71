"""Every row of the table of errors, as a caller of a real worker sees it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest
from conftest import DebugWorker, wait_until
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_status import rpc_status
from small_bert import small_checkpoint, write_small_bert
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.version_parts import VersionParts
from twinhead.protocols import open_inference_service_pb2 as oip
from twinhead.protocols.open_inference_service_pb2_grpc import GRPCInferenceServiceStub
from twinhead.server import errors, model_versions
from twinhead.server.load_model import load_model
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import model_admin_service_pb2 as admin_pb
from twinhead.v1 import model_service_pb2 as model_pb
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub
from twinhead.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub
from twinhead.v1.model_service_pb2_grpc import ModelServiceStub

TOKEN, READER = "the-token-of-this-test", "a-token-that-may-read"
ROWS: set[str] = set()


def row(*reasons: str) -> Callable:
    """Says which rows of the table a test walks."""
    ROWS.update(reasons)
    return lambda test: test


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("small")
    write_small_bert(folder / "encoder")
    small_checkpoint(folder / "encoder").save(folder / "saved")
    return Checkpoint.load(folder / "saved")


def changed(base: Checkpoint, factor: float) -> Checkpoint:
    name = "heads.topic.output.weight"
    network = base.network
    tensors = {name: network.state_dict()[name] * factor}
    return Checkpoint.create(network.with_tensors(base.config, tensors), base.tokenizer)


class Caller:
    """Stubs of a worker's services."""

    def __init__(self, worker: DebugWorker, channels: list[grpc.Channel], token: str) -> None:
        self.worker = worker
        self.inference = InferenceServiceStub(channels[0])
        self.models = ModelServiceStub(channels[0])
        self.admin = ModelAdminServiceStub(channels[1])
        self.healths = [HealthStub(channel) for channel in channels]
        self.metadata = [("authorization", f"Bearer {token}")] if token else []

    def infer(self, request: pb.InferRequest | None = None, **options: object) -> pb.InferResponse:
        return self.inference.Infer(
            request or pb.InferRequest(sentences=["w1"]),
            **{"metadata": self.metadata, "timeout": 20, **options},
        )


@contextmanager
def calling(worker: DebugWorker, token: str = "") -> Iterator[Caller]:
    with (
        grpc.insecure_channel(worker.target) as inference,
        grpc.insecure_channel(worker.admin_target) as admin,
    ):
        yield Caller(worker, [inference, admin], token)


def refused(
    call: Callable[[], object], code: grpc.StatusCode, reason: str, *details: type[Message]
) -> list[Message]:
    """A call fails so, with one `ErrorInfo` and details of these kinds, which are returned."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error = caught.value
    assert error.code() is code, error
    status = rpc_status.from_call(error)
    assert status.message == error.details()
    return told(status, reason, *details)


def told(status: Status, reason: str, *details: type[Message]) -> list[Message]:
    found = []
    for kind, packed in zip((ErrorInfo, *details), status.details, strict=True):
        found.append(kind())
        assert packed.Unpack(found[-1]), f"{packed.type_url} is not {kind}"
    assert found[0].reason == reason
    assert found[0].domain == "twinhead"
    return found


@row("INVALID_REQUEST")
def test_invalid_argument_names_every_violated_field(debug_worker):
    with calling(debug_worker) as caller:
        request = pb.InferRequest(sentences=[], truncation=99)
        request.outputs.tasks.append("no such task")
        request.outputs.embedding.dimensions = 5000
        _, bad = refused(
            lambda: caller.infer(request),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_REQUEST",
            BadRequest,
        )
        assert {violation.field for violation in bad.field_violations} == {
            "sentences",
            "truncation",
            "outputs.tasks[0]",
            "outputs.embedding.dimensions",
        }
    assert debug_worker.engine.passes == []  # checked before encoding


@row("QUEUE_FULL")
def test_a_full_queue_says_when_to_come_back(start_debug_worker):
    worker = start_debug_worker(queue_tokens=20)
    worker.engine.seconds_per_pass = 0.2
    with calling(worker) as caller:
        request = pb.InferRequest(sentences=["w1 w2"] * 200)
        waiting = [caller.inference.Infer.future(request, timeout=60) for _ in range(2)]
        wait_until(lambda: worker.worker._queue.tokens > 20)
        _, retry = refused(
            lambda: caller.infer(), grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", RetryInfo
        )
        assert 0 < retry.retry_delay.ToTimedelta().total_seconds() <= 5
        for call in waiting:
            call.cancel()


@row("DRAINING")
def test_a_draining_worker_is_unavailable(start_debug_worker):
    worker = start_debug_worker()
    worker.engine.seconds_per_pass = 0.1
    with calling(worker) as caller:
        slow = caller.inference.Infer.future(pb.InferRequest(sentences=["w1"] * 900))
        wait_until(lambda: worker.engine.passes)
        drained = threading.Thread(target=worker.drain)
        drained.start()
        wait_until(lambda: worker.worker._serving.draining.is_set())
        for call in (
            caller.infer,
            lambda: caller.models.GetModel(model_pb.GetModelRequest()),
            lambda: next(
                caller.inference.StreamInfer(
                    iter([pb.StreamInferRequest(request=pb.InferRequest(sentences=["w1"]))])
                )
            ),
        ):
            refused(call, grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert len(slow.result().statuses) == 900
        drained.join()


@row("VERSION_NOT_LIVE")
def test_a_version_that_is_not_live(debug_worker):
    with calling(debug_worker) as caller:
        (info,) = refused(
            lambda: caller.infer(pb.InferRequest(sentences=["w1"], model_version="other")),
            grpc.StatusCode.FAILED_PRECONDITION,
            "VERSION_NOT_LIVE",
        )
        assert info.metadata["live_version"] == "debug0"


@row("UNKNOWN_VERSION")
def test_a_version_that_nobody_knows(debug_worker):
    with calling(debug_worker) as caller:
        refused(
            lambda: caller.admin.ActivateVersion(
                admin_pb.ActivateVersionRequest(model_version="no-such-version")
            ),
            grpc.StatusCode.NOT_FOUND,
            "UNKNOWN_VERSION",
        )


@row("UNKNOWN_MODEL")
def test_a_model_that_nobody_knows(debug_worker):
    with grpc.insecure_channel(debug_worker.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        refused(
            lambda: stub.ModelMetadata(oip.ModelMetadataRequest(name="no-such-model")),
            grpc.StatusCode.NOT_FOUND,
            "UNKNOWN_MODEL",
        )


@row("UNKNOWN_SERVICE")
def test_the_health_of_a_service_that_is_not_there(debug_worker):
    with calling(debug_worker) as caller:
        for health in caller.healths:
            request = health_pb2.HealthCheckRequest(service="no.such.Service")
            refused(
                lambda health=health, request=request: health.Check(request, timeout=10),
                grpc.StatusCode.NOT_FOUND,
                "UNKNOWN_SERVICE",
            )


@row("NO_CREDENTIALS", "SCOPE_MISSING")
def test_credentials(start_debug_worker, tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN} infer,read,admin\n{READER} read\n")
    worker = start_debug_worker(token_file=str(file))
    for token in ("", "not-the-right-token"):
        with calling(worker, token) as caller:
            refused(caller.infer, grpc.StatusCode.UNAUTHENTICATED, "NO_CREDENTIALS")
    with calling(worker, READER) as caller:
        (info,) = refused(caller.infer, grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")
        assert info.metadata["scopes"] == "infer"
        caller.models.GetModel(model_pb.GetModelRequest(), metadata=caller.metadata)
    with calling(worker, TOKEN) as caller:
        caller.infer()


@row("INTERNAL_ERROR")
def test_a_defect_tells_a_reference_and_nothing_else(debug_worker, caplog):
    debug_worker.engine.fail_on = "w13"
    with calling(debug_worker) as caller:
        (info,) = refused(
            lambda: caller.infer(pb.InferRequest(sentences=["w13"])),
            grpc.StatusCode.INTERNAL,
            "INTERNAL_ERROR",
        )
        answer = next(
            caller.inference.StreamInfer(
                iter([pb.StreamInferRequest(request=pb.InferRequest(sentences=["w13"]))])
            )
        )
    in_band = told(answer.error, "INTERNAL_ERROR")[0]
    for each in (info, in_band):
        reference = each.metadata["reference"]
        assert f"reference {reference}" in caplog.text
    # The log has what callers do not get.
    assert "secret internal text" in caplog.text
    assert "secret" not in str(answer.error)


def pushing(caller: Caller, checkpoint: Checkpoint, damage: bool = False, **conditions: object):
    """Push, step by step, as a caller that may send other bytes than it says."""
    parts = VersionParts.of(checkpoint)
    offer = admin_pb.VersionOffer(files=parts.files.files, **conditions)
    wanted = threading.Event()
    digests: list[str] = []

    def requests():
        yield admin_pb.PushWeightsRequest(offer=offer)
        wanted.wait(30)
        for digest in digests:
            data = bytes(memoryview(parts.read(digest)))
            if damage:
                data = bytes(len(data))
            yield admin_pb.PushWeightsRequest(
                chunk=admin_pb.BlobChunk(sha256=digest, data=data, last=True)
            )
        yield admin_pb.PushWeightsRequest(go_live=admin_pb.GoLive())

    try:
        for answer in caller.admin.PushWeights(requests(), timeout=30):
            if answer.WhichOneof("step") == "wanted":
                digests.extend(answer.wanted.sha256)
                wanted.set()
    finally:
        wanted.set()


@pytest.fixture
def taking(start_debug_worker, base, tmp_path) -> Iterator[Caller]:
    """A caller of a worker that takes pushes."""
    base.save(tmp_path / "served")
    worker = start_debug_worker(
        load=load_model, model=str(tmp_path / "served"), device="cpu", threads=1, engine="torch"
    )
    with calling(worker) as caller:
        yield caller


@row("OTHER_VERSION_LIVE")
def test_a_push_against_another_base(taking, base):
    (info,) = refused(
        lambda: pushing(taking, changed(base, 1.1), expected_live_version="other"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "OTHER_VERSION_LIVE",
    )
    assert info.metadata["live_version"] == base.version


@row("PUSH_REFUSED")
def test_a_push_that_fails_a_check(taking, base):
    (info,) = refused(
        lambda: pushing(
            taking,
            changed(base, -1.0),
            drift_limits=admin_pb.DriftLimits(min_agreement=1.0),
        ),
        grpc.StatusCode.FAILED_PRECONDITION,
        "PUSH_REFUSED",
    )
    assert info.metadata["check"] == "drift"


@row("BLOB_DAMAGED")
def test_a_push_of_other_bytes(taking, base):
    refused(
        lambda: pushing(taking, changed(base, 1.2), damage=True),
        grpc.StatusCode.DATA_LOSS,
        "BLOB_DAMAGED",
    )


@row("PUSH_IN_PROGRESS")
def test_a_push_beside_another(taking, base):
    parts = VersionParts.of(changed(base, 1.3))
    over = threading.Event()

    def requests():
        yield admin_pb.PushWeightsRequest(offer=admin_pb.VersionOffer(files=parts.files.files))
        over.wait(30)

    first = taking.admin.PushWeights(requests())
    assert next(first).WhichOneof("step") == "wanted"
    try:
        refused(
            lambda: pushing(taking, changed(base, 1.4)),
            grpc.StatusCode.ABORTED,
            "PUSH_IN_PROGRESS",
        )
    finally:
        over.set()
        first.cancel()


@row("STORE_FULL")
def test_a_push_that_does_not_fit_on_the_disk(taking, base, monkeypatch):
    monkeypatch.setattr(model_versions, "free_bytes", lambda _: 10)
    refused(
        lambda: pushing(taking, changed(base, 1.5)),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "STORE_FULL",
    )


def test_no_error_is_forgotten():
    def leaves(kind: type) -> Iterator[type]:
        below = kind.__subclasses__()
        yield from [kind] if not below else [leaf for each in below for leaf in leaves(each)]

    reasons = {kind.reason for kind in leaves(errors.ServiceError) if hasattr(kind, "reason")}
    # Two kinds have several; starting is in test_worker.py, an idle push in test_admin_service.py.
    assert reasons | {"DRAINING", "PUSH_IN_PROGRESS"} == ROWS
