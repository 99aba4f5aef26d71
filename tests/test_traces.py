"""Traces of calls, as a collector gets them from a real worker."""

import itertools
import secrets
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from conftest import WorkerProcess, wait_until
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from twinhead.client import AdminClient, Client
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub

TEXT = "Nightingales"
TOKEN = "a-token-that-is-in-no-trace"
PARTS = ["tokenize", "queue", "encode"]


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[trace_service_pb2.ExportTraceServiceRequest] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.environment = environment(port)

    def Export(self, request, context):
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests[:]
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def trace(self, trace_id: str, count: int) -> list[Span]:
        """The spans of a trace once there are so many, from the earliest to the latest."""

        def found() -> list[Span]:
            return [span for span in self.spans() if span.trace_id.hex() == trace_id]

        wait_until(lambda: len(found()) >= count)
        assert len(found()) == count
        return sorted(found(), key=lambda span: span.start_time_unix_nano)

    def close(self) -> None:
        self._server.stop(None).wait()


def environment(port: int) -> dict[str, str]:
    """OpenTelemetry's variables for a collector on a port."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def worker(collector, tmp_path_factory) -> Iterator[WorkerProcess]:
    folder = tmp_path_factory.mktemp("traces")
    (folder / "token").write_text(f"{TOKEN} infer,read\n")
    options = ("--traces", "--token-file", str(folder / "token"))
    worker = WorkerProcess(folder, *options, environment=collector.environment)
    yield worker
    worker.kill()


@pytest.fixture
def stub(worker) -> Iterator[InferenceServiceStub]:
    with grpc.insecure_channel(worker.target) as channel:
        yield InferenceServiceStub(channel)


class Caller:
    """A span of a caller's, and the headers that tell of it."""

    def __init__(self, *, sampled: bool = True) -> None:
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)
        self.metadata = [
            ("traceparent", f"00-{self.trace_id}-{self.span_id}-{int(sampled):02}"),
            ("authorization", f"Bearer {TOKEN}"),
            ("x-request-id", f"id-{self.span_id}"),
        ]


def attributes(span: Span) -> dict[str, object]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }


def assert_follow_each_other(parts: list[Span]) -> None:
    """Of one batch: each begins when the one before ends."""
    for before, after in itertools.pairwise(parts):
        assert before.end_time_unix_nano == after.start_time_unix_nano
        assert before.start_time_unix_nano <= before.end_time_unix_nano


def test_a_call_is_under_its_callers_span_and_its_parts_under_it(collector, stub):
    caller = Caller()
    answer = stub.Infer(pb.InferRequest(sentences=[TEXT, f"{TEXT}!"]), metadata=caller.metadata)
    call, *parts = collector.trace(caller.trace_id, 4)
    assert call.name == "twinhead.v1.InferenceService/Infer"
    assert call.kind == Span.SPAN_KIND_SERVER
    assert call.parent_span_id.hex() == caller.span_id
    assert call.status.code == Status.STATUS_CODE_UNSET
    told = attributes(call)
    assert told.pop("rpc.grpc.status_code") in ("OK", 0)
    assert told == {
        "rpc.system": "grpc",
        "rpc.service": "twinhead.v1.InferenceService",
        "rpc.method": "Infer",
        "twinhead.request_id": f"id-{caller.span_id}",
    }
    assert [part.name for part in parts] == PARTS
    assert {part.parent_span_id for part in parts} == {call.span_id}
    assert_follow_each_other(parts)
    assert call.start_time_unix_nano <= parts[0].start_time_unix_nano
    assert parts[-1].end_time_unix_nano <= call.end_time_unix_nano
    tokens = sum(status.tokens_used for status in answer.statuses)
    for part in parts:
        told = attributes(part)
        assert (told.pop("twinhead.pass_seconds", 0.0) > 0) == (part.name == "encode")
        assert told == {
            "twinhead.model_version": answer.model_version,
            "twinhead.sentences": 2,
            "twinhead.tokens": tokens,
            "twinhead.service_class": "interactive",
        }


