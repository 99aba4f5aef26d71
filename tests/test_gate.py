"""Every call goes through the gate: who comes in, with what, under which id, and how it ends."""

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from conftest import DebugWorker, wait_until
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_status import rpc_status
from test_health import DeafCaller
from twinhead.client import Client
from twinhead.server.admin_service import ModelAdminService
from twinhead.server.inference_service import InferenceService
from twinhead.server.model_service import ModelService
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import model_admin_service_pb2 as admin_pb
from twinhead.v1 import model_service_pb2
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub
from twinhead.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub
from twinhead.v1.model_service_pb2_grpc import ModelServiceStub

NOT_UTF8 = b"\x0a\x02\xff\xfe"  # sentences: two bytes that are no UTF-8
NOT_PROTOBUF = b"\xff\xff\xff\xff"
INFER = "/twinhead.v1.InferenceService/Infer"
STREAM_INFER = "/twinhead.v1.InferenceService/StreamInfer"
GET_MODEL = "/twinhead.v1.ModelService/GetModel"
LIST_VERSIONS = "/twinhead.v1.ModelAdminService/ListVersions"

READER = "token-that-may-read"
CALLER = "token-that-may-infer"
OWNER = "token-that-may-do-everything"
SECRET = "secret internal text"

REQUEST = pb.InferRequest(sentences=["w1"])
BATCH = pb.StreamInferRequest(batch_id="a", request=REQUEST)


@pytest.fixture
def token_file(tmp_path) -> str:
    file = tmp_path / "tokens"
    file.write_text(f"{READER} read\n{CALLER} infer\n{OWNER} infer,read,admin\n")
    return str(file)


@pytest.fixture
def channel(debug_worker) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(debug_worker.target) as channel:
        yield channel


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


