"""What Prometheus is told by a real worker, over HTTP, after traffic that is known."""

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import swapped
import yaml
from conftest import ROOT, DebugWorker, wait_until
from debug_model import debug_model
from held_start import loading_worker
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from test_client import swap
from test_inference_service import Gate
from twinhead.client import (
    AdminClient,
    Client,
    InferOptions,
    InvalidRequestError,
    PushRefusedError,
    UnknownVersionError,
    VersionNotLiveError,
    WorkerFailedError,
    WorkerFullError,
)
from twinhead.server.listen import ListenError
from twinhead.server.metrics import SECONDS, Metrics
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import Worker
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub

DASHBOARD = ROOT / "deploy/grafana/twinhead.json"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
# A worker that nobody calls tries itself now and then; not so often that a test would see it.
SETTINGS = {"metrics_port": 0, "stall_seconds": 3600}
HISTOGRAMS = {
    "request_seconds",
    "tokenize_seconds",
    "queue_seconds",
    "encode_seconds",
    "pass_seconds",
    "pass_sentences",
    "pass_tokens",
}
COUNTERS = {
    "requests",
    "failures",
    "push_refusals",
    "sentences",
    "truncated_sentences",
    "tokens",
    "padded_tokens",
    "pass_failures",
    "swaps",
}
GAUGES = {"ready", "calls", "queue_tokens", "queue_limit_tokens", "unread_answer_bytes"}


@pytest.fixture
def worker(start_debug_worker) -> DebugWorker:
    return start_debug_worker(**SETTINGS)


