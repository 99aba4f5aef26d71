"""The blocking client against real workers: results, streams, reconnecting, errors."""

import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from conftest import DebugWorker, wait_until
from debug_model import debug_model, expected_embedding
from twinhead.client import (
    Client,
    InferOptions,
    InvalidRequestError,
    TwinheadError,
    VersionNotLiveError,
    WorkerFailedError,
    WorkerTimeoutError,
    WorkerUnavailableError,
)
from twinhead.client.patience import Patience
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import (
    InferenceServiceServicer,
    add_InferenceServiceServicer_to_server,
)


def test_infer_returns_typed_arrays(starter_client):
    result = starter_client.infer(["The striker scored twice.", "Shares fell sharply on Monday."])
    assert result.embeddings.shape == (2, 384)
    assert result.embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(result.embeddings, axis=1), 1, rtol=1e-5)
    topic = result["topic"]
    assert topic.labels == ["Sports", "Business"]
    assert topic.logits.shape == (2, 4)
    assert topic.scores.dtype == np.float32
    assert all(0 < score <= 1 for score in topic.scores)
    assert [status.code for status in result.statuses] == ["ok", "ok"]
    assert len(result) == 2
    assert result.timing.encode > 0


def test_options_reach_the_worker(starter_client):
    result = starter_client.infer(
        ["One.", "two " * 400],
        InferOptions(tasks=["sentiment"], embedding=None, logits=False, truncate=False),
    )
    assert list(result.tasks) == ["sentiment"]
    assert result.embeddings is None
    assert result["sentiment"].logits is None
    assert [status.code for status in result.statuses] == ["ok", "too_long"]


def test_a_pinned_version(starter_client):
    version = starter_client.model().version
    assert (
        starter_client.infer(["Hm."], InferOptions(model_version=version)).model_version == version
    )
    with pytest.raises(VersionNotLiveError, match="not served"):
        starter_client.infer(["Hm."], InferOptions(model_version="0" * 16))


def test_a_refused_request_names_its_fields(starter_client):
    with pytest.raises(InvalidRequestError) as caught:
        starter_client.infer(["Hm."], InferOptions(tasks=["mood"], dimensions=1000))
    assert [field for field, _ in caught.value.violations] == [
        "outputs.tasks[0]",
        "outputs.embedding.dimensions",
    ]
    assert "mood" in str(caught.value)


def test_an_oversized_message_is_told(starter_client):
    with pytest.raises(InvalidRequestError, match="too large"):
        starter_client.infer(["x" * 17_000_000])


def test_one_string_is_not_taken_for_a_list_of_letters(starter_client):
    with pytest.raises(TypeError, match="list of strings"):
        starter_client.infer("Hello")


def test_a_deadline(debug_worker):
    debug_worker.engine.seconds_per_pass = 2.0
    with Client(debug_worker.target) as client:
        with pytest.raises(WorkerTimeoutError, match="in time"):
            client.infer(["w1"], timeout=0.2)


def test_nobody_listens():
    with Client("localhost:1", timeout=30) as client:
        with pytest.raises(WorkerUnavailableError, match="twinhead serve"):
            client.infer(["Hm."])


def test_something_else_listens():
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with Client(f"127.0.0.1:{server.server_port}", timeout=5) as client:
            with pytest.raises(TwinheadError) as caught:
                client.infer(["Hm."])
        assert str(server.server_port) in str(caught.value)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_another_grpc_server_is_no_worker():
    server = grpc.server(ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"127.0.0.1:{port}") as client:
        with pytest.raises(WorkerFailedError, match="no Twinhead worker"):
            client.model()
    server.stop(None).wait()


def batches(count: int) -> list[list[str]]:
    return [[f"w{n}", f"w{n} w{n + 1}"] * (1 + n % 5) for n in range(count)]


def check(sent: list[list[str]], results: list) -> None:
    assert len(results) == len(sent)
    for batch, result in zip(sent, results, strict=True):
        expected = np.array([expected_embedding(sentence) for sentence in batch])
        np.testing.assert_allclose(result.embeddings, expected, rtol=2e-5, atol=1e-9)


