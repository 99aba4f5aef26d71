"""The inference RPCs of a real server, over a real port."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from conftest import wait_until
from debug_model import check_rows, expected_embedding
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from held_start import loading_worker
from twinhead.client import AsyncClient, Client, WorkerFullError
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import Worker
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub


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


@pytest.mark.long
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


async def test_a_stream_to_a_worker_that_is_not_ready_ends_and_answers_nothing():
    def call(worker: Worker):
        request = pb.StreamInferRequest(request=pb.InferRequest(sentences=["w1"]))
        with grpc.insecure_channel(f"localhost:{worker.port}") as channel:
            return list(InferenceServiceStub(channel).StreamInfer(iter([request, request])))

    async with loading_worker(WorkerSettings(port=0)) as (worker, _):
        with pytest.raises(grpc.RpcError) as caught:
            await asyncio.to_thread(call, worker)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "the worker is starting"
