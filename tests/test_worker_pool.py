"""Requests shared out among workers: who gets them, and what becomes of those of a lost one."""

import contextlib
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
from conftest import ROOT, DebugWorker, wait_until
from debug_model import debug_model, expected_embedding
from echo_worker import Echo
from held_engine import HeldEngine
from twinhead.client import (
    Client,
    InvalidRequestError,
    VersionNotLiveError,
    WorkerFailedError,
    WorkerUnavailableError,
)
from twinhead.client.channel import Access
from twinhead.client.errors import AccessDeniedError
from twinhead.client.labelling import worker_pool as worker_pool_module
from twinhead.client.labelling.label_plan import LabelRequest
from twinhead.client.labelling.worker_pool import PoolAnswer, WorkerPool
from twinhead.client.requests import InferOptions
from twinhead.client.results import read_result
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import add_InferenceServiceServicer_to_server

ROWS = 4  # of each request
TOKEN = "correct-horse-battery-staple"


def requests(count: int, first: int = 0) -> list[LabelRequest]:
    """Requests whose sentences are all different."""
    return [
        LabelRequest(number, [f"w{number} w{place}" for place in range(ROWS)], ROWS)
        for number in range(first, first + count)
    ]


def targets_of(*workers) -> list[str]:
    return [worker.target for worker in workers]


@contextlib.contextmanager
def started(
    targets: Sequence[str], options: InferOptions | None = None, **settings
) -> Iterator[WorkerPool]:
    with WorkerPool(targets, Access(), **settings) as pool:
        pool.start(options or InferOptions())
        yield pool


def take(pool: WorkerPool, count: int) -> dict[int, PoolAnswer]:
    """The next answers, by number; none comes twice."""
    answers = [pool.take() for _ in range(count)]
    by_number = {answer.request.number: answer for answer in answers}
    assert len(by_number) == count
    return by_number


def answer_all(pool: WorkerPool, wanted: Sequence[LabelRequest]) -> dict[int, PoolAnswer]:
    for request in wanted:
        pool.put(request)
    answers = take(pool, len(wanted))
    assert pool.unanswered == 0
    return answers


def check(answers: dict[int, PoolAnswer], wanted: Sequence[LabelRequest]) -> None:
    """Each request has an answer, and its own."""
    assert sorted(answers) == [request.number for request in wanted]
    for answer in answers.values():
        assert answer.error is None
        expected = np.stack([expected_embedding(text) for text in answer.request.texts])
        np.testing.assert_allclose(read_result(answer.response).embeddings, expected, atol=1e-5)


def encoded(worker: DebugWorker) -> int:
    """Sentences that a worker has encoded."""
    return sum(worker.engine.passes)


@pytest.fixture
def two_workers(start_debug_worker) -> list[DebugWorker]:
    return [start_debug_worker(), start_debug_worker()]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def hold() -> Iterator[Callable[[DebugWorker], HeldEngine]]:
    """Hold the engine of a worker; it is let go with the test, at the latest."""
    held: list[HeldEngine] = []

    def start(worker: DebugWorker) -> HeldEngine:
        held.append(HeldEngine(worker))
        return held[-1]

    yield start
    for each in held:
        each.release()


@pytest.fixture
def slow(two_workers):
    """Two workers that take a while for each pass, so that both get some."""
    for worker in two_workers:
        worker.engine.seconds_per_pass = 0.01
    return two_workers


@pytest.fixture
def quick(monkeypatch) -> None:
    """What is overdue is sent again soon."""
    monkeypatch.setattr(worker_pool_module, "_OVERDUE_SECONDS", 0.1)
    monkeypatch.setattr(worker_pool_module, "_WINDOW_SECONDS", 0.1)


# Answers.


def test_each_request_gets_its_own_answer(debug_worker):
    wanted = requests(40)
    with started([debug_worker.target], streams=2) as pool:
        check(answer_all(pool, wanted), wanted)
    assert encoded(debug_worker) == 40 * ROWS