def test_each_batch_of_a_stream_has_its_parts_under_the_streams_span(collector, stub):
    caller = Caller()
    sizes = (1, 2, 3)

    def requests() -> Iterator[pb.StreamInferRequest]:
        for size in sizes:
            yield pb.StreamInferRequest(request=pb.InferRequest(sentences=[TEXT] * size))
        yield pb.StreamInferRequest()  # has no sentences, and so no answer

    assert len(list(stub.StreamInfer(requests(), metadata=caller.metadata))) == 4
    call, *parts = collector.trace(caller.trace_id, 1 + 3 * len(sizes))
    assert call.name == "twinhead.v1.InferenceService/StreamInfer"
    assert call.parent_span_id.hex() == caller.span_id
    assert {part.parent_span_id for part in parts} == {call.span_id}
    for size in sizes:
        own = [part for part in parts if attributes(part)["twinhead.sentences"] == size]
        assert [part.name for part in own] == PARTS
        assert_follow_each_other(own)
        assert {attributes(part)["twinhead.service_class"] for part in own} == {"bulk"}


def test_a_call_that_fails_has_its_status(collector, stub):
    caller = Caller()
    with pytest.raises(grpc.RpcError):
        stub.Infer(pb.InferRequest(), metadata=caller.metadata)
    (call,) = collector.trace(caller.trace_id, 1)
    assert attributes(call)["rpc.grpc.status_code"] in ("INVALID_ARGUMENT", 3)
    assert call.status.code == Status.STATUS_CODE_UNSET  # the worker is not to blame
    assert not call.events


def test_a_call_that_may_not_come_in_is_traced_too(collector, stub):
    caller = Caller()
    with pytest.raises(grpc.RpcError):
        stub.Infer(pb.InferRequest(sentences=[TEXT]), metadata=caller.metadata[:1])
    (call,) = collector.trace(caller.trace_id, 1)
    assert attributes(call)["rpc.grpc.status_code"] in ("UNAUTHENTICATED", 16)


def test_a_call_of_nobodys_is_a_trace_of_its_own(collector, worker):
    with Client(worker.target, token=TOKEN) as client:
        client.infer([TEXT], request_id="mine")

    def found() -> list[Span]:
        spans = collector.spans()
        return [each for each in spans if attributes(each).get("twinhead.request_id") == "mine"]

    wait_until(found)
    (call,) = found()
    assert call.parent_span_id == b""
    parts = collector.trace(call.trace_id.hex(), 4)[1:]
    assert {part.parent_span_id for part in parts} == {call.span_id}


def test_a_caller_that_is_not_traced_stays_so(collector, stub):
    quiet, caller = Caller(sampled=False), Caller()
    for each in (quiet, caller):
        stub.Infer(pb.InferRequest(sentences=[TEXT]), metadata=each.metadata)
    collector.trace(caller.trace_id, 4)  # they are sent in their order
    assert quiet.trace_id not in {span.trace_id.hex() for span in collector.spans()}


def test_the_admin_service_is_traced_too(collector, worker):
    with AdminClient(worker.admin_target, token=TOKEN) as admin:
        admin.status()
    name = "twinhead.v1.ModelAdminService/GetStatus"
    wait_until(lambda: name in {span.name for span in collector.spans()})


def test_calls_at_once_are_not_mixed_up(collector, stub):
    callers = [Caller() for _ in range(16)]
    calls = [
        stub.Infer.future(pb.InferRequest(sentences=[TEXT] * size), metadata=caller.metadata)
        for size, caller in enumerate(callers, 1)
    ]
    for call in calls:
        call.result(60)
    for size, caller in enumerate(callers, 1):
        call, *parts = collector.trace(caller.trace_id, 4)
        assert call.parent_span_id.hex() == caller.span_id
        assert {part.parent_span_id for part in parts} == {call.span_id}
        assert {attributes(part)["twinhead.sentences"] for part in parts} == {size}