def error_of(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def info_of(error: grpc.RpcError) -> ErrorInfo:
    info = ErrorInfo()
    assert rpc_status.from_call(error).details[0].Unpack(info)
    assert info.domain == "twinhead"
    return info


def id_of(call: object) -> str | None:
    """The request id that came back with a call, or its error."""
    return dict(call.trailing_metadata()).get("x-request-id")


def nobody_calls(worker: DebugWorker) -> bool:
    gate = worker.worker._gate
    return not any(limit.count for limit in (gate.inference, *gate._others.values()))


class Held:
    """Holds the engine in its passes until it is let go."""

    def __init__(self, worker: DebugWorker) -> None:
        self.entered, self._let_go = threading.Event(), threading.Event()
        self._encode, worker.engine.encode = worker.engine.encode, self._wait

    def let_go(self) -> None:
        self._let_go.set()

    def _wait(self, *arguments, **options):
        self.entered.set()
        assert self._let_go.wait(60)
        return self._encode(*arguments, **options)


@pytest.fixture
def held(debug_worker) -> Iterator[Held]:
    held = Held(debug_worker)
    yield held
    held.let_go()


# --- messages that are none


def assert_invalid(error: grpc.RpcError) -> None:
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info_of(error).reason == "INVALID_REQUEST"


@pytest.mark.parametrize("method", ["InferenceService/Infer", "ModelService/GetModel"])
@pytest.mark.parametrize("data", [NOT_UTF8, NOT_PROTOBUF])
def test_unary(channel, method, data):
    if method == "ModelService/GetModel" and data == NOT_UTF8:
        data = NOT_PROTOBUF  # it has no text field; unknown fields are no fault
    assert_invalid(
        error_of(lambda: channel.unary_unary(f"/twinhead.v1.{method}")(data, timeout=10))
    )


@pytest.mark.parametrize("data", [b"\x12\x04" + NOT_UTF8, NOT_PROTOBUF])
def test_stream(debug_worker, channel, data):
    call = channel.stream_stream(STREAM_INFER)
    answers = []
    with pytest.raises(grpc.RpcError) as caught:
        answers.extend(call(iter([BATCH.SerializeToString(), data]), timeout=10))
    assert_invalid(caught.value)
    assert len(answers) == 1  # what came before is answered
    with Client(debug_worker.target) as client:
        assert len(client.infer(["w1"])) == 1


@pytest.mark.parametrize("method", ["Check", "Watch"])
@pytest.mark.parametrize("data", [NOT_UTF8, NOT_PROTOBUF], ids=["not UTF-8", "not protobuf"])
def test_health_is_no_way_to_fill_the_log(channel, caplog, data, method):
    # It needs no token.
    call = channel.unary_stream(f"/grpc.health.v1.Health/{method}")
    assert_invalid(error_of(lambda: list(call(data, timeout=10))))
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_unknown_method_is_unimplemented(channel):
    error = error_of(
        lambda: channel.unary_unary("/twinhead.v1.InferenceService/Nothing")(b"", timeout=10)
    )
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_that_is_too_large_is_the_callers_fault(start_debug_worker):
    worker = start_debug_worker(request_bytes=2048)
    large = pb.InferRequest(sentences=["w1 " * 1000])
    with grpc.insecure_channel(worker.target) as channel:
        stub = InferenceServiceStub(channel)
        for call in (
            lambda: stub.Infer(large, timeout=10),
            lambda: list(
                stub.StreamInfer(iter([pb.StreamInferRequest(request=large)]), timeout=10)
            ),
        ):
            error = error_of(call)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "larger than max" in error.details()
            wait_until(lambda: nobody_calls(worker))


# --- whatever a service raises


def assert_internal(error: grpc.RpcError, caplog) -> str:
    """It says nothing but a reference, under which the log has the cause; returns it."""
    assert error.code() is grpc.StatusCode.INTERNAL
    info = info_of(error)
    assert info.reason == "INTERNAL_ERROR"
    reference = info.metadata["reference"]
    assert re.fullmatch("[0-9a-f]{12}", reference)
    assert error.details() == f"internal error, reference {reference}"
    assert SECRET not in str(error.trailing_metadata())
    (record,) = [each for each in caplog.records if each.args == (reference,)]
    assert record.levelno == logging.ERROR
    assert SECRET in str(record.exc_info[1])
    return reference


def test_what_the_engine_raises(debug_worker, channel, caplog):
    debug_worker.engine.fail_on = "w13"
    bad = pb.InferRequest(sentences=["w13"])
    stub = InferenceServiceStub(channel)
    first, second = (error_of(lambda: stub.Infer(bad, timeout=10)) for _ in range(2))
    assert assert_internal(first, caplog) != assert_internal(second, caplog)
    assert stub.Infer(REQUEST, timeout=10).model_version == "debug0"


def test_what_the_engine_raises_on_a_stream_is_told_in_band(debug_worker, channel, caplog):
    debug_worker.engine.fail_on = "w13"

    def requests():
        for name in ("bad", "good"):
            word = "w13" if name == "bad" else "w1"
            yield pb.StreamInferRequest(batch_id=name, request=pb.InferRequest(sentences=[word]))
            answered[name].wait(30)  # one after the other: each has a pass of its own

    answered = {name: threading.Event() for name in ("bad", "good")}
    answers = {}
    for answer in InferenceServiceStub(channel).StreamInfer(requests(), timeout=60):
        answers[answer.batch_id] = answer
        answered[answer.batch_id].set()
    status = answers["bad"].error
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert SECRET not in str(status)
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.metadata["reference"] in caplog.text
    assert answers["good"].response.model_version == "debug0"


def get_model(channel: grpc.Channel) -> object:
    return ModelServiceStub(channel).GetModel(model_service_pb2.GetModelRequest(), timeout=10)


def watch_model(channel: grpc.Channel) -> object:
    request = model_service_pb2.WatchModelRequest()
    return list(ModelServiceStub(channel).WatchModel(request, timeout=10))


def infer(channel: grpc.Channel) -> object:
    return InferenceServiceStub(channel).Infer(REQUEST, timeout=10)


def stream_infer(channel: grpc.Channel) -> object:
    return list(InferenceServiceStub(channel).StreamInfer(iter([BATCH]), timeout=10))


def list_versions(channel: grpc.Channel) -> object:
    return ModelAdminServiceStub(channel).ListVersions(admin_pb.ListVersionsRequest(), timeout=10)


def push_weights(channel: grpc.Channel) -> object:
    return list(ModelAdminServiceStub(channel).PushWeights(iter([]), timeout=10))


KINDS = [
    (InferenceService, infer),
    (InferenceService, stream_infer),
    (ModelService, get_model),
    (ModelService, watch_model),
    (ModelAdminService, list_versions),
    (ModelAdminService, push_weights),
]


def break_method(monkeypatch, service: type, name: str, make: Callable[[], BaseException]) -> None:
    async def broken(self, request, context):
        raise make()

    assert hasattr(service, name)
    monkeypatch.setattr(service, name, broken)


def noted(worker: DebugWorker) -> dict[tuple[str, ...], float]:
    """Calls that have ended, by method and status."""
    samples = worker.worker.metrics.samples()
    return {key: n for (name, key), n in samples.items() if name == "twinhead_requests_total"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: ValueError(SECRET),
        lambda: KeyError(SECRET),
        lambda: TimeoutError(SECRET),
        lambda: StopAsyncIteration(SECRET),
        lambda: ExceptionGroup(SECRET, [ValueError("a")]),
        lambda: grpc.RpcError(SECRET),
        lambda: grpc.aio.UsageError(SECRET),
    ],
    ids=lambda make: type(make()).__name__,
)
@pytest.mark.parametrize(("service", "call"), KINDS, ids=lambda each: each.__name__)
def test_what_a_service_raises(start_debug_worker, monkeypatch, caplog, service, call, make):
    name = "".join(part.capitalize() for part in call.__name__.split("_"))
    break_method(monkeypatch, service, name, make)
    worker = start_debug_worker()
    target = worker.admin_target if service is ModelAdminService else worker.target
    with grpc.insecure_channel(target) as channel:
        assert_internal(error_of(lambda: call(channel)), caplog)
    wait_until(lambda: noted(worker) == {(name, "INTERNAL"): 1})
    failures = worker.worker.metrics.samples()["twinhead_failures_total", (name, "INTERNAL_ERROR")]
    assert failures == 1