def test_a_stream_answers_in_the_order_of_the_batches(debug_worker):
    sent = batches(100)
    with Client(debug_worker.target) as client:
        check(sent, list(client.infer_stream(sent, in_flight=5)))
        assert list(client.infer_stream([])) == []


def test_a_stream_never_has_more_in_flight_than_said(debug_worker):
    given_out = 0
    most = 0

    def source():
        nonlocal most
        for number, batch in enumerate(batches(60)):
            most = max(most, number - given_out)
            yield batch

    with Client(debug_worker.target) as client:
        for _ in client.infer_stream(source(), in_flight=4):
            given_out += 1
    assert 1 <= most <= 4


def test_a_batch_that_fails_has_its_error_in_its_place(debug_worker):
    debug_worker.engine.fail_on = "w13"
    with Client(debug_worker.target) as client:
        # One at a time, so that no other batch shares the pass that fails.
        results = list(client.infer_stream([["w1"], [], ["w13"], ["w2"]], in_flight=1))
    assert [type(result).__name__ for result in results] == [
        "InferResult",
        "InvalidRequestError",
        "WorkerFailedError",
        "InferResult",
    ]


def test_what_the_source_raises_comes_after_the_answers_before_it(debug_worker):
    def source():
        yield ["w1"]
        yield ["w2"]
        raise LookupError("row 3 is broken")

    results = []
    with Client(debug_worker.target) as client, pytest.raises(LookupError, match="row 3"):
        results.extend(client.infer_stream(source()))
    check([["w1"], ["w2"]], results)


def test_in_flight_must_be_possible(debug_worker):
    with Client(debug_worker.target) as client, pytest.raises(ValueError, match="1 or more"):
        list(client.infer_stream([["w1"]], in_flight=0))


@pytest.mark.parametrize("known_end", [True, False])
def test_a_stream_that_is_answered_ends_well_although_the_worker_goes(
    start_debug_worker, known_end
):
    worker = start_debug_worker()
    given = threading.Event()
    release = threading.Event()

    def source():
        yield ["w1"]
        yield ["w2"]
        if not known_end:  # the worker goes before the client knows that there is no more
            given.set()
            release.wait(30)

    with Client(worker.target) as client:
        results = client.infer_stream(source(), reconnect_seconds=5)
        seen = [next(results), next(results)]
        if not known_end:
            given.wait(30)
        worker.drain()
        release.set()
        seen.extend(results)
    check([["w1"], ["w2"]], seen)


@pytest.mark.long
def test_time_between_answers_is_no_time_without_a_worker(start_worker):
    worker = start_worker()
    with Client(worker.target) as client:
        stream = client.infer_stream(iter(lambda: ["Slow reader."], None), reconnect_seconds=60)
        next(stream)
        threading.Event().wait(1.0)  # the caller is slow; then the worker is replaced
        worker.kill()
        start_worker(port=worker.port)
        for _ in range(20):
            assert next(stream)["topic"].labels
        stream.close()


def all_is_over(worker: DebugWorker) -> None:
    """No thread is left of a stream, nor its call at the worker."""
    for thread in threading.enumerate():
        if thread.name == "twinhead-stream":
            thread.join(30)
            assert not thread.is_alive()
    assert worker.run(worker.worker._gate.inference.idle(20))


def grpc_threads() -> set[threading.Thread]:
    """Those that write requests, among others."""
    return {thread for thread in threading.enumerate() if thread.name.endswith("(_run)")}


@pytest.mark.parametrize("closed", [True, False])
def test_a_stream_that_is_left_early_ends(debug_worker, closed):
    with Client(debug_worker.target) as client:
        stream = client.infer_stream(iter(lambda: ["w1"], None), in_flight=3)
        for _ in stream:
            break
        if closed:
            stream.close()
        del stream
        all_is_over(debug_worker)
        assert len(client.infer(["w2"])) == 1