def test_two_workers_share_the_work_and_nothing_is_done_twice(slow):
    wanted = requests(80)
    with started(targets_of(*slow)) as pool:
        check(answer_all(pool, wanted), wanted)
    each = [encoded(worker) for worker in slow]
    assert sum(each) == 80 * ROWS
    assert min(each) > 0


def test_the_quicker_worker_does_more(slow):
    slow[0].engine.seconds_per_pass = 0.1
    wanted = requests(60)
    with started(targets_of(*slow)) as pool:
        check(answer_all(pool, wanted), wanted)
    assert encoded(slow[1]) > encoded(slow[0])


def test_a_worker_that_is_named_twice_counts_once(debug_worker):
    wanted = requests(3)
    with started([debug_worker.target] * 3) as pool:
        answer_all(pool, wanted)
        assert len([each for each in threading.enumerate() if each.name == "label-stream"]) == 1


def test_streams_to_a_name_find_all_the_workers_behind_it(start_debug_worker):
    workers = [start_debug_worker(), start_debug_worker()]
    for worker in workers:
        worker.engine.seconds_per_pass = 0.02
    places = ",".join(worker.target.replace("localhost", "127.0.0.1") for worker in workers)
    wanted = requests(60)
    with Client(f"ipv4:{places}") as client:  # as all clients, it takes the first
        client.infer(["w1"])
    assert sorted(encoded(worker) for worker in workers) == [0, 1]
    before = {worker.target: encoded(worker) for worker in workers}
    with started([f"ipv4:{places}"], streams=16) as pool:
        check(answer_all(pool, wanted), wanted)
    assert all(encoded(worker) > before[worker.target] for worker in workers)


# What is on its way.


class ToldEcho(Echo):
    """Answers a request each time that it is told to, and shows what it has read."""

    def __init__(self) -> None:
        self.read: queue.Queue[str] = queue.Queue()
        self.may_answer = threading.Semaphore(0)

    def StreamInfer(self, request_iterator, context):
        requests: queue.Queue[pb.StreamInferRequest] = queue.Queue()

        def read_all():
            with contextlib.suppress(grpc.RpcError):
                for each in request_iterator:
                    requests.put(each)
                    self.read.put(each.batch_id)

        threading.Thread(target=read_all, daemon=True).start()
        context.add_callback(self.may_answer.release)
        while self.may_answer.acquire() and context.is_active():
            yield from super().StreamInfer([requests.get()], context)


@contextlib.contextmanager
def serving(servicer: Echo) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(8))
    add_InferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.mark.parametrize("in_flight", [1, 3])
def test_no_more_is_on_its_way_than_was_allowed(in_flight):
    echo = ToldEcho()
    read: list[str] = []
    with serving(echo) as target, started([target], in_flight=in_flight) as pool:
        for request in requests(12):
            pool.put(request)
        read += [echo.read.get(timeout=30) for _ in range(min(in_flight, 2))]
        for answered in range(1, 13):
            echo.may_answer.release()
            pool.take()
            while len(read) < min(12, answered + 1):  # it goes on
                read.append(echo.read.get(timeout=30))
            while not echo.read.empty():
                read.append(echo.read.get())
            assert len(read) - answered <= in_flight
    assert read == [str(number) for number in range(12)]


def test_it_asks_for_more_before_the_workers_have_nothing_left(debug_worker, hold):
    engine = hold(debug_worker)
    with started([debug_worker.target]) as pool:
        assert pool.hungry
        for request in requests(20):
            pool.put(request)
        assert not pool.hungry
        engine.release()
        take(pool, 20)
        assert pool.hungry


# A worker that is lost.


def test_a_worker_that_drains_loses_only_its_turn(slow):
    told: list[str] = []
    wanted = requests(80)
    with started(targets_of(*slow), tell=told.append) as pool:
        for request in wanted:
            pool.put(request)
        answers = take(pool, 10)
        slow[0].drain()
        check({**answers, **take(pool, 70)}, wanted)
    assert told == [f"the worker at {slow[0].target} is draining; others go on"]