@pytest.mark.parametrize("call", [get_model, watch_model])
def test_a_service_that_cancels_its_own_work_is_no_caller_who_left(
    start_debug_worker, monkeypatch, caplog, call
):
    # The caller is still there, and would wait for as long as it may.
    name = "GetModel" if call is get_model else "WatchModel"
    break_method(monkeypatch, ModelService, name, lambda: asyncio.CancelledError(SECRET))
    with grpc.insecure_channel(start_debug_worker().target) as channel:
        assert_internal(error_of(lambda: call(channel)), caplog)


def test_what_a_service_raises_after_its_first_answer(start_debug_worker, monkeypatch, caplog):
    async def broken(self, request, context):
        await context.write(model_service_pb2.WatchModelResponse(previous_version="b"))
        raise ValueError(SECRET)

    monkeypatch.setattr(ModelService, "WatchModel", broken)
    with grpc.insecure_channel(start_debug_worker().target) as channel:
        request = model_service_pb2.WatchModelRequest()
        call = ModelServiceStub(channel).WatchModel(request, timeout=10)
        assert next(call).previous_version == "b"
        assert_internal(error_of(lambda: next(call)), caplog)


@pytest.mark.parametrize(
    ("method", "request_bytes"),
    [
        pytest.param("ModelService/WatchModel", b"", id="WatchModel"),
        pytest.param("InferenceService/StreamInfer", BATCH.SerializeToString(), id="StreamInfer"),
    ],
)
def test_a_caller_who_leaves_in_the_middle_of_an_answer_is_no_defect(
    debug_worker, caplog, method, request_bytes
):
    DeafCaller(debug_worker, f"/twinhead.v1.{method}", request_bytes).close()
    name = method.rpartition("/")[2]
    wait_until(lambda: noted(debug_worker) == {(name, "CANCELLED"): 1})
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    samples = debug_worker.worker.metrics.samples()
    assert ("twinhead_failures_total", (name, "INTERNAL_ERROR")) not in samples


