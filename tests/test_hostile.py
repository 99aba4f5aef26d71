"""Whatever is sent to a worker, it gives the right status, and then a good answer."""

import collections
import itertools
from concurrent.futures import ThreadPoolExecutor

import grpc
import hostile
import numpy as np
import pytest
from conftest import wait_until
from twinhead.client import AdminClient, Client
from twinhead.v1 import inference_service_pb2 as pb

GOOD = ["The match was a delight.", "Shares fell two percent on Monday.", "漢字 😀"]
REQUESTS = 1200
THREADS = 3
CONNECTIONS = 150


@pytest.fixture(scope="module")
def known(starter_worker) -> np.ndarray:
    with Client(starter_worker.target) as client:
        return client.infer(GOOD).embeddings


def assert_well(worker, known: np.ndarray) -> None:
    """It lives, answers right, and has come to rest."""
    assert worker.process.poll() is None
    with Client(worker.target) as client:
        np.testing.assert_allclose(client.infer(GOOD).embeddings, known, atol=1e-5)
    with AdminClient(worker.admin_target) as admin:
        wait_until(lambda: admin.status().calls == 0)
        assert admin.status().queue_tokens == 0
    assert "Traceback" not in worker.log.read_text()


def send(target: str, number: int) -> list[str]:
    """A part of the requests; what was answered otherwise than it should have been."""
    wrong = []
    part = itertools.islice(hostile.requests(seed=number), REQUESTS // THREADS)
    with grpc.insecure_channel(target) as channel:
        infer = channel.unary_unary(hostile.METHOD)
        for each in part:
            try:
                answer, code = infer(each.data, timeout=120), "OK"
            except grpc.RpcError as error:
                answer, code = None, error.code().name
            if code not in each.expected:
                wrong.append(f"{each.kind}: {code} and not {set(each.expected)}; {each.data[:80]}")
            elif answer is not None and each.sentences:
                statuses = pb.InferResponse.FromString(answer).statuses
                if len(statuses) != each.sentences:
                    wrong.append(f"{each.kind}: {len(statuses)} rows and not {each.sentences}")
    return wrong


def test_generated_requests(starter_worker, known):
    with ThreadPoolExecutor(THREADS) as pool:
        wrong = pool.map(send, [starter_worker.target] * THREADS, range(THREADS))
        assert list(itertools.chain(*wrong)) == []
    assert_well(starter_worker, known)


def test_every_kind_is_generated():
    many = itertools.islice(hostile.requests(seed=1), 20_000)
    assert len(collections.Counter(each.kind for each in many)) == len(hostile._KINDS)


def test_batches_on_a_stream_fail_in_band(starter_worker, known):
    sent = []

    def batches():
        for number, each in enumerate(itertools.islice(hostile.requests(seed=99), 300)):
            try:
                request = pb.InferRequest.FromString(each.data)
            except Exception:  # what is no message ends the stream: see test_gate.py
                continue
            if each.kind == "too large":
                continue
            sent.append((str(number), each.expected))
            yield pb.StreamInferRequest(batch_id=str(number), request=request).SerializeToString()

    with grpc.insecure_channel(starter_worker.target) as channel:
        stream = channel.stream_stream("/twinhead.v1.InferenceService/StreamInfer")
        answers = {}
        for data in stream(batches()):
            answer = pb.StreamInferResponse.FromString(data)
            code = answer.error.code
            answers[answer.batch_id] = next(
                each.name for each in grpc.StatusCode if each.value[0] == code
            )
    assert len(answers) == len(sent)
    for batch_id, expected in sent:
        assert answers[batch_id] in expected, batch_id
    assert_well(starter_worker, known)


def test_bytes_that_are_no_calls(starter_worker, known):
    with ThreadPoolExecutor(20) as pool:
        for kind, data in itertools.islice(hostile.raw_connections(seed=5), CONNECTIONS):
            pool.submit(hostile.attack, starter_worker.target, data).add_done_callback(
                lambda done, kind=kind: done.result()
            )
    assert_well(starter_worker, known)
    for port in (starter_worker.admin_target,):
        for _, data in itertools.islice(hostile.raw_connections(seed=6), 20):
            hostile.attack(port, data, seconds=0.05)
    assert_well(starter_worker, known)
