"""What both clients do, tried with each of them."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count, islice

import grpc
import numpy as np
import pytest
from debug_model import DIMENSIONS, expected_embedding
from held_engine import HeldEngine
from test_client import swap, tries_in_vain
from text_answers import embedding, respond
from twinhead.client import (
    AsyncClient,
    Client,
    InferOptions,
    UnansweredSentencesError,
    VersionNotLiveError,
    WorkerFailedError,
    WorkerTimeoutError,
)
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import model_service_pb2
from twinhead.v1.inference_service_pb2_grpc import (
    InferenceServiceServicer,
    add_InferenceServiceServicer_to_server,
)
from twinhead.v1.model_service_pb2_grpc import (
    ModelServiceServicer,
    add_ModelServiceServicer_to_server,
)


class Twin:
    """One of the clients, used in the way of the blocking one."""

    def __init__(self, kind: str, target: str) -> None:
        self._client = Client(target) if kind == "blocking" else AsyncClient(target)

    def call(self, name: str, *args: object, **options: object):
        made = getattr(self._client, name)(*args, **options)
        return asyncio.run(made) if inspect.iscoroutine(made) else made

    def collect(self, into: list, name: str, *args: object, **options: object) -> None:
        """Append what a stream gives, up to its end or its error."""
        made = getattr(self._client, name)(*args, **options)
        if inspect.isasyncgen(made):

            async def collect() -> None:
                async for each in made:
                    into.append(each)

            asyncio.run(collect())
        else:
            for each in made:
                into.append(each)


@pytest.fixture(params=["blocking", "asyncio"])
def kind(request) -> str:
    return request.param


@pytest.fixture
def twin(kind, debug_worker) -> Twin:
    return Twin(kind, debug_worker.target)


def words(number: int) -> list[str]:
    return [f"w{n} w{n % 7}" for n in range(number)]


def expected(sentences: list[str]) -> np.ndarray:
    return np.array([expected_embedding(sentence) for sentence in sentences])


# Embeddings as one array.


@pytest.mark.parametrize("number", [1, 10, 11, 95])
def test_all_embeddings_are_one_array_in_their_order(twin, number):
    vectors = twin.call("embed", words(number), batch_size=10)
    assert (vectors.dtype, vectors.shape) == (np.float32, (number, DIMENSIONS))
    np.testing.assert_allclose(vectors, expected(words(number)), rtol=2e-5)


@pytest.mark.parametrize("number", [5, 95])
def test_embeddings_can_be_scaled_and_cut(twin, number):
    cut = twin.call("embed", words(number), dimensions=2, batch_size=10)
    np.testing.assert_allclose(cut, expected(words(number))[:, :2], rtol=2e-5)
    scaled = twin.call("embed", words(number), normalize=True, batch_size=10)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 1, rtol=1e-5)


def test_no_sentence_has_an_array_without_rows(twin):
    assert twin.call("embed", []).shape == (0, DIMENSIONS)
    assert twin.call("embed", (), dimensions=3).shape == (0, 3)


@pytest.mark.parametrize("batch_size", [1000, 10])
def test_rows_without_an_embedding_are_named(twin, batch_size):
    sentences = words(95)
    sentences[42] = " "
    with pytest.raises(UnansweredSentencesError, match=r"row 42 \(the sentence is empty\)"):
        twin.call("embed", sentences, batch_size=batch_size)
    vectors = twin.call("embed", sentences, batch_size=batch_size, unanswered="zeros")
    assert vectors[42].tolist() == [0] * DIMENSIONS
    others = np.arange(95) != 42
    np.testing.assert_allclose(vectors[others], expected(words(95))[others], rtol=2e-5)


def test_over_long_sentences_are_cut_or_refused(twin):
    sentences = ["w1", "w2 " * 100]
    assert twin.call("embed", sentences).shape == (2, DIMENSIONS)
    with pytest.raises(UnansweredSentencesError) as caught:
        twin.call("embed", sentences, truncate=False)
    assert list(caught.value.rows) == [1]


def test_embeddings_of_a_pinned_version(twin):
    np.testing.assert_allclose(
        twin.call("embed", ["w1"], model_version="debug0"), expected(["w1"]), rtol=2e-5
    )
    for number in (1, 95):
        with pytest.raises(VersionNotLiveError):
            twin.call("embed", words(number), model_version="debug9")


def test_embeddings_outlive_another_version_that_goes_live(twin, debug_worker):
    held = HeldEngine(debug_worker)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(twin.call, "embed", words(95), batch_size=5)
        assert held.reached.wait(30)
        swap(debug_worker, "debug1")
        held.release()
        np.testing.assert_allclose(waiting.result(60), expected(words(95)), rtol=2e-5)
    assert twin.call("model").version == "debug1"


@contextmanager
def two_versions() -> Iterator[tuple[str, list[str]]]:
    """A worker whose live version changes with each request; which version is asked for."""
    asked: list[str] = []

    class Inference(InferenceServiceServicer):
        def Infer(self, request, context):
            asked.append(request.model_version)
            return respond(request.sentences)

        def StreamInfer(self, requests, context):
            for each in requests:
                answer = self.Infer(each.request, context)
                yield pb.StreamInferResponse(batch_id=each.batch_id, response=answer)

    class Models(ModelServiceServicer):
        def GetModel(self, request, context):
            return model_service_pb2.GetModelResponse(model_version="v7")

    server = grpc.server(ThreadPoolExecutor(4))
    add_InferenceServiceServicer_to_server(Inference(), server)
    add_ModelServiceServicer_to_server(Models(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", asked
    finally:
        server.stop(None).wait()


def test_all_rows_of_an_array_are_of_one_version(kind):
    with two_versions() as (target, asked):
        vectors = Twin(kind, target).call("embed", ["a", "b", "c"], batch_size=1)
        assert vectors.tolist() == [embedding(text) for text in "abc"]
        assert asked == ["v7"] * 3
        asked.clear()
        Twin(kind, target).call("embed", ["a", "b", "c"], batch_size=2, model_version="mine")
        assert asked == ["mine"] * 2
        asked.clear()
        Twin(kind, target).call("embed", ["a"])  # one request is of one version anyway
        assert asked == [""]


# Any number of sentences.


def test_any_number_of_sentences_is_answered_in_batches(twin):
    results = []
    twin.collect(results, "infer_many", words(95), batch_size=10)
    assert [len(result) for result in results] == [10] * 9 + [5]
    np.testing.assert_allclose(
        np.concatenate([result.embeddings for result in results]), expected(words(95)), rtol=2e-5
    )
    only = []
    twin.collect(only, "infer_many", ["w1"], InferOptions(tasks=["size"], embedding=None))
    assert [list(result.tasks) for result in only] == [["size"]]
    none = []
    twin.collect(none, "infer_many", [])
    assert none == []


def test_the_answers_before_a_failure_are_given_out(twin, debug_worker):
    debug_worker.engine.fail_on = "w13"
    results = []
    with pytest.raises(WorkerFailedError):
        twin.collect(results, "infer_many", ["w1", "w2", "w13", "w4"], batch_size=1, in_flight=1)
    assert len(results) == 2


def test_what_the_source_raises_comes_after_the_answers_before_it(twin):
    def source():
        yield from words(25)
        raise LookupError("row 26 is broken")

    results = []
    with pytest.raises(LookupError, match="row 26"):
        twin.collect(results, "infer_many", source(), batch_size=10)
    assert [len(result) for result in results] == [10, 10]


def test_what_is_no_sentence_is_told_with_its_row(twin):
    results = []
    with pytest.raises(TypeError, match=r"^row 25 is no string but None"):
        twin.collect(results, "infer_many", [*words(25), None], batch_size=10)
    assert [len(result) for result in results] == [10, 10]
    with pytest.raises(TypeError, match=r"^row 25 is no string but None"):
        twin.call("embed", [*words(25), None], batch_size=10)


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"in_flight": 0}])
def test_batches_must_be_possible(twin, wrong):
    with pytest.raises(ValueError, match="must be 1 or more"):
        twin.collect([], "infer_many", ["w1"], **wrong)


# Calls with one answer.


def test_a_timeout_of_zero_is_one(twin, debug_worker):
    held = HeldEngine(debug_worker)  # else the answer may come before gRPC looks at the clock
    try:
        with pytest.raises(WorkerTimeoutError):
            twin.call("infer", ["w1"], timeout=0)
    finally:
        held.release()


def test_who_asks_for_the_model_waits_for_a_worker_that_went_away(
    kind, start_debug_worker, monkeypatch
):
    tried = tries_in_vain(monkeypatch)
    first = start_debug_worker()
    twin = Twin(kind, first.target)
    twin.call("infer", ["w1"])
    first.drain()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(twin.call, "model")
        assert tried.wait(60)
        start_debug_worker(port=first.worker.port)
        assert waiting.result(60).version == "debug0"


# Streams without an end, each in its own client's way.


def endless(read: list[int]) -> Iterator[str]:
    for number in count():
        read.append(number)
        yield f"w{number % 100}"


def check_first(results: list, read: list[int]) -> None:
    assert [len(result) for result in results] == [4] * 5
    wanted = expected([f"w{number}" for number in range(20)])
    np.testing.assert_allclose(
        np.concatenate([result.embeddings for result in results]), wanted, rtol=2e-5
    )
    # Those given out, and three batches on their way.
    assert len(read) <= 20 + 3 * 4


def test_a_source_without_an_end_is_read_as_its_answers_are(debug_worker):
    read: list[int] = []
    with Client(debug_worker.target) as client:
        results = client.infer_many(endless(read), batch_size=4, in_flight=3)
        check_first(list(islice(results, 5)), read)
        results.close()


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_source_without_an_end_is_read_as_its_answers_are_in_asyncio(
    debug_worker, asynchronous
):
    read: list[int] = []

    async def asynchronously():
        for sentence in endless(read):
            await asyncio.sleep(0)
            yield sentence

    source = asynchronously() if asynchronous else endless(read)
    async with AsyncClient(debug_worker.target) as client:
        results = client.infer_many(source, batch_size=4, in_flight=3)
        check_first([await anext(results) for _ in range(5)], read)
        await results.aclose()


def test_answers_do_not_wait_for_a_source_that_does(debug_worker):
    answered = threading.Event()

    def source():
        yield "w1"
        assert answered.wait(30)
        yield "w2"

    with Client(debug_worker.target) as client:
        for _ in client.infer_many(source(), batch_size=1):
            answered.set()