# --- who comes in


def test_a_scope_opens_its_methods_at_both_addresses(start_debug_worker, token_file):
    worker = start_debug_worker(token_file=token_file)
    calls = {
        "infer": (worker.target, INFER, REQUEST),
        "model": (worker.target, GET_MODEL, model_service_pb2.GetModelRequest()),
        "versions": (worker.admin_target, LIST_VERSIONS, admin_pb.ListVersionsRequest()),
    }

    def codes(token: str) -> dict[str, str]:
        told = {}
        for name, (target, method, request) in calls.items():
            with grpc.insecure_channel(target) as channel:
                call = channel.unary_unary(method).future(
                    request.SerializeToString(), metadata=bearer(token), timeout=10
                )
                told[name] = call.code().name
        return told

    ok, denied = "OK", "PERMISSION_DENIED"
    assert codes(CALLER) == {"infer": ok, "model": ok, "versions": denied}
    assert codes(READER) == {"infer": denied, "model": ok, "versions": ok}
    assert codes(OWNER) == {"infer": ok, "model": ok, "versions": ok}
    assert set(codes(f"{OWNER}x").values()) == {"UNAUTHENTICATED"}


@pytest.mark.parametrize("call", ["Infer", "StreamInfer"])
def test_a_token_that_may_only_read_has_nothing_answered(start_debug_worker, token_file, call):
    worker = start_debug_worker(token_file=token_file)
    with grpc.insecure_channel(worker.target) as channel:
        stub = InferenceServiceStub(channel)
        how = {"metadata": bearer(READER), "timeout": 10}
        if call == "Infer":
            error = error_of(lambda: stub.Infer(REQUEST, **how))
        else:
            error = error_of(lambda: list(stub.StreamInfer(iter([BATCH]), **how)))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    info = info_of(error)
    assert info.reason == "SCOPE_MISSING"
    assert info.metadata["scopes"] == "infer"
    assert error.details() == "the token does not allow this; the scope infer is needed"
    assert worker.engine.passes == []


def test_those_without_a_token_have_the_scopes_of_anonymous_callers(start_debug_worker, token_file):
    worker = start_debug_worker(token_file=token_file, anonymous="read")
    with grpc.insecure_channel(worker.target) as channel:
        assert get_model(channel).model_version == "debug0"
        error = error_of(lambda: infer(channel))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert info_of(error).reason == "NO_CREDENTIALS"


def test_a_token_that_is_taken_away_opens_nothing_more(
    start_debug_worker, token_file, tmp_path, monkeypatch
):
    monkeypatch.setattr("twinhead.server.access._LOOK_SECONDS", 0)
    worker = start_debug_worker(token_file=token_file)
    with grpc.insecure_channel(worker.target) as channel:
        stub = InferenceServiceStub(channel)
        how = {"metadata": bearer(CALLER), "timeout": 10}
        assert stub.Infer(REQUEST, **how).model_version == "debug0"
        (tmp_path / "new").write_text(f"{OWNER} infer,read,admin\n")
        (tmp_path / "new").replace(tmp_path / "tokens")
        error = error_of(lambda: stub.Infer(REQUEST, **how))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", [INFER, STREAM_INFER])
