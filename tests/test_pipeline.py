"""The way of a request through a worker: its sentences, its passes, its limits."""

import dataclasses
import random
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from conftest import wait_until
from debug_model import check_rows, debug_model
from twinhead.client import Client, InferOptions, WorkerFailedError
from twinhead.model.config import ModelConfig, TaskConfig
from twinhead.server.pipeline import max_sentences
from twinhead.server.settings import WorkerSettings
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub


def words(rng: random.Random, most: int = 30) -> str:
    return " ".join(f"w{rng.randrange(4996)}" for _ in range(rng.randint(1, most)))


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