def test_what_a_stuck_worker_has_is_done_by_another(two_workers, hold, quick):
    hold(two_workers[0])
    wanted = requests(20)
    with started(targets_of(*two_workers)) as pool:
        check(answer_all(pool, wanted), wanted)
    assert encoded(two_workers[0]) == 0


def test_the_later_of_two_answers_is_dropped(two_workers, hold, quick):
    engine = hold(two_workers[0])
    wanted = requests(6)
    with started(targets_of(*two_workers)) as pool:
        answers = answer_all(pool, wanted)
        assert engine.reached.is_set()
        engine.release()
        wait_until(lambda: encoded(two_workers[0]) == 2 * ROWS)
        more = requests(6, first=6)
        check({**answers, **answer_all(pool, more)}, [*wanted, *more])


class EchoProcess:
    """A worker that computes nothing, in a process of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        port_file = folder / name
        self.process = subprocess.Popen([sys.executable, ROOT / "bench/echo_worker.py", port_file])
        wait_until(lambda: port_file.exists() and port_file.read_text())
        self.target = f"127.0.0.1:{port_file.read_text()}"


@pytest.fixture
def two_processes(tmp_path) -> Iterator[list[EchoProcess]]:
    processes = [EchoProcess(tmp_path, name) for name in ("one", "other")]
    yield processes
    for each in processes:
        each.process.kill()
        each.process.wait()


def put_while_answering(pool: WorkerPool, count: int, number: int, then: Callable[[], None]):
    """Have `count` requests answered, and do something in the midst of it, after `number`."""
    wanted = requests(count)
    answers: dict[int, PoolAnswer] = {}
    for request in wanted[:number]:
        pool.put(request)
    answers |= take(pool, number // 2)
    then()
    for request in wanted[number:]:
        pool.put(request)
    answers |= take(pool, count - number // 2)
    assert sorted(answers) == list(range(count))
    assert {answer.error for answer in answers.values()} == {None}


def test_a_stopped_process_holds_nobody_up(two_processes, quick):
    stopped = two_processes[0].process
    with started(targets_of(*two_processes)) as pool:
        put_while_answering(pool, 400, 50, lambda: stopped.send_signal(signal.SIGSTOP))
        pool.close()  # ends though the process says nothing
    assert stream_threads() == []


def test_a_killed_process_loses_only_its_turn(two_processes):
    told: list[str] = []
    with started(targets_of(*two_processes), tell=told.append) as pool:
        put_while_answering(pool, 400, 50, two_processes[0].process.kill)
        wait_until(lambda: told)
    assert told[0].endswith("; others go on")


def test_a_worker_that_comes_late_is_used(start_debug_worker, free_port, hold):
    first = start_debug_worker()
    hold(first)
    late = f"localhost:{free_port}"
    told: list[str] = []
    with started([first.target, late], tell=told.append) as pool:
        wait_until(lambda: told)
        for request in requests(8):
            pool.put(request)
        second = start_debug_worker(port=free_port)
        take(pool, 6)  # all but what the first has
        assert encoded(second) == 6 * ROWS
    assert re.match(f"no worker answers at {late} .*; others go on$", told[0])
    assert told[1:] == [f"{late} is back"]


def test_a_worker_that_comes_back_gets_again_what_it_has_not_answered(
    start_debug_worker, free_port
):
    told: list[str] = []
    wanted = requests(40)
    first = start_debug_worker(port=free_port)
    first.engine.seconds_per_pass = 0.02
    with started([first.target], tell=told.append) as pool:
        for request in wanted:
            pool.put(request)
        answers = take(pool, 5)
        first.drain()
        second = start_debug_worker(port=free_port)
        check({**answers, **take(pool, 35)}, wanted)
        assert 0 < encoded(second) < 40 * ROWS
    assert told == [
        f"the worker at {first.target} is draining; trying again",
        f"{first.target} is back",
    ]


def test_it_gives_up_when_all_are_away_for_too_long(two_workers):
    with started(targets_of(*two_workers), reconnect_seconds=0.5) as pool:
        for worker in two_workers:
            worker.drain()
        pool.put(requests(1)[0])
        with pytest.raises(WorkerUnavailableError):
            pool.take()
        with pytest.raises(WorkerUnavailableError):  # and it stays so
            pool.take()


def test_answers_that_came_before_the_end_are_given_out(debug_worker):
    wanted = requests(2)
    with started([debug_worker.target], reconnect_seconds=0) as pool:
        for request in wanted:
            pool.put(request)
        wait_until(lambda: encoded(debug_worker) == 2 * ROWS)
        debug_worker.drain()
        check(take(pool, 2), wanted)


# What a worker cannot do.


def test_what_one_worker_fails_on_another_answers(slow):
    slow[0].engine.fail_on = "w30"
    wanted = requests(60)
    with started(targets_of(*slow)) as pool:
        check(answer_all(pool, wanted), wanted)


def test_a_broken_worker_beside_a_good_one_spoils_nothing(slow):
    slow[0].engine.fail_on = "w1"  # each request has it
    wanted = requests(30)
    with started(targets_of(*slow)) as pool:
        check(answer_all(pool, wanted), wanted)


def test_what_all_workers_fail_on_is_given_up_and_the_rest_answered(slow):
    for worker in slow:
        worker.engine.fail_on = "w30"
    wanted = requests(40)
    with started(targets_of(*slow)) as pool:
        answers = answer_all(pool, wanted)
    failed = answers.pop(30)
    assert isinstance(failed.error, WorkerFailedError)
    assert "internal error, reference" in str(failed.error)
    del wanted[30]
    check(answers, wanted)


def test_what_fails_is_not_kept_for_a_worker_that_is_stuck(two_workers, hold, quick):
    hold(two_workers[0])
    two_workers[1].engine.fail_on = "w9"
    wanted = requests(10)
    with started(targets_of(*two_workers)) as pool:
        answers = answer_all(pool, wanted)
    assert isinstance(answers.pop(9).error, WorkerFailedError)
    check(answers, wanted[:9])


class ShortEcho(Echo):
    """Answers each batch as if it had one sentence less."""

    def StreamInfer(self, request_iterator, context):
        def shorter():
            for each in request_iterator:
                each.request.sentences.pop()
                yield each

        return super().StreamInfer(shorter(), context)


def test_an_answer_to_other_sentences_is_none():
    with serving(ShortEcho()) as target, started([target]) as pool:
        (answer,) = answer_all(pool, requests(1)).values()
    assert str(answer.error) == f"{target} sent 3 answers to 4 sentences"


def test_a_request_that_is_refused_ends_it(start_debug_worker):
    worker = start_debug_worker(sentences_per_request=ROWS - 1)
    with started([worker.target]) as pool:
        pool.put(requests(1)[0])
        with pytest.raises(InvalidRequestError, match="sentences"):
            pool.take()


def test_a_pinned_version_that_is_not_kept_ends_it_with_the_reason(debug_worker):
    told: list[str] = []
    options = InferOptions(model_version="of-yesterday")
    with started([debug_worker.target], options, tell=told.append) as pool:
        pool.put(requests(1)[0])
        with pytest.raises(VersionNotLiveError, match="of-yesterday"):
            pool.take()
    assert told == []


def test_a_pinned_version_that_one_worker_keeps_is_asked_of_that(start_debug_worker):
    other = start_debug_worker(load=lambda *_: debug_model("debug1"))
    keeper = start_debug_worker()
    told: list[str] = []
    wanted = requests(10)
    options = InferOptions(model_version="debug0")
    with started(targets_of(other, keeper), options, tell=told.append) as pool:
        answers = answer_all(pool, wanted)
    check(answers, wanted)
    assert {answer.response.model_version for answer in answers.values()} == {"debug0"}
    assert encoded(other) == 0


# The model.


def test_the_model_is_what_all_serve(two_workers):
    with WorkerPool(targets_of(*two_workers), Access()) as pool:
        assert pool.model().version == "debug0"


def test_different_models_are_refused(start_debug_worker):
    one, other = start_debug_worker(), start_debug_worker(load=lambda *_: debug_model("debug1"))
    with WorkerPool(targets_of(one, other), Access()) as pool:
        with pytest.raises(VersionNotLiveError) as caught:
            pool.model()
    assert "the workers serve different versions" in str(caught.value)
    assert f"{one.target}: debug0" in str(caught.value)
    assert f"{other.target}: debug1" in str(caught.value)


def test_a_worker_that_is_not_there_yet_is_told(debug_worker, free_port):
    told: list[str] = []
    targets = [f"localhost:{free_port}", debug_worker.target]
    with WorkerPool(targets, Access(), tell=told.append) as pool:
        assert pool.model().version == "debug0"
    (line,) = told
    assert line.startswith(f"no worker answers at {targets[0]} (")
    assert line.endswith("; going on without it until it comes")


def test_a_worker_that_says_nothing_is_not_waited_for(debug_worker, monkeypatch):
    monkeypatch.setattr(worker_pool_module, "_MODEL_SECONDS", 0.5)
    told: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls, and says nothing
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with WorkerPool([target, debug_worker.target], Access(), tell=told.append) as pool:
            assert pool.model().version == "debug0"
    assert told == [
        f"the worker at {target} did not answer in time; going on without it until it comes"
    ]


def test_without_any_worker_there_is_no_model(free_port):
    with WorkerPool([f"localhost:{free_port}"], Access()) as pool:
        with pytest.raises(WorkerUnavailableError, match="is it running"):
            pool.model()


@pytest.mark.parametrize("token", ["", "another-token-altogether"])
def test_without_the_token_nobody_gets_in(start_debug_worker, tmp_path, token):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN} infer\n")
    tokens.chmod(0o600)
    worker = start_debug_worker(token_file=str(tokens))
    with WorkerPool([worker.target], Access(token)) as pool:
        with pytest.raises(AccessDeniedError):
            pool.model()
    with WorkerPool([worker.target], Access(TOKEN)) as pool:
        pool.model()
        pool.start(InferOptions())
        wanted = requests(2)
        check(answer_all(pool, wanted), wanted)


# The end.


def stream_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "label-stream"]


def test_it_ends_also_while_workers_hang_or_are_not_there(debug_worker, hold, free_port):
    engine = hold(debug_worker)
    before = set(threading.enumerate())

    def more() -> set[str]:
        new = {each.name for each in threading.enumerate() if each not in before}
        return {name for name in new if not name.startswith("text")}  # the worker's own

    with started([debug_worker.target, f"localhost:{free_port}"], streams=3) as pool:
        for request in requests(30):
            pool.put(request)
        assert engine.reached.wait(30)
        assert len(stream_threads()) == 6
    assert stream_threads() == []
    # Those of gRPC that read the requests end by themselves, soon.
    wait_until(lambda: not more())
    wait_until(lambda: not debug_worker.worker._gate.inference.count)


def test_a_pool_that_was_never_started_closes(debug_worker):
    with WorkerPool([debug_worker.target], Access()):
        pass
    assert stream_threads() == []


def test_streams_begin_anew_now_and_then_and_lose_nothing(debug_worker, monkeypatch):
    monkeypatch.setattr(worker_pool_module, "_STREAM_SECONDS", 0.05)
    debug_worker.engine.seconds_per_pass = 0.01
    told: list[str] = []
    wanted = requests(150)
    with started([debug_worker.target], tell=told.append, streams=5) as pool:
        check(answer_all(pool, wanted), wanted)
        assert all(stream.generation > 2 for stream in pool._streams)
    assert told == []
    assert encoded(debug_worker) == 150 * ROWS
