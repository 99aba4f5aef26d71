"""The admin service over a real port: what it is sent in the wrong order, too late, or twice."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import swapped
from conftest import wait_until
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status
from test_inference_service import Gate
from twinhead.client import (
    AdminClient,
    Client,
    DriftLimits,
    PushRefusedError,
    UnknownVersionError,
    WorkerUnavailableError,
)
from twinhead.server import admin_service
from twinhead.server.metrics import SECONDS
from twinhead.v1 import model_admin_service_pb2 as pb
from twinhead.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub


@pytest.fixture
def base(tmp_path):
    return swapped.write_model(tmp_path / "model")


@pytest.fixture
def worker(base, tmp_path, start_debug_worker):
    return swapped.start_small(start_debug_worker, tmp_path, state=str(tmp_path / "state"))


@pytest.fixture
def stub(worker):
    with grpc.insecure_channel(worker.admin_target) as channel:
        yield ModelAdminServiceStub(channel)


def refusal(stub, requests) -> tuple[grpc.StatusCode, ErrorInfo, str]:
    """How a push ends that must not go through."""
    answers: list[pb.PushWeightsResponse] = []
    with pytest.raises(grpc.RpcError) as caught:
        answers.extend(stub.PushWeights(iter(requests)))
    assert "live" not in [answer.WhichOneof("step") for answer in answers]
    status = rpc_status.from_call(caught.value)
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "twinhead"
    return caught.value.code(), info, caught.value.details()


def test_a_push_step_by_step(worker, base, stub):
    new = swapped.changed(base, swapped.LAYER)
    digests = swapped.digests_of(base, new)
    answers = list(stub.PushWeights(swapped.requests(swapped.offer_of(new), digests)))
    assert [answer.WhichOneof("step") for answer in answers] == [
        "wanted",
        "received",
        "staged",
        "live",
    ]
    wanted, received, staged, live = answers
    assert wanted.wanted.model_version == new.version
    assert wanted.wanted.live_version == live.live.previous_version == base.version
    assert list(wanted.wanted.sha256) == digests
    sizes = {entry.sha256: entry.size for entry in new.manifest.tensors.values()}
    assert received.received.bytes == sum(sizes[digest] for digest in digests)
    assert staged.staged.report.probes == 16
    assert staged.staged.report.deviation < 1e-4
    assert set(staged.staged.report.agreement) == {"topic", "mood"}
    assert live.live.lasting
    with Client(worker.target) as client:
        assert client.model().version == new.version


def test_a_push_of_what_is_there_asks_for_nothing(base, stub):
    offer = swapped.offer_of(base)
    answers = list(stub.PushWeights(swapped.requests(offer, [])))
    steps = [answer.WhichOneof("step") for answer in answers]
    assert steps == ["wanted", "received", "staged", "live"]
    assert not answers[0].wanted.sha256


@pytest.mark.parametrize(
    ("fault", "field", "text"),
    [
        (lambda steps: steps[1:], "offer", "chunk came"),
        (lambda steps: [pb.PushWeightsRequest(), *steps], "offer", "nothing came"),
        (lambda steps: [], "offer", "the stream ends"),
        (lambda steps: steps[:1], "chunk", "the stream ends"),
        (lambda steps: steps[:2], "chunk", "the stream ends"),
        (lambda steps: steps[:1] + steps[-1:], "chunk", "go_live came"),
        (lambda steps: [steps[0], steps[0]], "chunk", "offer came"),
        (lambda steps: [steps[0], steps[2], steps[1], *steps[3:]], "chunk", "was to come"),
        (lambda steps: steps[:-1], "go_live", "the stream ends"),
        (lambda steps: [*steps[:-1], steps[1]], "go_live", "chunk came"),
        (
            lambda steps: [
                steps[0],
                pb.PushWeightsRequest(chunk=pb.BlobChunk(data=bytes((4 << 20) + 1))),
            ],
            "chunk.data",
            "4,194,305 bytes are over 4,194,304",
        ),
    ],
)
def test_steps_out_of_order_are_named(worker, base, stub, fault, field, text):
    new = swapped.changed(base)
    steps = list(swapped.requests(swapped.offer_of(new), swapped.digests_of(base, new)))
    code, info, message = refusal(stub, fault(steps))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert info.reason == "INVALID_REQUEST"
    assert message.startswith(f"{field}: ")
    assert text in message
    # Nothing of it is left, and the next one is taken.
    assert list(Path(worker.settings.state, "staging").iterdir()) == []
    assert len(list(stub.PushWeights(iter(steps)))) == 4


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (pb.DriftLimits(min_cosine=1.5), "min_cosine"),
        (pb.DriftLimits(min_cosine=float("nan")), "min_cosine"),
        (pb.DriftLimits(min_agreement=-0.1), "min_agreement"),
        (pb.DriftLimits(sentences=[" "]), "sentences"),
        (pb.DriftLimits(sentences=["x" * 10_001]), "sentences"),
        (pb.DriftLimits(sentences=["x"] * 257), "sentences"),
    ],
)
def test_drift_limits_out_of_range_are_named(base, stub, limits, field):
    (offer, *_) = swapped.requests(swapped.offer_of(swapped.changed(base)), [])
    offer.offer.drift_limits.CopyFrom(limits)
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.PushWeights(iter([offer])))
    status, violated = rpc_status.from_call(caught.value), BadRequest()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert status.details[1].Unpack(violated)
    assert [each.field for each in violated.field_violations] == [f"offer.drift_limits.{field}"]


def test_bytes_that_are_no_message_are_told(worker):
    with grpc.insecure_channel(worker.admin_target) as channel:
        push = channel.stream_stream("/twinhead.v1.ModelAdminService/PushWeights")
        with pytest.raises(grpc.RpcError) as caught:
            list(push(iter([b"\xff\xff\xff"])))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_second_push_at_the_same_time_is_aborted(worker, base):
    first = swapped.offer_of(swapped.changed(base, seed=1))
    second = swapped.offer_of(swapped.changed(base, seed=2))
    with AdminClient(worker.admin_target) as admin:
        with admin.push(first) as push:
            push.stage()
            with pytest.raises(PushRefusedError, match="try again when that is done") as caught:
                admin.push(second).stage()
            assert isinstance(caught.value.__cause__, grpc.RpcError)
            assert caught.value.__cause__.code() is grpc.StatusCode.ABORTED
            push.go_live()
        with admin.push(second) as push:
            push.stage()
            push.go_live()
        states = [version.state for version in admin.versions().versions]
    assert states == ["live", "previous", "kept"]


def test_a_push_that_falls_silent_is_ended(worker, base, stub, monkeypatch):
    monkeypatch.setattr(admin_service, "_IDLE_SECONDS", 0.2)
    steps = list(swapped.requests(swapped.offer_of(swapped.changed(base)), []))
    done = threading.Event()

    def silent():
        yield steps[0]
        done.wait(30)

    try:
        code, info, _ = refusal(stub, silent())
    finally:
        done.set()
    assert code is grpc.StatusCode.ABORTED
    assert info.reason == "PUSH_IDLE"
    monkeypatch.undo()
    with AdminClient(worker.admin_target) as admin:
        with admin.push(swapped.offer_of(swapped.changed(base))) as push:
            push.stage()


def test_a_push_that_sends_next_to_nothing_is_ended(worker, base, stub, monkeypatch):
    monkeypatch.setattr(admin_service, "_IDLE_SECONDS", 0.5)
    steps = list(swapped.requests(swapped.offer_of(swapped.changed(base)), []))
    chunk = pb.PushWeightsRequest(
        chunk=pb.BlobChunk(sha256=swapped.digests_of(base, swapped.changed(base))[0], data=b"\0")
    )
    done = threading.Event()

    def trickling():
        yield steps[0]
        while not done.wait(0.1):  # never silent for long
            yield chunk

    try:
        code, info, _ = refusal(stub, trickling())
    finally:
        done.set()
    assert code is grpc.StatusCode.ABORTED
    assert info.reason == "PUSH_IDLE"


def test_a_push_is_ended_when_the_worker_drains(worker, base, stub):
    offer = swapped.offer_of(swapped.changed(base))
    with AdminClient(worker.admin_target) as admin, admin.push(offer) as push:
        push.stage()
        answer = threading.Thread(target=worker.drain)
        answer.start()
        with pytest.raises(WorkerUnavailableError, match="draining"):
            push._next()
        answer.join(30)


def test_another_version_than_expected_is_live(base, stub):
    new = swapped.changed(base)
    (offer, *_) = swapped.requests(swapped.offer_of(new, expected_live_version="0" * 16), [])
    code, info, message = refusal(stub, [offer])
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert info.reason == "OTHER_VERSION_LIVE"
    assert info.metadata["live_version"] == base.version
    assert "0" * 16 in message


def test_a_refusal_names_its_check(base, stub):
    new = swapped.changed(base)
    (offer, *_) = swapped.requests(swapped.offer_of(new), [])
    offer.offer.drift_limits.min_agreement = 1.0
    offer.offer.drift_limits.min_cosine = 1.0
    offer.offer.drift_limits.sentences.append("the fox")
    manifest = offer.offer.files["manifest.json"].replace(b"float32", b"float16", 1)
    offer.offer.files["manifest.json"] = manifest
    code, info, message = refusal(stub, [offer])
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert info.reason == "PUSH_REFUSED"
    assert info.metadata["check"] == "architecture"
    assert "float16" in message


def test_the_list_and_what_can_be_activated(worker, base):
    with AdminClient(worker.admin_target) as admin:
        found = admin.versions()
        assert [(each.version, each.state) for each in found.versions] == [(base.version, "live")]
        assert found.lasting
        assert found.engine == "openvino float32 cpu"
        assert found.versions[0].tasks == ("topic", "mood")
        assert found.versions[0].provenance == dict(base.provenance)
        with pytest.raises(UnknownVersionError, match="no version was live before"):
            admin.activate()
        with pytest.raises(UnknownVersionError, match=r"'\.\./\.\./etc' is not kept"):
            admin.activate("../../etc")
        with pytest.raises(UnknownVersionError, match="is not kept"):
            admin.activate("f" * 16)
        assert admin.activate(base.version) == (base.version, base.version)


def test_the_status_is_of_the_moment_it_is_asked_for(start_debug_worker):
    worker = start_debug_worker(stall_seconds=3600, queue_tokens=100)
    gate = Gate(worker.engine)
    with (
        grpc.insecure_channel(worker.admin_target) as channel,
        Client(worker.target) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        stub = ModelAdminServiceStub(channel)
        calls = [pool.submit(client.infer, ["w1"])]
        gate.entered.wait(30)
        calls.append(pool.submit(client.infer, ["w1 w2"]))
        wait_until(lambda: worker.worker._queue.tokens == 4)
        during = stub.GetStatus(pb.GetStatusRequest())
        gate.open.set()
        for call in calls:
            call.result(30)
        wait_until(lambda: stub.GetStatus(pb.GetStatusRequest()).calls == 0)
        after = stub.GetStatus(pb.GetStatusRequest())
    assert (during.model_version, during.ready) == ("debug0", True)
    assert (during.calls, during.queue_tokens, during.queue_limit_tokens) == (2, 4, 100)
    assert (during.sentences, during.tokens, during.passes) == (0, 0, 0)
    assert (after.queue_tokens, after.sentences, after.tokens, after.passes) == (0, 2, 7, 2)
    assert during.started == after.started


def test_times_are_counted_in_buckets_one_by_one(start_debug_worker):
    worker = start_debug_worker(stall_seconds=3600)
    with (
        grpc.insecure_channel(worker.admin_target) as channel,
        Client(worker.target) as client,
    ):
        for _ in range(3):
            client.infer(["w1"])
        worker.engine.seconds_per_pass = 0.3
        client.infer(["w1"])
        latencies = ModelAdminServiceStub(channel).GetStatus(pb.GetStatusRequest()).latencies
    assert list(latencies) == ["interactive"]
    found = latencies["interactive"]
    assert list(found.at_most_seconds) == list(SECONDS)
    assert len(found.batches) == len(SECONDS) + 1
    assert sum(found.batches) == 4
    # The last took 0.3 s at least, and is in a bucket beyond that alone.
    beyond = sum(found.batches[SECONDS.index(0.25) + 1 :])
    assert 1 <= beyond <= 4
    assert found.batches[-1] == 0


def test_the_status_says_when_the_model_does_not_answer(start_debug_worker):
    worker = start_debug_worker(stall_seconds=1)
    gate = Gate(worker.engine)
    with grpc.insecure_channel(worker.admin_target) as channel:
        stub = ModelAdminServiceStub(channel)
        assert stub.GetStatus(pb.GetStatusRequest()).ready
        wait_until(lambda: not stub.GetStatus(pb.GetStatusRequest()).ready)
        gate.open.set()
        wait_until(lambda: stub.GetStatus(pb.GetStatusRequest()).ready)


def test_drift_limits_reach_the_gate(worker, base):
    new = swapped.changed(base, swapped.EVERYTHING)
    with AdminClient(worker.admin_target) as admin:
        strict = swapped.offer_of(new, drift_limits=DriftLimits(min_cosine=0.999999))
        with pytest.raises(PushRefusedError, match="cosine") as caught:
            admin.push(strict).stage()
        assert caught.value.check == "drift"
        with admin.push(swapped.offer_of(new)) as push:
            assert push.stage().min_cosine < 0.999999