def test_a_large_request_without_a_token_is_not_read(start_debug_worker, token_file, method):
    # Else it would be told that the message is too large.
    worker = start_debug_worker(token_file=token_file, request_bytes=1 << 20)
    with grpc.insecure_channel(worker.target) as channel:
        call = channel.stream_stream(method)
        large = bytes(12_000_000)
        error = error_of(lambda: list(call(iter([large]), timeout=30)))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        error = error_of(lambda: list(call(iter([large]), metadata=bearer(READER), timeout=30)))
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        error = error_of(lambda: list(call(iter([large]), metadata=bearer(OWNER), timeout=30)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in error.details()


@pytest.mark.parametrize("method", [INFER, STREAM_INFER])
def test_those_who_may_not_come_in_are_told_before_they_have_said_anything(
    start_debug_worker, token_file, method
):
    worker = start_debug_worker(token_file=token_file)
    over = threading.Event()

    def nothing():
        over.wait(60)
        yield from ()

    with grpc.insecure_channel(worker.target) as channel:
        try:
            for metadata, code in (
                ([], grpc.StatusCode.UNAUTHENTICATED),
                (bearer(READER), grpc.StatusCode.PERMISSION_DENIED),
            ):
                call = channel.stream_stream(method)(nothing(), metadata=metadata, timeout=30)
                assert error_of(lambda call=call: list(call)).code() is code
        finally:
            over.set()


# --- how many come in


def test_more_calls_than_may_be_are_told_at_once(start_debug_worker):
    worker = start_debug_worker(concurrent_calls=3)
    held, over = Held(worker), threading.Event()

    def open_stream():
        over.wait(60)
        yield from ()

    with grpc.insecure_channel(worker.target) as channel, ThreadPoolExecutor(2) as pool:
        stub = InferenceServiceStub(channel)
        try:
            running = [pool.submit(stub.Infer, REQUEST) for _ in range(2)]
            stream = stub.StreamInfer(open_stream())
            wait_until(lambda: worker.worker._gate.inference.count == 3)
            for call in (infer, stream_infer):
                error = error_of(lambda call=call: call(channel))
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert info_of(error).reason == "QUEUE_FULL"
                retry = RetryInfo()
                assert rpc_status.from_call(error).details[1].Unpack(retry)
                assert retry.retry_delay.ToMilliseconds() == 1000
                assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
            # Those who ask about the worker, and probes, have room of their own.
            assert get_model(channel).model_version == "debug0"
            serving = health_pb2.HealthCheckResponse.SERVING
            request = health_pb2.HealthCheckRequest()
            assert HealthStub(channel).Check(request, timeout=10).status == serving
            assert list_versions_at(worker).versions
        finally:
            over.set()
            held.let_go()
        assert list(stream) == []
        assert [call.result(30).model_version for call in running] == ["debug0"] * 2
        wait_until(lambda: nobody_calls(worker))
        assert infer(channel).model_version == "debug0"


def list_versions_at(worker: DebugWorker) -> admin_pb.ListVersionsResponse:
    with grpc.insecure_channel(worker.admin_target) as channel:
        return list_versions(channel)


def test_those_who_watch_leave_calls_their_room(start_debug_worker):
    worker = start_debug_worker(concurrent_calls=2)
    with grpc.insecure_channel(worker.target) as channel:
        request = health_pb2.HealthCheckRequest()
        healths = [HealthStub(channel).Watch(request, timeout=60) for _ in range(2)]
        assert len([next(each) for each in healths]) == 2
        models = [
            ModelServiceStub(channel).WatchModel(model_service_pb2.WatchModelRequest())
            for _ in range(2)
        ]
        assert [next(each).model.model_version for each in models] == ["debug0"] * 2
        for call in (watch_model, lambda channel: next(HealthStub(channel).Watch(request))):
            error = error_of(lambda call=call: call(channel))
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert info_of(error).reason == "QUEUE_FULL"
        assert get_model(channel).model_version == "debug0"
        assert infer(channel).model_version == "debug0"
        for each in (*healths, *models):
            each.cancel()
        wait_until(lambda: nobody_calls(worker))
        again = HealthStub(channel).Watch(request, timeout=60)
        assert next(again).status == health_pb2.HealthCheckResponse.SERVING
        again.cancel()


def test_those_who_watch_leave_probes_their_room(start_debug_worker):
    # Whoever wants may watch, without a token; and a worker whose probes fail is started anew.
    worker = start_debug_worker(concurrent_calls=2)
    with grpc.insecure_channel(worker.target) as channel:
        stub, request = HealthStub(channel), health_pb2.HealthCheckRequest()
        watching = [stub.Watch(request, timeout=60) for _ in range(2)]
        assert len([next(each) for each in watching]) == 2
        assert stub.Check(request, timeout=10).status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("method", "head"),
    [
        pytest.param("Check", b"\x0a", id="Check, name"),
        pytest.param("Watch", b"\x0a", id="Watch, name"),
        pytest.param("Watch", b"\x12", id="Watch, unknown field"),
    ],
)
def test_whoever_asks_for_health_cannot_take_the_workers_memory(
    start_debug_worker, token_file, method, head
):
    # Nobody's service has a name of megabytes, and whoever wants may ask, without a token; what is
    # asked is held until the call ends, and those who watch stay.
    worker = start_debug_worker(token_file=token_file)
    with grpc.insecure_channel(worker.target) as channel:
        call = channel.unary_stream(f"/grpc.health.v1.Health/{method}")
        request = head + b"\x80\xb6\xdc\x05" + b"x" * 12_000_000
        error = error_of(lambda: next(call(request, timeout=30)))
    assert error.code() in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    )