def test_who_sends_them_is_told_and_neither_text_nor_token(collector, stub):
    caller = Caller()
    stub.Infer(pb.InferRequest(sentences=[TEXT]), metadata=caller.metadata)
    with pytest.raises(grpc.RpcError):
        stub.Infer(pb.InferRequest(sentences=[TEXT] * 5000), metadata=caller.metadata)
    collector.trace(caller.trace_id, 5)
    for request in collector.requests[:]:
        for resource in request.resource_spans:
            known = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert known["service.name"] == "twinhead"
        sent = request.SerializeToString()
        assert TEXT.encode() not in sent
        assert TOKEN.encode() not in sent


# In this process, where the engine can be made to fail.


@pytest.fixture
def variables(monkeypatch) -> Callable[..., None]:
    def set_all(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return set_all


def test_a_defect_is_an_error_and_a_failed_batch_is_none_of_the_streams(
    collector, start_debug_worker, variables
):
    variables(**collector.environment, OTEL_SERVICE_NAME="mine")
    worker = start_debug_worker(traces=True)
    worker.engine.fail_on = "w13"
    request = pb.InferRequest(sentences=["w13"])
    failed, stream = Caller(), Caller()
    with grpc.insecure_channel(worker.target) as channel:
        stub = InferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.Infer(request, metadata=failed.metadata)
        requests = [pb.StreamInferRequest(request=request)]
        (answer,) = stub.StreamInfer(iter(requests), metadata=stream.metadata)
        assert answer.WhichOneof("result") == "error"
    (call,) = collector.trace(failed.trace_id, 1)
    assert call.status.code == Status.STATUS_CODE_ERROR
    assert not call.events  # a traceback could hold anything
    (call,) = collector.trace(stream.trace_id, 1)
    assert call.status.code == Status.STATUS_CODE_UNSET
    names = {
        each.value.string_value
        for sent in collector.requests[:]
        for resource in sent.resource_spans
        for each in resource.resource.attributes
        if each.key == "service.name"
    }
    assert "mine" in names


def test_what_is_left_is_sent_at_the_end(collector, start_debug_worker, variables):
    variables(**collector.environment | {"OTEL_BSP_SCHEDULE_DELAY": "3600000"})
    worker = start_debug_worker(traces=True)
    caller = Caller()
    with grpc.insecure_channel(worker.target) as channel:
        request = pb.InferRequest(sentences=["w1"])
        InferenceServiceStub(channel).Infer(request, metadata=caller.metadata)
    assert caller.trace_id not in {span.trace_id.hex() for span in collector.spans()}
    assert worker.drain()
    assert len(collector.trace(caller.trace_id, 4)) == 4


# Without a collector.


def test_a_collector_that_is_not_there_does_not_disturb_calls(start_worker):
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        # The time after which it gives up, of which each send and the end take one.
        variables = environment(port) | {"OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        worker = start_worker("--traces", environment=variables)
        with Client(worker.target) as client:
            for _ in range(5):
                assert len(client.infer([TEXT])) == 1
            # It has been tried in vain.
            wait_until(lambda: f"127.0.0.1:{port}" in worker.log.read_text())
            assert len(client.infer([TEXT])) == 1
        worker.terminate()
        assert worker.wait() == 0
    log = worker.log.read_text()
    assert "stopped" in log
    assert "Traceback" not in log


def test_without_the_option_nothing_is_sent(collector, start_debug_worker, variables):
    variables(**collector.environment)
    worker = start_debug_worker()
    quiet, caller = Caller(), Caller()
    request = pb.InferRequest(sentences=["w1"])
    with grpc.insecure_channel(worker.target) as channel:
        InferenceServiceStub(channel).Infer(request, metadata=quiet.metadata)
    assert worker.drain()
    traced = start_debug_worker(traces=True)
    with grpc.insecure_channel(traced.target) as channel:
        InferenceServiceStub(channel).Infer(request, metadata=caller.metadata)
    collector.trace(caller.trace_id, 4)
    assert quiet.trace_id not in {span.trace_id.hex() for span in collector.spans()}