def families(port: int) -> dict[str, Metric]:
    """What a worker gives out, by its name."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        text = response.read().decode()
    return {metric.name: metric for metric in text_string_to_metric_families(text)}


def samples(worker: DebugWorker, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a name, by the values of their labels in the order of the labels' names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for metric in families(worker.worker.metrics_port).values()
        for sample in metric.samples
        if sample.name == f"twinhead_{name}"
    }


def value(worker: DebugWorker, name: str) -> float:
    """The only sample of a name."""
    ((labels, only),) = samples(worker, name).items()
    assert labels == ()
    return only


def come_to_be(worker: DebugWorker, name: str, wanted: dict[tuple[str, ...], float]) -> None:
    """Wait for some samples: a call is noted when it has ended, and its caller may know sooner."""

    def found() -> dict[tuple[str, ...], float]:
        known = samples(worker, name)
        return {labels: known.get(labels, 0.0) for labels in wanted}

    wait_until(lambda: found() == wanted)


# What there is.


def test_all_that_is_told_of_a_worker_has_a_name_a_kind_and_a_text(worker):
    found = families(worker.worker.metrics_port)
    kinds = {
        **{f"twinhead_{name}": "histogram" for name in HISTOGRAMS},
        **{f"twinhead_{name}": "counter" for name in COUNTERS},
        **{f"twinhead_{name}": "gauge" for name in (*GAUGES, "model_info")},
    }
    # When each began to count the library tells unasked, under names of their own.
    told = {name for name in found if not name.endswith("_created")}
    assert {name: found[name].type for name in told if not name.startswith("process_")} == kinds
    assert all(metric.documentation for metric in found.values())


def test_what_the_process_takes(worker):
    found = families(worker.worker.metrics_port)
    for name in ("process_resident_memory_bytes", "process_cpu_seconds", "process_open_fds"):
        assert found[name].samples[0].value > 0


def test_a_worker_that_has_done_nothing(worker):
    for name in ("tokens_total", "padded_tokens_total", "pass_failures_total", "swaps_total"):
        assert value(worker, name) == 0
    for name in ("calls", "queue_tokens", "unread_answer_bytes"):
        assert value(worker, name) == 0
    assert value(worker, "queue_limit_tokens") == worker.settings.queue_tokens
    assert value(worker, "ready") == 1
    assert samples(worker, "sentences_total") == {}


# Sentences and passes.


def test_sentences_are_counted_by_what_became_of_them(worker):
    with Client(worker.target) as client:
        client.infer(["w1", "w2", "", " ", "w3 " * 100], InferOptions(truncate=False))
        client.infer(["w1", "w4 " * 100])
        list(client.infer_stream([["w1"], [], ["\t"]]))
    assert samples(worker, "sentences_total") == {("OK",): 5, ("EMPTY",): 3, ("TOO_LONG",): 1}
    assert value(worker, "truncated_sentences_total") == 1


def test_tokens_and_padding_of_a_pass(worker):
    with Client(worker.target) as client:
        client.infer(["w1", "w1 w2 w3 w4", ""])  # 3 and 6 tokens; the third is not encoded
    assert worker.engine.passes == [2]
    assert value(worker, "tokens_total") == 9
    assert value(worker, "padded_tokens_total") == 12
    assert value(worker, "pass_tokens_sum") == 12
    assert samples(worker, "pass_tokens_bucket")[("16.0",)] == 1
    assert value(worker, "pass_sentences_sum") == 2
    assert samples(worker, "pass_sentences_bucket")[("1.0",)] == 0
    assert samples(worker, "pass_sentences_bucket")[("2.0",)] == 1


def test_every_pass_is_counted(start_debug_worker):
    worker = start_debug_worker(**SETTINGS, token_budget=30)
    with Client(worker.target) as client:
        client.infer(["w1"] * 95)  # 285 tokens, ten sentences a pass
    assert worker.engine.passes == [10] * 9 + [5]
    for name in ("pass_seconds", "pass_sentences", "pass_tokens"):
        assert value(worker, f"{name}_count") == 10
        assert samples(worker, f"{name}_bucket")[("+Inf",)] == 10
    assert value(worker, "pass_sentences_sum") == 95
    assert value(worker, "tokens_total") == value(worker, "pass_tokens_sum") == 285


def test_passes_that_fail_are_no_passes(worker):
    worker.engine.fail_on = "w13"
    with Client(worker.target) as client:
        for _ in range(2):
            with pytest.raises(WorkerFailedError):
                client.infer(["w13"])
        client.infer(["w1"])
    assert value(worker, "pass_failures_total") == 2
    assert value(worker, "pass_seconds_count") == 1
    assert value(worker, "tokens_total") == 3


def test_times_of_batches(worker):
    with Client(worker.target) as client:
        for _ in range(3):
            client.infer(["w1"])
        client.infer(["w1"], InferOptions(service_class="bulk"))
        list(client.infer_stream([["w1"]] * 5))
        with pytest.raises(InvalidRequestError):
            client.infer([])  # has no answer
    counts = {("interactive",): 3, ("bulk",): 6}
    assert samples(worker, "request_seconds_count") == counts
    for name in ("tokenize_seconds", "queue_seconds", "encode_seconds"):
        assert value(worker, f"{name}_count") == 9
    buckets = samples(worker, "request_seconds_bucket")
    assert {float(bound) for bound, _ in buckets} == {*SECONDS, float("inf")}
    for service_class, count in counts.items():
        up_to = [
            number
            for (bound, of), number in sorted(buckets.items(), key=lambda each: float(each[0][0]))
            if (of,) == service_class
        ]
        assert up_to == sorted(up_to)
        assert up_to[-1] == count


def test_a_pass_that_takes_its_time_is_in_the_sums(worker):
    worker.engine.seconds_per_pass = 0.2
    with Client(worker.target) as client:
        client.infer(["w1"])
    for name in ("encode_seconds_sum", "pass_seconds_sum"):
        assert value(worker, name) >= 0.2
    (taken,) = samples(worker, "request_seconds_sum").values()
    assert taken >= value(worker, "encode_seconds_sum")
    assert samples(worker, "pass_seconds_bucket")[("0.1",)] == 0


# Calls and failures.


def test_calls_are_counted_by_their_status(worker):
    with Client(worker.target) as client:
        client.model()
        client.infer(["w1"])
        client.infer(["w1"])
        list(client.infer_stream([["w1"], ["w2"]]))
        with pytest.raises(InvalidRequestError):
            client.infer([])
        with pytest.raises(VersionNotLiveError):
            client.infer(["w1"], InferOptions(model_version="another"))
    with AdminClient(worker.admin_target) as admin:
        admin.versions()
        with pytest.raises(UnknownVersionError):
            admin.activate("another")
    wanted = {
        ("OK", "GetModel"): 1,
        ("OK", "Infer"): 2,
        ("OK", "StreamInfer"): 1,
        ("INVALID_ARGUMENT", "Infer"): 1,
        ("FAILED_PRECONDITION", "Infer"): 1,
        ("OK", "ListVersions"): 1,
        ("NOT_FOUND", "ActivateVersion"): 1,
    }
    come_to_be(worker, "requests_total", wanted)
    assert samples(worker, "requests_total") == wanted


def test_errors_are_counted_by_what_callers_are_told(worker):
    worker.engine.fail_on = "w13"
    with Client(worker.target) as client:
        for _ in range(2):
            with pytest.raises(InvalidRequestError):
                client.infer([])
        with pytest.raises(WorkerFailedError):
            client.infer(["w13"])
        # In band: the streams themselves end well.
        list(client.infer_stream([["w1"], [], ["w13"], []], in_flight=1))
    come_to_be(worker, "requests_total", {("OK", "StreamInfer"): 1, ("INTERNAL", "Infer"): 1})
    assert samples(worker, "failures_total") == {
        ("Infer", "INVALID_REQUEST"): 2,
        ("Infer", "INTERNAL_ERROR"): 1,
        ("StreamInfer", "INVALID_REQUEST"): 2,
        ("StreamInfer", "INTERNAL_ERROR"): 1,
    }


def test_a_stream_that_is_broken_off_is_one_failure(worker):
    with grpc.insecure_channel(worker.target) as channel:
        call = channel.stream_stream("/twinhead.v1.InferenceService/StreamInfer")
        with pytest.raises(grpc.RpcError):
            list(call(iter([b"\xff\xff\xff"])))
    come_to_be(worker, "requests_total", {("INVALID_ARGUMENT", "StreamInfer"): 1})
    assert samples(worker, "failures_total") == {("StreamInfer", "INVALID_REQUEST"): 1}


def test_calls_that_may_not_come_in_are_counted(start_debug_worker, tmp_path):
    (tmp_path / "token").write_text("a-token-of-this-test infer\n")
    worker = start_debug_worker(**SETTINGS, token_file=str(tmp_path / "token"))
    with grpc.insecure_channel(worker.target) as channel:
        infer = InferenceServiceStub(channel).Infer
        for _ in range(2):
            with pytest.raises(grpc.RpcError):
                infer(pb.InferRequest(sentences=["w1"]))
    with AdminClient(worker.admin_target, token="a-token-of-this-test") as admin:
        with pytest.raises(Exception, match="scope"):
            admin.versions()
    come_to_be(worker, "requests_total", {("PERMISSION_DENIED", "ListVersions"): 1})
    assert samples(worker, "failures_total") == {
        ("Infer", "NO_CREDENTIALS"): 2,
        ("ListVersions", "SCOPE_MISSING"): 1,
    }


def test_a_call_whose_caller_has_left(worker):
    gate = Gate(worker.engine)
    with grpc.insecure_channel(worker.target) as channel:
        call = InferenceServiceStub(channel).Infer.future(pb.InferRequest(sentences=["w1"]))
        gate.entered.wait(30)
        call.cancel()
        come_to_be(worker, "requests_total", {("CANCELLED", "Infer"): 1})
        assert samples(worker, "failures_total") == {("Infer", "CANCELLED"): 1}
        gate.open.set()


@pytest.mark.parametrize("timeout", [0.5, 1.0])
def test_calls_that_are_not_answered_in_time(worker, timeout):
    gate = Gate(worker.engine)
    with grpc.insecure_channel(worker.target) as channel:
        infer = InferenceServiceStub(channel).Infer
        calls = [infer.future(pb.InferRequest(sentences=["w1"]), timeout=timeout) for _ in range(4)]
        for call in calls:
            assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: sum(samples(worker, "requests_total").values()) == 4)
        gate.open.set()
    # On its way to the worker gRPC rounds the time up, by a hundredth: who calls gives up first.
    assert samples(worker, "requests_total") == {("DEADLINE_EXCEEDED", "Infer"): 4}
    assert samples(worker, "failures_total") == {("Infer", "DEADLINE_EXCEEDED"): 4}


def test_a_stream_whose_caller_has_left(worker):
    with Client(worker.target) as client:
        stream = client.infer_stream(iter(lambda: ["w1"], None))
        next(stream)
        stream.close()
    come_to_be(worker, "requests_total", {("CANCELLED", "StreamInfer"): 1})
    assert samples(worker, "failures_total") == {("StreamInfer", "CANCELLED"): 1}


def test_no_more_calls_than_may_be(start_debug_worker):
    worker = start_debug_worker(**SETTINGS, concurrent_calls=1)
    gate = Gate(worker.engine)
    with grpc.insecure_channel(worker.target) as channel, ThreadPoolExecutor(1) as pool:
        stub = InferenceServiceStub(channel)
        running = pool.submit(stub.Infer, pb.InferRequest(sentences=["w1"]))
        gate.entered.wait(30)
        with pytest.raises(grpc.RpcError):
            list(stub.StreamInfer(iter([])))
        come_to_be(worker, "failures_total", {("StreamInfer", "QUEUE_FULL"): 1})
        gate.open.set()
        running.result(30)
    come_to_be(
        worker, "requests_total", {("RESOURCE_EXHAUSTED", "StreamInfer"): 1, ("OK", "Infer"): 1}
    )


# The present.


def test_what_waits_and_what_is_open(start_debug_worker):
    worker = start_debug_worker(**SETTINGS, queue_tokens=7)
    gate = Gate(worker.engine)
    with Client(worker.target) as client, ThreadPoolExecutor(2) as pool:
        running = pool.submit(client.infer, ["w1"])
        gate.entered.wait(30)
        waiting = pool.submit(client.infer, ["w1 w2", "w3"])
        wait_until(lambda: value(worker, "queue_tokens") == 7)
        assert value(worker, "queue_limit_tokens") == 7
        assert value(worker, "calls") == 2
        with pytest.raises(WorkerFullError):
            client.infer(["w1"])
        gate.open.set()
        running.result(30)
        waiting.result(30)
    wait_until(lambda: value(worker, "calls") == 0)
    assert value(worker, "queue_tokens") == 0


def test_answers_that_nobody_reads(worker):
    def requests() -> Iterator[pb.StreamInferRequest]:
        for _ in range(1000):  # 76 MB of answers: more than gRPC takes on the way
            yield pb.StreamInferRequest(request=pb.InferRequest(sentences=["w1"] * 1000))

    with grpc.insecure_channel(worker.target) as channel:
        call = InferenceServiceStub(channel).StreamInfer(requests())
        next(call)
        wait_until(lambda: value(worker, "unread_answer_bytes") > 10_000)
        call.cancel()
        wait_until(lambda: value(worker, "unread_answer_bytes") == 0)


def test_the_live_model_and_its_swaps(worker):
    (info,) = families(worker.worker.metrics_port)["twinhead_model_info"].samples
    assert info.value == 1
    assert info.labels == {
        "version": "debug0",
        "encoder": "debug",
        "engine": worker.engine.name,
        "precision": worker.engine.precision,
        "device": "cpu",
    }
    for number in (1, 2):
        swap(worker, f"debug{number}")
        assert value(worker, "swaps_total") == number
        # One at a time: versions from before are not there beside it.
        (info,) = families(worker.worker.metrics_port)["twinhead_model_info"].samples
        assert info.labels["version"] == f"debug{number}"


def test_versions_that_are_refused(start_debug_worker, tmp_path):
    base = swapped.write_model(tmp_path / "model")
    worker = swapped.start_small(start_debug_worker, tmp_path, **SETTINGS)
    offer = swapped.offer_of(
        swapped.changed(base, swapped.EVERYTHING),
        drift_limits=swapped.pb.DriftLimits(min_cosine=0.999999),
    )
    with AdminClient(worker.admin_target) as admin:
        with pytest.raises(PushRefusedError):
            admin.push(offer).stage()
    come_to_be(worker, "requests_total", {("FAILED_PRECONDITION", "PushWeights"): 1})
    assert samples(worker, "push_refusals_total") == {("drift",): 1}
    assert samples(worker, "failures_total") == {("PushWeights", "PUSH_REFUSED"): 1}
    assert value(worker, "swaps_total") == 0


def test_a_version_that_goes_live_is_no_failure(start_debug_worker, tmp_path):
    base = swapped.write_model(tmp_path / "model")
    worker = swapped.start_small(start_debug_worker, tmp_path, **SETTINGS)
    with AdminClient(worker.admin_target) as admin:
        with admin.push(swapped.offer_of(swapped.changed(base))) as push:
            push.stage()
            push.go_live()
    wait_until(lambda: samples(worker, "requests_total"))
    assert samples(worker, "requests_total") == {("OK", "PushWeights"): 1}
    assert samples(worker, "failures_total") == {}
    assert value(worker, "swaps_total") == 1


# Where it is told, and from when to when.


async def test_a_worker_that_loads_its_model_tells_that_it_is_not_ready():
    def ready(worker: Worker) -> float:
        return families(worker.metrics_port)["twinhead_ready"].samples[0].value

    async with loading_worker(WorkerSettings(port=0, **SETTINGS)) as (worker, finish):
        found = await asyncio.to_thread(families, worker.metrics_port)
        assert found["twinhead_ready"].samples[0].value == 0
        assert "twinhead_model_info" not in found
        await finish()
        assert await asyncio.to_thread(ready, worker) == 1


async def test_a_worker_whose_model_cannot_be_loaded_tells_nothing_any_more():
    def load(*_):
        raise RuntimeError("no such model")

    worker = Worker(WorkerSettings(port=0, **SETTINGS))
    with pytest.raises(RuntimeError, match="no such model"):
        await worker.start(load)
    with pytest.raises(urllib.error.URLError):
        await asyncio.to_thread(families, worker.metrics_port)


def test_after_the_drain_there_is_nothing(start_debug_worker):
    worker = start_debug_worker(**SETTINGS)
    assert families(worker.worker.metrics_port)
    assert worker.drain()
    with pytest.raises(urllib.error.URLError):
        families(worker.worker.metrics_port)


def test_while_it_drains_it_is_not_ready(worker):
    gate = Gate(worker.engine)
    with Client(worker.target) as client, ThreadPoolExecutor(2) as pool:
        running = pool.submit(client.infer, ["w1"])
        gate.entered.wait(30)
        drained = pool.submit(worker.drain)
        wait_until(lambda: value(worker, "ready") == 0)
        assert value(worker, "calls") == 1
        gate.open.set()
        assert len(running.result(30)) == 1
        assert drained.result(30)


def test_where_they_are_is_in_the_log(start_worker):
    worker = start_worker("--metrics-port", "0")
    (port,) = re.findall(r"metrics on http://127\.0\.0\.1:(\d+)/metrics", worker.log.read_text())
    with Client(worker.target) as client:
        client.infer(["One.", "Two."])
    found = families(int(port))
    assert found["twinhead_sentences"].samples[0].value == 2
    assert found["twinhead_model_info"].samples[0].labels["encoder"].endswith("MiniLM-L6-v2")
    # Series that nobody asks for would be half of all.
    assert not [name for name in found if name.endswith("_created")]


def test_without_a_port_there_are_none(debug_worker):
    assert debug_worker.worker.metrics_port == 0
    # They are counted all the same, for `twinhead status`.
    with Client(debug_worker.target) as client:
        client.infer(["w1", "w2"])
    counted = debug_worker.worker.metrics.samples()
    assert counted["twinhead_sentences_total", ("OK",)] == 2


def test_a_taken_port_is_told(worker):
    async def start() -> None:
        other = Worker(WorkerSettings(port=0, metrics_port=worker.worker.metrics_port))
        with pytest.raises(ListenError, match="choose another --metrics-port"):
            await other.start(lambda *_: debug_model())

    asyncio.run(start())


@pytest.mark.parametrize("host", ["203.0.113.77", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_told(host):
    with pytest.raises(ListenError, match=f"{host}:0: .*--metrics-host"):
        Metrics().serve(host, 0)


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "127.0.0.1"), ("localhost", "localhost"), ("::1", "[::1]"), ("[::1]", "[::1]")],
)
def test_addresses_as_the_other_ones_are_given(host, url):
    port, stop = Metrics().serve(host, 0)
    try:
        with urllib.request.urlopen(f"http://{url}:{port}/metrics", timeout=30) as response:
            assert b"twinhead_tokens_total 0.0" in response.read()
    finally:
        stop()


# The dashboard.


def expressions(node: object) -> Iterator[str]:
    """What a dashboard asks Prometheus."""
    if isinstance(node, dict):
        for key, each in node.items():
            if isinstance(each, str):
                if key in ("expr", "query", "definition"):
                    yield each
            else:
                yield from expressions(each)
    elif isinstance(node, list | tuple):
        for each in node:
            yield from expressions(each)


def test_dashboard_and_alerts_ask_for_what_there_is(start_debug_worker, tmp_path):
    worker = start_debug_worker(**SETTINGS, watch=str(tmp_path))
    read = (json.loads(DASHBOARD.read_text("utf-8")), yaml.safe_load(ALERTS.read_text("utf-8")))
    asked = {
        name
        for expression in expressions(read)
        for name in re.findall(r"\b(?:twinhead|process)_\w+", expression)
    }
    assert len(asked) > 10
    there: set[str] = set()
    for metric in families(worker.worker.metrics_port).values():
        endings: Callable[[str], tuple[str, ...]] = {
            "histogram": lambda name: (f"{name}_bucket", f"{name}_sum", f"{name}_count"),
            "counter": lambda name: (f"{name}_total",),
        }.get(metric.type, lambda name: (name,))
        there.update(endings(metric.name))
    assert asked <= there, asked - there