@pytest.mark.parametrize("how", ["cancelled", "expired", "cut off"])
@pytest.mark.parametrize("method", ["Infer", "StreamInfer"])
def test_calls_whose_callers_leave_are_not_counted_any_more(debug_worker, held, method, how):
    over = threading.Event()

    def requests():
        yield BATCH
        over.wait(60)

    channel = grpc.insecure_channel(debug_worker.target)
    stub = InferenceServiceStub(channel)
    timeout = 1.0 if how == "expired" else 60
    try:
        grpc.channel_ready_future(channel).result(30)
        if method == "Infer":
            calls = [stub.Infer.future(REQUEST, timeout=timeout) for _ in range(5)]
        else:
            calls = [stub.StreamInfer(requests(), timeout=timeout) for _ in range(5)]
        if how != "expired":
            wait_until(lambda: debug_worker.worker._gate.inference.count == 5)
        assert held.entered.wait(30)
        if how == "cancelled":
            for call in calls:
                call.cancel()
        elif how == "cut off":
            channel.close()
        wait_until(lambda: nobody_calls(debug_worker))
    finally:
        over.set()
        channel.close()
    # The caller's clock may run out first, and then it is the caller who cancels.
    codes = {"CANCELLED", "DEADLINE_EXCEEDED"} if how == "expired" else {"CANCELLED"}
    wait_until(lambda: sum(noted(debug_worker).values()) == 5)
    assert set(noted(debug_worker)) <= {(method, code) for code in codes}


def test_calls_that_are_refused_or_fail_are_not_counted_any_more(start_debug_worker, token_file):
    worker = start_debug_worker(token_file=token_file, request_bytes=1 << 20)
    worker.engine.fail_on = "w13"
    with grpc.insecure_channel(worker.target) as channel:
        call = channel.unary_unary(INFER)
        told = {
            error_of(
                lambda data=data, token=token: call(data, metadata=bearer(token), timeout=30)
            ).code()
            for data, token in (
                (NOT_PROTOBUF, OWNER),
                (b"", OWNER),
                (bytes(2_000_000), OWNER),
                (pb.InferRequest(sentences=["w13"]).SerializeToString(), OWNER),
                (b"", READER),
                (b"", "nobody's token at all"),
            )
        }
    code = grpc.StatusCode
    assert told == {
        code.INVALID_ARGUMENT,
        code.RESOURCE_EXHAUSTED,
        code.INTERNAL,
        code.PERMISSION_DENIED,
        code.UNAUTHENTICATED,
    }
    wait_until(lambda: nobody_calls(worker))


