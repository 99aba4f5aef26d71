"""The inference RPCs of a real server, over a real port."""

import asyncio
import dataclasses
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from conftest import wait_until
from debug_model import debug_model, expected_embedding
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from twinhead.client import AsyncClient, Client, InferOptions, WorkerFailedError, WorkerFullError
from twinhead.model.config import ModelConfig, TaskConfig
from twinhead.server.inference_service import max_sentences
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import Worker
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub


def words(rng: random.Random, most: int = 30) -> str:
    return " ".join(f"w{rng.randrange(4996)}" for _ in range(rng.randint(1, most)))


def check_rows(sentences, result):
    expected = np.array([expected_embedding(sentence) for sentence in sentences])
    np.testing.assert_allclose(result.embeddings, expected, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("tasks", [(), ("size",), ("parity", "size"), None])
def test_a_batch_within_the_budget_is_one_pass_whatever_the_tasks(debug_worker, tasks):
    sentences = [f"w{n} w{n + 1}" for n in range(120)]  # 4 tokens each, 480 of 512
    with Client(debug_worker.target) as client:
        result = client.infer(sentences, InferOptions(tasks=tasks))
    assert debug_worker.engine.passes == [120]
    assert set(result.tasks) == set(("parity", "size") if tasks is None else tasks)
    assert debug_worker.engine.tasks == [set(result.tasks)]  # no head runs that nobody asked for


def test_every_sentence_passes_the_encoder_exactly_once(debug_worker):
    rng = random.Random(1)
    sentences = [words(rng) for _ in range(1000)]
    with Client(debug_worker.target) as client:
        check_rows(sentences, client.infer(sentences))
    assert sum(debug_worker.engine.passes) == 1000
    assert len(debug_worker.engine.passes) > 1


def test_replies_are_never_mixed_up_under_64_callers(debug_worker):
    def call(number: int) -> int:
        rng = random.Random(number)
        rows = 0
        with Client(debug_worker.target) as client:
            batches = [[words(rng) for _ in range(rng.randint(1, 40))] for _ in range(12)]
            for batch in batches[:6]:
                check_rows(batch, client.infer(batch))
            for batch, result in zip(batches[6:], client.infer_stream(batches[6:]), strict=True):
                check_rows(batch, result)
            rows += sum(map(len, batches))
        return rows

    debug_worker.engine.seconds_per_pass = 0.005  # so that work gathers, however slow calls are
    with ThreadPoolExecutor(64) as pool:
        rows = sum(pool.map(call, range(64)))
    assert sum(debug_worker.engine.passes) == rows
    # The callers' sentences did share passes, or this would have shown nothing.
    assert len(debug_worker.engine.passes) < 64 * 12


def test_answers_of_a_stream_carry_their_batch(debug_worker):
    requests = [
        pb.StreamInferRequest(
            batch_id=f"batch {n}", request=pb.InferRequest(sentences=[f"w{n}"] * (n + 1))
        )
        for n in range(20)
    ]
    with grpc.insecure_channel(debug_worker.target) as channel:
        answers = list(InferenceServiceStub(channel).StreamInfer(iter(requests)))
    assert sorted(answer.batch_id for answer in answers) == sorted(r.batch_id for r in requests)
    for answer in answers:
        n = int(answer.batch_id.split()[1])
        assert len(answer.response.statuses) == n + 1
        first = answer.response.embeddings.float32_values[:4]
        np.testing.assert_allclose(first, expected_embedding(f"w{n}"), rtol=2e-5)


def test_a_failed_batch_is_answered_in_band_and_the_stream_lives_on(debug_worker):
    requests = [
        pb.StreamInferRequest(batch_id="good", request=pb.InferRequest(sentences=["w1"])),
        pb.StreamInferRequest(batch_id="empty", request=pb.InferRequest()),
        pb.StreamInferRequest(
            batch_id="pinned",
            request=pb.InferRequest(sentences=["w1"], model_version="no such version"),
        ),
        pb.StreamInferRequest(batch_id="x" * 300, request=pb.InferRequest(sentences=["w1"])),
        pb.StreamInferRequest(batch_id="last", request=pb.InferRequest(sentences=["w2"])),
    ]
    with grpc.insecure_channel(debug_worker.target) as channel:
        answers = {a.batch_id: a for a in InferenceServiceStub(channel).StreamInfer(iter(requests))}
    codes = {name: answer.error.code for name, answer in answers.items()}
    assert codes == {
        "good": 0,
        "empty": grpc.StatusCode.INVALID_ARGUMENT.value[0],
        "pinned": grpc.StatusCode.FAILED_PRECONDITION.value[0],
        "x" * 256: grpc.StatusCode.INVALID_ARGUMENT.value[0],
        "last": 0,
    }
    info = ErrorInfo()
    assert answers["pinned"].error.details[0].Unpack(info)
    assert info.metadata["live_version"] == "debug0"


def test_a_pass_that_fails_fails_its_own_callers_only(debug_worker, caplog):
    debug_worker.engine.fail_on = "w13"
    with Client(debug_worker.target) as client:
        with pytest.raises(WorkerFailedError) as caught:
            client.infer(["w12", "w13"])
        debug_worker.engine.fail_on = None
        check_rows(["w13"], client.infer(["w13"]))
    assert "secret internal text" not in str(caught.value)
    reference = str(caught.value).split()[-1]
    assert reference in caplog.text
    assert "secret internal text" in caplog.text


class Gate:
    """Holds the engine in a pass until it is opened."""

    def __init__(self, engine) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self._encode = engine.encode
        engine.encode = self._wait

    def _wait(self, ids, tasks, **options):
        self.entered.set()
        if not self.open.wait(60):
            raise RuntimeError("the gate was never opened")
        return self._encode(ids, tasks, **options)


def test_a_full_worker_refuses_unary_calls_and_holds_streams_back(start_debug_worker):
    worker = start_debug_worker(queue_tokens=40)
    gate = Gate(worker.engine)
    sentence = " ".join(["w7"] * 38)  # 40 tokens: one fills the queue
    with grpc.insecure_channel(worker.target) as channel, ThreadPoolExecutor(4) as pool:
        stub = InferenceServiceStub(channel)
        request = pb.InferRequest(sentences=[sentence])
        running = pool.submit(stub.Infer, request)
        gate.entered.wait(10)
        queued = pool.submit(stub.Infer, request)
        wait_until(lambda: worker.worker._queue.tokens == 40)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Infer(request)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        details = rpc_status.from_call(caught.value).details
        info, retry = ErrorInfo(), RetryInfo()
        assert details[0].Unpack(info)
        assert info.reason == "QUEUE_FULL"
        assert details[1].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() >= 100

        stream = pool.submit(
            lambda: list(stub.StreamInfer(iter([pb.StreamInferRequest(request=request)] * 3)))
        )
        wait_until(lambda: worker.worker._queue._waiters)
        assert not stream.done()
        gate.open.set()
        assert [answer.WhichOneof("result") for answer in stream.result(30)] == ["response"] * 3
        assert running.result(30).model_version == queued.result(30).model_version == "debug0"


def test_the_client_gives_up_on_a_full_worker_with_the_advice(start_debug_worker):
    worker = start_debug_worker(queue_tokens=1)
    gate = Gate(worker.engine)
    with Client(worker.target) as client, ThreadPoolExecutor(2) as pool:
        running = pool.submit(client.infer, ["w1"])
        gate.entered.wait(10)
        queued = pool.submit(client.infer, ["w2"])
        wait_until(lambda: worker.worker._queue.tokens > 0)
        with pytest.raises(WorkerFullError) as caught:
            client.infer(["w3"])
        assert caught.value.retry_seconds > 0
        gate.open.set()
        running.result(30)
        queued.result(30)


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_work_whose_caller_left_is_never_encoded(debug_worker, how):
    gate = Gate(debug_worker.engine)
    with grpc.insecure_channel(debug_worker.target) as channel:
        stub = InferenceServiceStub(channel)
        running = stub.Infer.future(pb.InferRequest(sentences=["w1"]))
        gate.entered.wait(10)
        timeout = 0.3 if how == "deadline" else None
        left = stub.Infer.future(pb.InferRequest(sentences=["w2"] * 10), timeout=timeout)
        wait_until(lambda: debug_worker.worker._queue.tokens > 0)
        if how == "cancel":
            left.cancel()
        wait_until(lambda: debug_worker.worker._queue.tokens == 0)
        gate.open.set()
        assert running.result(30).model_version == "debug0"
        code = grpc.StatusCode.DEADLINE_EXCEEDED if how == "deadline" else grpc.StatusCode.CANCELLED
        assert left.code() is code
    assert debug_worker.engine.passes == [1]


async def test_an_abandoned_stream_leaves_no_work_behind(debug_worker):
    gate = Gate(debug_worker.engine)

    async def requests():
        for number in range(5):
            yield pb.StreamInferRequest(request=pb.InferRequest(sentences=["w2"] * 5))
            if not number:  # else the first pass may take more than one
                await asyncio.to_thread(gate.entered.wait, 10)
        await asyncio.Event().wait()

    async with grpc.aio.insecure_channel(debug_worker.target) as channel:
        call = InferenceServiceStub(channel).StreamInfer(requests())
        await asyncio.to_thread(wait_until, lambda: debug_worker.worker._queue.tokens >= 60)
        call.cancel()
        await asyncio.to_thread(wait_until, lambda: debug_worker.worker._queue.tokens == 0)
    gate.open.set()
    async with AsyncClient(debug_worker.target) as client:
        check_rows(["w5"], await client.infer(["w5"]))
    assert debug_worker.run(debug_worker.worker._gate.inference.idle(10))


def test_a_stream_whose_reader_is_slow_holds_a_bounded_number_of_batches(start_debug_worker):
    worker = start_debug_worker(batches_per_stream=3)
    batches = 1000  # 76 MB of answers

    def requests():
        for n in range(batches):
            yield pb.StreamInferRequest(
                batch_id=str(n), request=pb.InferRequest(sentences=["w1"] * 1000)
            )

    with grpc.insecure_channel(worker.target) as channel:
        call = InferenceServiceStub(channel).StreamInfer(requests())
        next(call)  # and then no more is read: flow control must reach back to the writer
        before = -1
        while before != len(worker.engine.passes):
            before = len(worker.engine.passes)
            threading.Event().wait(1.0)  # long enough for an unbounded worker to go on
        # What was encoded beyond the three is in gRPC's own, bounded, buffers on the way back.
        assert sum(worker.engine.passes) < batches * 1000 / 2
        call.cancel()


def test_too_many_sentences_are_refused_before_any_work(debug_worker):
    request = pb.InferRequest(sentences=["w1"] * 100_000)
    with (
        grpc.insecure_channel(debug_worker.target) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        InferenceServiceStub(channel).Infer(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "100000" in caught.value.details()
    assert debug_worker.engine.passes == []


def test_an_answer_fits_the_default_limit_of_clients(starter_worker, starter_client):
    most = starter_client.model().sentences_per_request
    assert most == 1024
    with grpc.insecure_channel(starter_worker.target) as channel:  # with gRPC's own limits
        response = InferenceServiceStub(channel).Infer(pb.InferRequest(sentences=["hm"] * most))
    assert len(response.statuses) == most


@pytest.mark.parametrize(
    ("dimensions", "labels"), [(384, 7), (4096, 7), (384, 10_000), (384, 200_000)]
)
def test_large_answers_lower_the_sentences_of_a_request(dimensions, labels):
    tasks = tuple(
        TaskConfig(name=f"t{n}", labels=tuple(f"label {i}" for i in range(min(labels, 10_000))))
        for n in range(max(1, labels // 10_000))
    )
    model = dataclasses.replace(
        debug_model(), dimensions=dimensions, config=ModelConfig(encoder="x", tasks=tasks)
    )
    allowed = max_sentences(WorkerSettings(), model)
    names = sum(len(label) for task in tasks for label in task.labels)
    answer = allowed * 4 * (dimensions + sum(len(task.labels) for task in tasks)) + names
    assert answer < 4 * 1024 * 1024 or allowed == 1
    assert allowed == 1024 or answer > 3.5 * 1024 * 1024 or allowed == 1


def test_calls_at_once_are_limited_but_not_health(start_debug_worker):
    worker = start_debug_worker(concurrent_calls=1)
    gate = Gate(worker.engine)
    with grpc.insecure_channel(worker.target) as channel, ThreadPoolExecutor(1) as pool:
        stub = InferenceServiceStub(channel)
        running = pool.submit(stub.Infer, pb.InferRequest(sentences=["w1"]))
        gate.entered.wait(10)
        for call in (
            lambda: stub.Infer(pb.InferRequest(sentences=["w2"])),
            lambda: list(stub.StreamInfer(iter([]))),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert rpc_status.from_call(caught.value).details[1].Is(RetryInfo.DESCRIPTOR)
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        gate.open.set()
        running.result(30)


def test_interactive_calls_get_through_beside_a_bulk_stream(start_debug_worker):
    worker = start_debug_worker(queue_tokens=2048)
    worker.engine.seconds_per_pass = 0.005
    stop = threading.Event()

    def requests():
        while not stop.is_set():
            yield pb.StreamInferRequest(
                request=pb.InferRequest(sentences=[" ".join(["w1"] * 60)] * 30)
            )

    with grpc.insecure_channel(worker.target) as channel:
        stub = InferenceServiceStub(channel)
        stream = stub.StreamInfer(requests())
        reader = threading.Thread(target=lambda: [None for _ in stream])
        next(stream)
        reader.start()
        for _ in range(20):
            before = len(worker.engine.passes)
            stub.Infer(pb.InferRequest(sentences=["w2"]))
            # Its turn came after those of the few jobs that were there, not after all their work.
            assert len(worker.engine.passes) - before <= 12
        stop.set()
        reader.join(30)


def test_a_huge_request_does_not_hold_up_small_ones(start_debug_worker):
    worker = start_debug_worker()
    order = []
    huge = pb.InferRequest(sentences=["w1 " * 5000] * 1000)  # 15 MB to tokenise
    with grpc.insecure_channel(worker.target) as channel, ThreadPoolExecutor(3) as pool:
        stub = InferenceServiceStub(channel)
        pool.submit(stub.Infer, huge).add_done_callback(lambda _: order.append("huge"))
        wait_until(lambda: worker.worker._queue._expected_tokens > 60_000)
        stub.Infer(pb.InferRequest(sentences=["w2"]))
        order.append("small")
        with pytest.raises(grpc.RpcError) as caught:  # a second is refused before it is tokenised
            stub.Infer(huge)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert order[0] == "small"


async def test_a_stream_to_a_worker_that_is_not_ready_ends_and_answers_nothing():
    worker = Worker(WorkerSettings(port=0))
    loading, loaded = threading.Event(), threading.Event()

    def load(*_):
        loading.set()
        loaded.wait(30)
        return debug_model()

    starting = asyncio.create_task(worker.start(load))
    await asyncio.to_thread(loading.wait, 30)

    def call():
        request = pb.StreamInferRequest(request=pb.InferRequest(sentences=["w1"]))
        with grpc.insecure_channel(f"localhost:{worker.port}") as channel:
            return list(InferenceServiceStub(channel).StreamInfer(iter([request, request])))

    try:
        with pytest.raises(grpc.RpcError) as caught:
            await asyncio.to_thread(call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "the worker is starting"
    finally:
        loaded.set()
        await starting
        await worker.drain()
