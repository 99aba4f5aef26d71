"""A worker whose model does not answer says so, and says when it answers again."""

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from conftest import DebugWorker, wait_until
from debug_model import debug_model
from grpc_health.v1 import health_pb2, health_pb2_grpc
from test_client import swap
from test_inference_service import Gate
from twinhead.client import AdminClient, Client, WorkerFailedError, WorkerUnavailableError

SERVICES = ["", "twinhead.v1.InferenceService", "twinhead.v1.ModelService"]
SERVING, NOT_SERVING = "SERVING", "NOT_SERVING"


class Watched:
    """What a worker's health service tells of one service, as it comes."""

    def __init__(self, channel: grpc.Channel, service: str) -> None:
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        request = health_pb2.HealthCheckRequest(service=service)
        self._call = health_pb2_grpc.HealthStub(channel).Watch(request)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def next(self) -> str:
        return self._told.get(timeout=30)

    def said_nothing_more(self) -> bool:
        return self._told.empty()

    def close(self) -> None:
        self._call.cancel()
        self._thread.join()

    def _read(self) -> None:
        try:
            for response in self._call:
                name = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
                self._told.put(name)
        except grpc.RpcError:  # closed, or the worker has ended
            pass


@pytest.fixture
def watch() -> Iterator[Callable[[DebugWorker], list[Watched]]]:
    """Watch all services of a worker that serves."""
    watched: list[Watched] = []
    channels: list[grpc.Channel] = []

    def start(worker: DebugWorker) -> list[Watched]:
        channels.append(grpc.insecure_channel(worker.target))
        watched.extend(Watched(channels[-1], service) for service in SERVICES)
        assert [each.next() for each in watched] == [SERVING] * len(SERVICES)
        return watched

    yield start
    for each in watched:
        each.close()
    for channel in channels:
        channel.close()


@pytest.fixture
def worker(start_debug_worker) -> DebugWorker:
    return start_debug_worker(stall_seconds=1)


def told(watched: list[Watched]) -> list[str]:
    """What is told of each service next."""
    return [each.next() for each in watched]


def passes(worker: DebugWorker) -> float:
    """Encoder passes that gave results."""
    return worker.worker.metrics.samples()["twinhead_pass_seconds_count", ()]


def test_a_pass_that_hangs(worker, watch, caplog):
    caplog.set_level(logging.INFO, logger="twinhead")
    watched = watch(worker)
    gate = Gate(worker.engine)
    with Client(worker.target) as client, ThreadPoolExecutor(1) as pool:
        caller = pool.submit(client.infer, ["w1"])
        assert told(watched) == [NOT_SERVING] * len(SERVICES)
        with AdminClient(worker.admin_target) as admin:
            assert not admin.status().ready
        # What it has tried in vain does not wait behind the pass any more.
        assert worker.worker._queue.tokens == 0
        gate.open.set()
        assert told(watched) == [SERVING] * len(SERVICES)
        # Nobody is sent away: whoever comes all the same waits, and is answered in the end.
        assert len(caller.result(30)) == 1
        with AdminClient(worker.admin_target) as admin:
            assert admin.status().ready
    said = [
        (record.levelno, record.getMessage())
        for record in caplog.records
        if record.name == "twinhead.server.watchdog"
    ]
    assert [level for level, _ in said] == [logging.ERROR, logging.INFO]
    assert said[0][1].startswith("not ready: ")
    assert said[1][1] == "ready again"


def test_one_pass_of_two_at_once_that_hangs(start_debug_worker, watch):
    model = debug_model()
    model.engine.streams = model.engine._threads = 2
    encode, entered, release = model.engine.encode, threading.Event(), threading.Event()

    def hanging(ids, tasks, **options):
        if len(ids[0]) == 9:  # no other sentence is as long
            entered.set()
            release.wait(60)
        return encode(ids, tasks, **options)

    model.engine.encode = hanging
    worker = start_debug_worker(load=lambda *_: model, stall_seconds=1)
    watched = watch(worker)
    with Client(worker.target) as client, ThreadPoolExecutor(1) as pool:
        caller = pool.submit(client.infer, ["w1 w2 w3 w4 w5 w6 w7"])
        assert entered.wait(30)
        # The other runner answers all along.
        while watched[0].said_nothing_more():
            client.infer(["w1"])
        assert told(watched) == [NOT_SERVING] * len(SERVICES)
        release.set()
        assert told(watched) == [SERVING] * len(SERVICES)
        assert len(caller.result(30)) == 1