def test_a_caller_who_sends_nothing_is_counted_until_it_leaves(debug_worker, channel):
    over = threading.Event()

    def nothing():
        over.wait(60)
        yield from ()

    call = channel.stream_unary(INFER).future(nothing())
    wait_until(lambda: debug_worker.worker._gate.inference.count == 1)
    call.cancel()
    over.set()
    wait_until(lambda: nobody_calls(debug_worker))


# --- under which id

VALID_IDS = ["a", "7f3c", "!~", "x" * 128, "https://example.org/?trace=1&part=2"]
INVALID_IDS = ["", "two words", "x" * 129, "x" * 200]
MADE = re.compile("[0-9a-f]{16}")


def with_id(request_id: str) -> dict[str, object]:
    return {"metadata": [("x-request-id", request_id)], "timeout": 10}


@pytest.mark.parametrize("request_id", VALID_IDS)
def test_an_id_that_the_caller_chose_comes_back(channel, request_id):
    stub = InferenceServiceStub(channel)
    how = with_id(request_id)
    assert id_of(stub.Infer.with_call(REQUEST, **how)[1]) == request_id
    assert id_of(error_of(lambda: stub.Infer(pb.InferRequest(), **how))) == request_id
    stream = stub.StreamInfer(iter([BATCH]), **how)
    assert len(list(stream)) == 1
    assert id_of(stream) == request_id
    broken = channel.stream_stream(STREAM_INFER)
    assert id_of(error_of(lambda: list(broken(iter([NOT_PROTOBUF]), **how)))) == request_id


@pytest.mark.parametrize("request_id", INVALID_IDS)
def test_an_id_that_will_not_do_is_replaced(channel, request_id):
    stub = InferenceServiceStub(channel)
    how = with_id(request_id)
    # Where all went well nobody needs one.
    assert id_of(stub.Infer.with_call(REQUEST, **how)[1]) is None
    errors = [error_of(lambda: stub.Infer(pb.InferRequest(), **how)) for _ in range(2)]
    first, second = map(id_of, errors)
    assert MADE.fullmatch(first)
    assert MADE.fullmatch(second)
    assert first != second


def test_an_id_of_bytes_is_none(channel):
    metadata = [("x-request-id-bin", b"\xff\x00")]
    call = InferenceServiceStub(channel).Infer
    error = error_of(lambda: call(pb.InferRequest(), metadata=metadata, timeout=10))
    assert MADE.fullmatch(id_of(error))


def test_every_error_has_an_id(start_debug_worker, token_file):
    worker = start_debug_worker(token_file=token_file, concurrent_calls=1)
    held = Held(worker)
    with grpc.insecure_channel(worker.target) as channel, ThreadPoolExecutor(1) as pool:
        stub = InferenceServiceStub(channel)
        running = pool.submit(stub.Infer, REQUEST, metadata=bearer(OWNER))
        assert held.entered.wait(30)
        for credentials, code in (
            ([], grpc.StatusCode.UNAUTHENTICATED),
            (bearer(READER), grpc.StatusCode.PERMISSION_DENIED),
            (bearer(OWNER), grpc.StatusCode.RESOURCE_EXHAUSTED),
        ):
            for metadata, wanted in (
                (credentials, MADE),
                ([*credentials, ("x-request-id", "mine")], re.compile("mine")),
            ):
                error = error_of(
                    lambda metadata=metadata: stub.Infer(REQUEST, metadata=metadata, timeout=10)
                )
                assert error.code() is code
                assert wanted.fullmatch(id_of(error))
        held.let_go()
        running.result(30)


def test_many_calls_at_once_each_have_their_own_id(channel):
    stub = InferenceServiceStub(channel)
    calls = {
        name: stub.Infer.future(REQUEST if n % 2 else pb.InferRequest(), **with_id(name))
        for n, name in ((n, f"call-{n}") for n in range(60))
    }
    assert {name: id_of(call) for name, call in calls.items()} == {name: name for name in calls}
