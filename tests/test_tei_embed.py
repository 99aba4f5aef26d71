"""Vectors by `tei.v1.Embed`: bytes on the wire, values, and what is refused."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
from conftest import wait_until
from debug_model import DIMENSIONS, MAX_TOKENS, expected_embedding
from held_engine import HeldEngine
from tei_calls import LENGTH, VARINT, floats, parsed, raw, refused, stubs
from twinhead.client import Client, InferOptions
from twinhead.protocols import tei_service_pb2 as tei

EMBED = "/tei.v1.Embed/Embed"
TOO_LONG = " ".join(["w1"] * MAX_TOKENS)  # and two special tokens


@pytest.fixture
def worker(start_debug_worker):
    return start_debug_worker(tei=True)


def test_the_bytes_are_those_of_text_embeddings_inference(worker):
    # inputs = 1, truncate = 2, normalize = 3, truncation_direction = 4, prompt_name = 5,
    # dimensions = 6
    request = b"\x0a\x05w7 w8\x10\x01\x18\x00\x20\x01\x2a\x00\x30\x03"
    with grpc.insecure_channel(worker.target) as channel:
        (number, kind, vector), (metadata_number, _, metadata) = parsed(
            raw(channel, EMBED, request)
        )
    assert (number, kind, metadata_number) == (1, LENGTH, 2)
    np.testing.assert_allclose(floats(vector), expected_embedding("w7 w8")[:3], rtol=2e-5)
    took = {number: value for number, kind, value in parsed(metadata) if kind == VARINT}
    assert took.keys() >= {1, 2, 3, 4, 6}  # the time in the queue may be 0, which is not sent
    assert took[1] == len("w7 w8")
    assert took[2] == len(["[CLS]", "w7", "w8", "[SEP]"])
    assert took[3] >= took[4]


@pytest.mark.parametrize("normalize", [None, True, False])
@pytest.mark.parametrize("dimensions", [None, 1, DIMENSIONS])
def test_vectors_are_those_of_our_own_calls(worker, normalize, dimensions):
    request = tei.EmbedRequest(inputs="w5 w600 w7", normalize=normalize, dimensions=dimensions)
    options = InferOptions(tasks=(), normalize=normalize is not False, dimensions=dimensions)
    with stubs(worker.target) as call, Client(worker.target) as client:
        answer = call.embed.Embed(request)
        own = client.infer(["w5 w600 w7"], options)
    np.testing.assert_array_equal(np.array(answer.embeddings, np.float32), own.embeddings[0])
    unit = math.isclose(np.linalg.norm(answer.embeddings), 1, rel_tol=1e-5)
    assert unit == (normalize is not False)
    assert worker.engine.tasks == [set(), set()]  # no head runs that nobody asked for


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"inputs": ""}, "inputs"),
        ({"inputs": " \t\n"}, "inputs"),
        ({"inputs": TOO_LONG}, "inputs"),
        ({"inputs": TOO_LONG, "truncation_direction": 1}, "inputs"),
        ({"inputs": TOO_LONG, "truncate": True, "truncation_direction": 1}, "inputs"),
        ({"inputs": "w1", "truncation_direction": 2}, "truncation_direction"),
        ({"inputs": "w1", "truncation_direction": -1}, "truncation_direction"),
        ({"inputs": "w1", "dimensions": 0}, "dimensions"),
        ({"inputs": "w1", "dimensions": DIMENSIONS + 1}, "dimensions"),
        ({"inputs": "w1", "dimensions": 2**32 - 1}, "dimensions"),
        ({"inputs": "w1", "prompt_name": "query"}, "prompt_name"),
    ],
)
def test_what_has_no_answer_is_refused_with_its_field(worker, fields, named):
    request = tei.EmbedRequest(**fields)
    wanted = ("INVALID_ARGUMENT", "INVALID_REQUEST", [named])
    with stubs(worker.target) as call:
        assert refused(lambda: call.embed.Embed(request)) == wanted
        assert refused(lambda: list(call.embed.EmbedStream(iter([request])))) == wanted
    assert worker.engine.passes == []


def test_a_text_that_is_too_long_is_cut_at_its_end_when_asked_for(worker):
    request = tei.EmbedRequest(inputs=TOO_LONG, truncate=True, normalize=False)
    with stubs(worker.target) as call:
        answer = call.embed.Embed(request)
    np.testing.assert_allclose(answer.embeddings, expected_embedding(TOO_LONG), rtol=2e-5)
    assert answer.metadata.compute_tokens == MAX_TOKENS
    assert answer.metadata.compute_chars == len(TOO_LONG)


def test_a_text_that_fits_may_say_that_its_beginning_is_to_be_cut(worker):
    request = tei.EmbedRequest(
        inputs="w1", truncate=True, truncation_direction=tei.TRUNCATION_DIRECTION_LEFT
    )
    with stubs(worker.target) as call:
        assert len(call.embed.Embed(request).embeddings) == DIMENSIONS


@pytest.mark.parametrize("method", ["Embed", "EmbedStream"])
def test_bytes_that_are_no_message_are_refused(worker, method):
    with grpc.insecure_channel(worker.target) as channel:
        call = channel.stream_stream(f"/tei.v1.Embed/{method}")
        wanted = ("INVALID_ARGUMENT", "INVALID_REQUEST", [""])
        assert refused(lambda: list(call(iter([b"\x0a\x02\xff\xfe"])))) == wanted


@pytest.mark.parametrize("method", ["Embed", "EmbedStream"])
def test_a_message_over_the_limit_is_refused_by_the_transport(start_debug_worker, method):
    worker = start_debug_worker(tei=True, request_bytes=1024)
    with grpc.insecure_channel(worker.target) as channel:
        call = channel.stream_stream(f"/tei.v1.Embed/{method}")
        with pytest.raises(grpc.RpcError) as caught:
            list(call(iter([bytes(2048)])))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_full_worker_refuses_single_texts(start_debug_worker):
    worker = start_debug_worker(tei=True, queue_tokens=1)
    held = HeldEngine(worker)
    with stubs(worker.target) as call, ThreadPoolExecutor(2) as pool:
        running = pool.submit(call.embed.Embed, tei.EmbedRequest(inputs="w1"))
        held.reached.wait(30)
        queued = pool.submit(call.embed.Embed, tei.EmbedRequest(inputs="w2"))
        wait_until(lambda: worker.worker._queue.tokens > 0)
        code, reason, _ = refused(lambda: call.embed.Embed(tei.EmbedRequest(inputs="w3")))
        assert (code, reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
        held.release()
        assert running.result(30).embeddings
        assert queued.result(30).embeddings


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_a_text_whose_caller_left_is_never_encoded(worker, how):
    held = HeldEngine(worker)
    with stubs(worker.target) as call:
        running = call.embed.Embed.future(tei.EmbedRequest(inputs="w1"))
        held.reached.wait(30)
        timeout = 0.3 if how == "deadline" else None
        left = call.embed.Embed.future(tei.EmbedRequest(inputs="w2"), timeout=timeout)
        wait_until(lambda: worker.worker._queue.tokens > 0)
        if how == "cancel":
            left.cancel()
        wait_until(lambda: worker.worker._queue.tokens == 0)
        held.release()
        assert running.result(30).embeddings
        code = grpc.StatusCode.DEADLINE_EXCEEDED if how == "deadline" else grpc.StatusCode.CANCELLED
        assert left.code() is code
    assert worker.engine.passes == [1]


def test_a_draining_worker_answers_what_it_has_and_takes_no_more(worker):
    held = HeldEngine(worker)
    with stubs(worker.target) as call:
        running = call.embed.Embed.future(tei.EmbedRequest(inputs="w1"))
        held.reached.wait(30)
        draining = threading.Thread(target=worker.drain)
        draining.start()
        wait_until(worker.worker._serving.draining.is_set)
        code, reason, _ = refused(lambda: call.embed.Embed(tei.EmbedRequest(inputs="w2")))
        assert (code, reason) == ("UNAVAILABLE", "DRAINING")
        held.release()
        assert running.result(30).embeddings
        draining.join(30)