def test_a_stream_is_left_while_its_source_waits(debug_worker):
    release, asked = threading.Event(), []

    def source():
        yield ["w1"]
        release.wait(120)
        yield ["w2"]
        asked.append("for more")

    before = grpc_threads()
    with Client(debug_worker.target) as client:
        for _ in range(20):  # to find the writing thread wherever it is
            for _ in client.infer_stream(source()):
                assert grpc_threads() - before
                break
        wait_until(lambda: not grpc_threads() - before)
    release.set()
    all_is_over(debug_worker)
    assert asked == []


def test_a_stream_takes_no_asynchronous_source(debug_worker):
    async def source():
        yield "w1"

    with Client(debug_worker.target) as client:
        for method in (client.infer_stream, client.infer_many):
            with pytest.raises(TypeError, match="is for AsyncClient"):
                method(source())


def test_a_stream_survives_a_worker_that_is_killed_and_replaced(start_worker):
    first = start_worker()
    sent = [[f"Sentence {n} of {row}." for row in range(20)] for n in range(60)]
    seen = []
    with Client(first.target) as client:
        for result in client.infer_stream(sent, InferOptions(embedding=None), reconnect_seconds=60):
            seen.append(result)
            if len(seen) == 10:
                first.kill()
                start_worker(port=first.port)
        expected = [client.infer(batch, InferOptions(embedding=None)) for batch in sent]
    assert len(seen) == 60
    for got, wanted in zip(seen, expected, strict=True):
        assert got["topic"].labels == wanted["topic"].labels
        np.testing.assert_allclose(got["topic"].logits, wanted["topic"].logits, atol=1e-4)


def test_a_stream_gives_up_when_the_worker_stays_away(start_worker):
    worker = start_worker()
    with Client(worker.target) as client:
        stream = client.infer_stream(iter(lambda: ["Once more."], None), reconnect_seconds=0.5)
        next(stream)
        worker.kill()
        with pytest.raises(WorkerUnavailableError):
            for _ in stream:
                pass


# Calls that outlive a worker.


