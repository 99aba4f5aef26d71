"""The worker's life: listen, load, serve, drain; as processes and with real signals."""

import asyncio
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from conftest import wait_until
from debug_model import debug_model
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from held_start import loading_worker
from twinhead.client import Client, WorkerUnavailableError
from twinhead.server.listen import ListenError
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import Worker
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub

SERVICES = [
    "",
    "twinhead.v1.InferenceService",
    "twinhead.v1.ModelService",
    "inference.GRPCInferenceService",
]


def health_of(target: str, service: str = "") -> str:
    with grpc.insecure_channel(target) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status
    return health_pb2.HealthCheckResponse.ServingStatus.Name(status)


@pytest.mark.parametrize("service", SERVICES)
def test_health_is_told_for_each_service(debug_worker, service):
    assert health_of(debug_worker.target, service) == "SERVING"


def test_reflection_lists_the_services(debug_worker):
    with grpc.insecure_channel(debug_worker.target) as channel:
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        (answer,) = stub.ServerReflectionInfo(iter([request]))
    names = {service.name for service in answer.list_services_response.service}
    assert names > {*SERVICES[1:], "grpc.health.v1.Health"}


async def test_calls_before_the_model_is_loaded_are_unavailable():
    async with loading_worker(WorkerSettings(port=0)) as (worker, finish):
        target = f"localhost:{worker.port}"
        assert await asyncio.to_thread(health_of, target) == "NOT_SERVING"
        async with grpc.aio.insecure_channel(target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await InferenceServiceStub(channel).Infer(pb.InferRequest(sentences=["w1"]))
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert caught.value.details() == "the worker is starting"
            await finish()
            await InferenceServiceStub(channel).Infer(pb.InferRequest(sentences=["w1"]))
        assert await asyncio.to_thread(health_of, target) == "SERVING"


async def test_what_loading_raises_stops_the_worker():
    def load(*_):
        raise RuntimeError("no such model")

    worker = Worker(WorkerSettings(port=0))
    with pytest.raises(RuntimeError, match="no such model"):
        await worker.start(load)
    with pytest.raises(grpc.RpcError):
        await asyncio.to_thread(health_of, f"localhost:{worker.port}")


def test_a_taken_port_is_told(debug_worker):
    async def start():
        worker = Worker(WorkerSettings(port=debug_worker.worker.port))
        with pytest.raises(ListenError, match="choose another --port"):
            await worker.start(lambda *_: debug_model())

    asyncio.run(start())


def test_draining_finishes_accepted_work_and_refuses_new(start_debug_worker):
    worker = start_debug_worker()
    worker.engine.seconds_per_pass = 0.05
    with grpc.insecure_channel(worker.target) as channel, ThreadPoolExecutor(8) as pool:
        stub = InferenceServiceStub(channel)
        unary = [
            pool.submit(stub.Infer, pb.InferRequest(sentences=["w1 w2 w3"] * 600)) for _ in range(3)
        ]
        stop_writing = threading.Event()

        def requests():
            for n in range(3):
                yield pb.StreamInferRequest(
                    batch_id=str(n), request=pb.InferRequest(sentences=["w4 w5"] * 500)
                )
            stop_writing.wait(60)  # the caller's side stays open

        stream = stub.StreamInfer(requests())
        first = next(stream)
        wait_until(lambda: worker.worker._queue.tokens > 0)
        drained = pool.submit(worker.drain)
        wait_until(lambda: worker.worker._serving.draining.is_set())
        with pytest.raises(grpc.RpcError) as refused:
            stub.Infer(pb.InferRequest(sentences=["w1"]))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        rest = []
        with pytest.raises(grpc.RpcError) as ended:
            rest.extend(stream)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        stop_writing.set()
        assert drained.result(60) is True
        for call in unary:
            assert len(call.result(1).statuses) == 600
    # What was read is answered; nothing else is.
    assert [first.WhichOneof("result"), *(a.WhichOneof("result") for a in rest)].count(
        "response"
    ) == 1 + len(rest)
    assert len(rest) >= 1


def test_the_drain_time_is_kept(start_debug_worker):
    worker = start_debug_worker(drain_seconds=0.3)
    worker.engine.seconds_per_pass = 0.2
    with grpc.insecure_channel(worker.target) as channel:
        stub = InferenceServiceStub(channel)
        calls = [stub.Infer.future(pb.InferRequest(sentences=["w1 w2"] * 1000)) for _ in range(10)]
        wait_until(lambda: worker.worker._queue.tokens > 8 * 1024)
        assert worker.drain() is False
        assert any(call.exception(10) is not None for call in calls)


def test_sigterm_loses_no_accepted_request(start_worker):
    worker = start_worker()
    answered, refused = [], []
    go_on = threading.Event()
    go_on.set()

    def call(number: int) -> None:
        with grpc.insecure_channel(worker.target) as channel:
            stub = InferenceServiceStub(channel)
            while go_on.is_set():
                try:
                    stub.Infer(pb.InferRequest(sentences=[f"Caller {number} is still here."] * 8))
                    answered.append(number)
                except grpc.RpcError as error:
                    refused.append((error.code(), error.details()))
                    return

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(call, number) for number in range(8)]
        wait_until(lambda: len(answered) > 30)
        worker.terminate()
        assert worker.wait() == 0
        go_on.clear()
        for finished in calls:
            finished.result(30)
    # Refused calls were never accepted: the worker said so, or nobody listened any more.
    assert {code for code, _ in refused} == {grpc.StatusCode.UNAVAILABLE}
    for _, details in refused:
        assert "draining" in details or "connect" in details.lower() or "GOAWAY" in details, details
    assert "stopped" in worker.log.read_text()
    assert "Traceback" not in worker.log.read_text()


def test_sigterm_while_loading_ends_at_once(tmp_path):
    import subprocess

    from conftest import TWINHEAD

    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*TWINHEAD, "serve", "--port", "0"], stdout=log, stderr=log)
        time.sleep(1.0)  # whether the signal comes before, in or after loading: it must end
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code in (0, -signal.SIGTERM), (tmp_path / "log").read_text()  # minus: not yet listening


def test_a_killed_worker_is_told_and_a_new_one_takes_its_port(start_worker):
    worker = start_worker()
    with Client(worker.target) as client:
        version = client.model().version
        worker.kill()
        with pytest.raises(WorkerUnavailableError, match="twinhead serve"):
            client.infer(["Is anybody there?"], reconnect_seconds=0)
        start_worker(port=worker.port)
        assert client.model().version == version


def test_a_drain_that_takes_too_long_ends_with_a_word_and_code_1(start_worker):
    worker = start_worker("--drain-seconds", "0.2")
    sentences = [f"The caller with the number {number} waits for long." for number in range(512)]
    with grpc.insecure_channel(worker.target) as channel, ThreadPoolExecutor(4) as pool:
        stub = InferenceServiceStub(channel)
        calls = [pool.submit(stub.Infer, pb.InferRequest(sentences=sentences)) for _ in range(4)]
        with Client(worker.target) as client:
            client.infer(["Passes run."])
        worker.terminate()
        assert worker.wait() == 1
        for call in calls:
            assert isinstance(call.exception(30), grpc.RpcError)
    said = worker.log.read_text()
    assert said.endswith("Error: the drain time ran out; some accepted work was cut off\n")
    assert "terminate called" not in said