def test_an_engine_that_hangs_while_nobody_calls(worker, watch):
    watched = watch(worker)
    gate = Gate(worker.engine)
    assert told(watched) == [NOT_SERVING] * len(SERVICES)
    gate.open.set()
    assert told(watched) == [SERVING] * len(SERVICES)


def test_an_engine_that_always_fails_while_nobody_calls(worker, watch, caplog):
    watched = watch(worker)
    mended = worker.engine.encode

    def broken(*_, **__):
        raise RuntimeError("out of order")

    worker.engine.encode = broken
    assert told(watched) == [NOT_SERVING] * len(SERVICES)
    worker.engine.encode = mended
    assert told(watched) == [SERVING] * len(SERVICES)
    assert "not ready: a probe failed: RuntimeError('out of order')" in caplog.text


def test_another_version_that_answers_makes_it_ready_again(worker, watch):
    watched = watch(worker)

    def broken(*_, **__):
        raise RuntimeError("out of order")

    worker.engine.encode = broken
    assert told(watched) == [NOT_SERVING] * len(SERVICES)
    swap(worker, "debug1")
    assert told(watched) == [SERVING] * len(SERVICES)


def test_an_idle_worker_tries_itself_and_goes_on_serving(worker, watch):
    watched = watch(worker)
    wait_until(lambda: passes(worker) >= 8)
    assert worker.engine.passes == [1] * len(worker.engine.passes)
    assert all(each.said_nothing_more() for each in watched)
    # Nobody has asked for these sentences.
    counted = worker.worker.metrics.samples()
    assert not [name for name, _ in counted if name == "twinhead_sentences_total"]


def test_one_callers_poison_does_not_stop_it_from_serving(worker, watch):
    watched = watch(worker)
    worker.engine.fail_on = "w13"
    with Client(worker.target) as client:
        # The only caller, of whose calls none succeeds.
        while passes(worker) < 8:
            with pytest.raises(WorkerFailedError):
                client.infer(["w13"])
    assert all(each.said_nothing_more() for each in watched)


def test_a_full_queue_does_not_keep_it_from_trying_itself(start_debug_worker, watch):
    worker = start_debug_worker(stall_seconds=1, queue_tokens=3)
    watched = watch(worker)
    gate = Gate(worker.engine)
    with Client(worker.target) as client, ThreadPoolExecutor(2) as pool:
        callers = [pool.submit(client.infer, ["w1"])]
        gate.entered.wait(30)
        callers.append(pool.submit(client.infer, ["w1"]))
        wait_until(lambda: worker.worker._queue.tokens >= 3)
        assert told(watched) == [NOT_SERVING] * len(SERVICES)
        gate.open.set()
        assert told(watched) == [SERVING] * len(SERVICES)
        for caller in callers:
            assert len(caller.result(30)) == 1


def test_a_worker_that_drains_is_not_ready_again(worker, watch):
    watched = watch(worker)
    assert worker.drain()
    assert told(watched) == [NOT_SERVING] * len(SERVICES)
    assert all(each.said_nothing_more() for each in watched)


def test_a_worker_that_hangs_can_be_drained(start_debug_worker, watch):
    worker = start_debug_worker(stall_seconds=1, drain_seconds=1)
    watched = watch(worker)
    gate = Gate(worker.engine)
    with Client(worker.target) as client, ThreadPoolExecutor(1) as pool:
        caller = pool.submit(client.infer, ["w1"])
        assert told(watched) == [NOT_SERVING] * len(SERVICES)
        assert not worker.drain()
        with pytest.raises(WorkerUnavailableError):
            caller.result(30)
    gate.open.set()