def tries_in_vain(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a call has found no worker, and decides whether to try again."""
    event = threading.Event()
    decide = Patience.waits_for

    def waits_for(self: Patience, failure: TwinheadError) -> bool:
        event.set()
        return decide(self, failure)

    monkeypatch.setattr(Patience, "waits_for", waits_for)
    return event


@pytest.mark.parametrize("reached_by", ["infer", "model"])
def test_a_call_waits_for_a_worker_that_went_away(start_debug_worker, monkeypatch, reached_by):
    tried = tries_in_vain(monkeypatch)
    first = start_debug_worker()
    with Client(first.target) as client, ThreadPoolExecutor(1) as pool:
        if reached_by == "infer":
            client.infer(["w1"])
        else:
            client.model()
        first.drain()
        waiting = pool.submit(client.infer, ["w7"], timeout=None)
        assert tried.wait(60)
        assert not waiting.done()
        start_debug_worker(port=first.worker.port)
        check([["w7"]], [waiting.result(60)])


def test_a_call_does_not_wait_for_a_worker_that_was_never_there():
    with Client("localhost:1", timeout=None) as client:
        # It would not end.
        with pytest.raises(WorkerUnavailableError, match="twinhead serve"):
            client.infer(["Hm."], reconnect_seconds=1e9)


def test_a_call_gives_up_when_the_worker_stays_away(start_debug_worker):
    worker = start_debug_worker()
    with Client(worker.target, timeout=None) as client:
        client.infer(["w1"])
        worker.drain()
        for seconds in (0, 0.5):
            with pytest.raises(WorkerUnavailableError):
                client.infer(["w1"], reconnect_seconds=seconds)


def test_a_call_that_waits_ends_with_its_time(start_debug_worker):
    worker = start_debug_worker()
    with Client(worker.target) as client:
        client.infer(["w1"])
        worker.drain()
        with pytest.raises((WorkerUnavailableError, WorkerTimeoutError)):
            client.infer(["w1"], timeout=1.0, reconnect_seconds=1e9)


def test_only_a_worker_that_is_away_is_waited_for(debug_worker):
    debug_worker.engine.fail_on = "w13"
    with Client(debug_worker.target, timeout=None) as client:
        client.infer(["w1"])
        for sentences, error in ((["w13"], WorkerFailedError), ([], InvalidRequestError)):
            with pytest.raises(error):
                client.infer(sentences, reconnect_seconds=1e9)


# Ids of calls.


@contextmanager
def recording(unavailable: int = 0) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Something that answers calls, the first of them so that they are repeated; its headers."""
    seen: list[dict[str, str]] = []

    class Recording(InferenceServiceServicer):
        def Infer(self, request, context):
            seen.append(dict(context.invocation_metadata()))
            if len(seen) <= unavailable:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
            return pb.InferResponse(model_version="v")

    server = grpc.server(ThreadPoolExecutor(2))
    add_InferenceServiceServicer_to_server(Recording(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", seen
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("request_id", ["a", "!~", "x" * 128, "4bf92f35-77b3:1/2"])
def test_the_id_of_a_call_goes_with_it(request_id):
    with recording() as (target, seen), Client(target, token="a-token") as client:
        client.infer(["Hm."], request_id=request_id)
        client.infer(["Hm."])
    assert [each.get("x-request-id") for each in seen] == [request_id, None]
    # Beside what goes with each.
    assert [each["authorization"] for each in seen] == ["Bearer a-token"] * 2


def test_a_call_that_is_repeated_keeps_its_id():
    with recording(unavailable=2) as (target, seen), Client(target) as client:
        client.infer(["Hm."], request_id="mine")
    assert [each["x-request-id"] for each in seen] == ["mine"] * 3


@pytest.mark.parametrize("request_id", ["x" * 129, "a b", " a", "a\n", "é", "\x7f", "a\0"])
def test_what_can_be_no_id_is_not_sent(request_id):
    with recording() as (target, seen), Client(target) as client:
        with pytest.raises(ValueError, match="128 printable ASCII characters"):
            client.infer(["Hm."], request_id=request_id)
    assert seen == []


def swap(worker: DebugWorker, version: str) -> None:
    """Put another version into service."""

    async def publish() -> None:
        worker.worker._serving.publish(debug_model(version))

    worker.run(publish())


def test_watching_tells_the_live_model_and_then_each_swap(debug_worker):
    with Client(debug_worker.target) as client:
        seen = client.watch()
        first = next(seen)
        assert first == client.model()
        assert first.version == "debug0"
        for number in range(1, 4):
            swap(debug_worker, f"debug{number}")
        # One for each, also for those that are over when it is read.
        assert [next(seen).version for _ in range(3)] == ["debug1", "debug2", "debug3"]
        swap(debug_worker, "debug4")
        assert next(seen) == client.model()
        seen.close()


def test_who_watches_later_is_told_what_is_live_then(debug_worker):
    swap(debug_worker, "debug1")
    with Client(debug_worker.target) as client:
        seen = client.watch()
        assert next(seen).version == "debug1"
        swap(debug_worker, "debug2")
        assert next(seen).version == "debug2"
        seen.close()


def test_watching_ends_with_an_error_when_the_worker_drains(start_debug_worker):
    worker = start_debug_worker()
    with Client(worker.target) as client:
        seen = client.watch()
        next(seen)
        # Whoever watches does not hold the worker up: all that it has accepted is finished.
        assert worker.drain()
        with pytest.raises(WorkerUnavailableError, match="draining"):
            next(seen)


def test_nobody_is_there_to_watch():
    with Client("localhost:1") as client:
        with pytest.raises(WorkerUnavailableError, match="twinhead serve"):
            next(client.watch())


def test_a_repeatable_answer_is_the_same_to_the_bit_whatever_else_is_computed(starter_client):
    texts = [("a word " * (1 + number * 7 % 40)).strip() for number in range(90)]
    others = [("other text " * (1 + number * 3 % 30)).strip() for number in range(64)]
    wanted = InferOptions(repeatable=True)
    quiet = starter_client.infer(texts, wanted)
    load = starter_client.infer_stream(others for _ in range(8))
    next(load)
    for result in [starter_client.infer(texts, wanted) for _ in range(3)]:
        np.testing.assert_array_equal(result.embeddings, quiet.embeddings)
        for task in quiet.tasks:
            np.testing.assert_array_equal(result[task].logits, quiet[task].logits)
    assert len(list(load)) == 7
