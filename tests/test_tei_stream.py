"""Streams of `tei.v1`: order, gathering, bounds, and how they end."""

import asyncio
import dataclasses
import gc
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import torch
from conftest import DebugWorker, wait_until
from debug_model import MAX_TOKENS, DebugEncoder, debug_model, expected_embedding
from held_engine import HeldEngine
from tei_calls import refused, stubs
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.network import Network
from twinhead.protocols import tei_service_pb2 as tei
from twinhead.server.errors import InvalidRequestError
from twinhead.server.live_model import LiveModel, Serving
from twinhead.server.settings import WorkerSettings
from twinhead.server.tei_embed import EmbedQuestion
from twinhead.server.tei_stream import TextStream

BATCH = 128
IN_WORKER = 4 * BATCH + BATCH  # in batches, and in the inbox


@pytest.fixture
def worker(start_debug_worker) -> DebugWorker:
    return start_debug_worker(tei=True)


def asked(*texts: str, **fields) -> list[tei.EmbedRequest]:
    return [tei.EmbedRequest(inputs=text, **{"normalize": False} | fields) for text in texts]


def check(texts, answers):
    expected = [expected_embedding(text) for text in texts]
    given = [answer.embeddings for answer in answers]
    np.testing.assert_allclose(given, expected, rtol=2e-5, atol=1e-9)


def test_answers_come_in_the_order_of_the_texts(worker):
    rng = random.Random(1)
    texts = [f"w{n} " + "w1 " * rng.randrange(MAX_TOKENS - 3) for n in range(1500)]
    with stubs(worker.target) as call:
        answers = list(call.embed.EmbedStream(iter(asked(*texts))))
    check(texts, answers)
    assert [answer.metadata.compute_chars for answer in answers] == [len(text) for text in texts]
    assert sum(worker.engine.passes) == len(texts)
    assert len(worker.engine.passes) < len(texts) / 2  # they shared passes


def test_a_lone_text_does_not_wait_for_others(worker):
    go = threading.Semaphore(1)

    def one_by_one() -> Iterator[tei.EmbedRequest]:
        for request in asked(*(f"w{n}" for n in range(20))):
            go.acquire()
            yield request

    with stubs(worker.target) as call:
        for answer in call.embed.EmbedStream(one_by_one()):
            assert answer.embeddings
            go.release()
    assert worker.engine.passes == [1] * 20


def test_texts_that_come_meanwhile_go_together(worker):
    held = HeldEngine(worker)
    requests = asked(*(f"w{n}" for n in range(IN_WORKER)))
    read = 0

    def counted() -> Iterator[tei.EmbedRequest]:
        nonlocal read
        for read, request in enumerate(requests, 1):
            yield request
            if read == 1:  # so that the others meet a worker that is busy
                held.reached.wait(30)

    with stubs(worker.target) as call:
        stream = call.embed.EmbedStream(counted())
        wait_until(lambda: read == len(requests))
        held.release()
        assert len(list(stream)) == len(requests)
    jobs = worker.worker.metrics.samples()["twinhead_request_seconds_count", ("bulk",)]
    assert jobs < len(requests) / 8


def test_texts_that_are_asked_otherwise_keep_their_own_answers(worker):
    texts = [f"w{n} w{n + 1}" for n in range(400)]
    options = [{}, {"normalize": True}, {"dimensions": 2}, {"truncate": True}]
    requests = [asked(text, **options[n % 7 % 4])[0] for n, text in enumerate(texts)]
    with stubs(worker.target) as call:
        answers = list(call.embed.EmbedStream(iter(requests)))
    for text, request, answer in zip(texts, requests, answers, strict=True):
        expected = expected_embedding(text)[: request.dimensions or None]
        if request.normalize:
            expected /= np.linalg.norm(expected)
        np.testing.assert_allclose(answer.embeddings, expected, rtol=2e-5)


def received(stream) -> tuple[list[tei.EmbedResponse], grpc.RpcError | None]:
    """What came before a stream's end, and its error."""
    answers = []
    try:
        for answer in stream:
            answers.append(answer)
    except grpc.RpcError as error:
        return answers, error
    return answers, None


@pytest.mark.parametrize("place", [0, 1, 127, 128, 300])
@pytest.mark.parametrize(
    "bad",
    [
        tei.EmbedRequest().SerializeToString(),
        tei.EmbedRequest(inputs="w1", prompt_name="x").SerializeToString(),
        tei.EmbedRequest(inputs="w1", dimensions=9).SerializeToString(),
        tei.EmbedRequest(inputs="w1 " * MAX_TOKENS).SerializeToString(),
        b"\x0a\x02\xff\xfe",
    ],
)
def test_the_first_text_without_an_answer_ends_the_stream(worker, place, bad):
    texts = [f"w{n}" for n in range(place)]
    good = [request.SerializeToString() for request in asked(*texts)]
    with grpc.insecure_channel(worker.target) as channel:
        call = channel.stream_stream(
            "/tei.v1.Embed/EmbedStream", response_deserializer=tei.EmbedResponse.FromString
        )
        answers, error = received(call(iter([*good, bad, b"", *good])))
    if texts:
        check(texts, answers)
    assert len(answers) == place
    assert error is not None
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_pass_that_fails_ends_the_stream_at_its_text(worker, caplog):
    worker.engine.fail_on = "w13"
    with stubs(worker.target) as call:
        code, reason, _ = refused(
            lambda: list(call.embed.EmbedStream(iter(asked(*(f"w{n}" for n in range(300))))))
        )
        assert (code, reason) == ("INTERNAL", "INTERNAL_ERROR")
        worker.engine.fail_on = None
        check(["w13"], call.embed.EmbedStream(iter(asked("w13"))))
    assert worker.run(worker.worker._gate.inference.idle(30))
    assert "never retrieved" not in caplog.text


def test_a_full_worker_reads_no_further(start_debug_worker):
    worker = start_debug_worker(tei=True, queue_tokens=40)
    held = HeldEngine(worker)
    sent = 0

    def requests() -> Iterator[tei.EmbedRequest]:
        nonlocal sent
        for request in asked(*["w7 " * 38] * 500):
            sent += 1
            yield request

    with stubs(worker.target) as call, ThreadPoolExecutor(1) as pool:
        answers = pool.submit(lambda: list(call.embed.EmbedStream(requests())))
        held.reached.wait(30)
        wait_until(lambda: worker.worker._queue._waiters)
        assert worker.worker._queue.tokens <= 40
        held.release()
        check(["w7 " * 38] * 500, answers.result(60))
    assert sent == 500


class WideEncoder(DebugEncoder):
    """Makes answers of 16 KB."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return super().forward(input_ids, attention_mask).repeat(1, 1, 1024)


def wide_model(*_: object) -> LiveModel:
    narrow = debug_model()
    network = Network(narrow.config.model_copy(update={"tasks": ()}), WideEncoder(), 4096)
    checkpoint = Checkpoint.create(network, narrow.tokenizer)
    return LiveModel.of(checkpoint, type(narrow.engine)(network))


def test_a_slow_reader_holds_a_bounded_number_of_answers():
    worker = DebugWorker(load=wide_model, tei=True)
    sent = 0

    def requests() -> Iterator[tei.EmbedRequest]:
        nonlocal sent
        for request in asked(*["w1" + " " * 1000] * 20_000):  # 20 MB, and 330 MB of answers
            sent += 1
            yield request

    try:
        with stubs(worker.target) as call:
            stream = call.embed.EmbedStream(requests())
            next(stream)  # and then no more is read
            before = -1
            while before != sum(worker.engine.passes):
                before = sum(worker.engine.passes)
                threading.Event().wait(1.0)  # long enough for an unbounded worker to go on
            # What was encoded beyond the bound is in gRPC's own, bounded, buffers on the way back.
            assert before < 2000
            assert sent < 20_000
            stream.cancel()
        assert worker.run(worker.worker._gate.inference.idle(30))
    finally:
        worker.close()


async def test_an_abandoned_stream_leaves_no_work_behind(worker):
    held = HeldEngine(worker)

    async def requests():
        for number, request in enumerate(asked(*["w2"] * 100)):
            yield request
            if not number:  # else the first pass may take more than one
                await asyncio.to_thread(held.reached.wait, 30)
        await asyncio.Event().wait()

    async with grpc.aio.insecure_channel(worker.target) as channel:
        call = channel.stream_stream(
            "/tei.v1.Embed/EmbedStream", tei.EmbedRequest.SerializeToString
        )(requests())
        await asyncio.to_thread(wait_until, lambda: worker.worker._queue.tokens > 0)
        call.cancel()
        await asyncio.to_thread(wait_until, lambda: worker.worker._queue.tokens == 0)
    held.release()
    # The call is over before its pass is, which nobody waits for any more.
    await asyncio.to_thread(wait_until, lambda: bool(worker.engine.passes))
    assert worker.run(worker.worker._gate.inference.idle(30))
    assert sum(worker.engine.passes) == 1


def test_when_the_worker_drains_what_it_has_taken_is_answered_and_the_stream_ends(worker):
    held = HeldEngine(worker)
    over = threading.Event()

    def requests() -> Iterator[tei.EmbedRequest]:
        yield from asked(*(f"w{n}" for n in range(50)))
        over.wait(60)

    with stubs(worker.target) as call, ThreadPoolExecutor(2) as pool:
        ended = pool.submit(lambda: received(call.embed.EmbedStream(requests())))
        held.reached.wait(30)
        wait_until(lambda: worker.worker._queue.tokens > 0)
        drained = pool.submit(worker.drain)
        wait_until(worker.worker._serving.draining.is_set)
        held.release()
        answers, error = ended.result(30)
        assert drained.result(30)
        over.set()
    assert 2 <= len(answers) <= 50
    check([f"w{n}" for n in range(len(answers))], answers)
    assert error is not None
    assert (error.code(), error.details()) == (
        grpc.StatusCode.UNAVAILABLE,
        "the worker is draining",
    )


class OddPipeline:
    """Answers the first text when the second has failed and the third will never be done."""

    settings = WorkerSettings()

    def __init__(self) -> None:
        self.serving = Serving()
        self.discarded: list[str] = []
        self._failed = asyncio.Event()

    async def answer(self, text: str) -> None:
        if text == "second":
            self._failed.set()
            raise RuntimeError("a pass failed")
        await self._failed.wait()
        if text == "third":
            await asyncio.Event().wait()

    def discard(self, text: str) -> None:
        self.discarded.append(text)


@dataclasses.dataclass(frozen=True)
class OddQuestion:
    """No two go together, and none has an answer."""

    number: int

    async def accept(self, pipeline: OddPipeline, texts: list[str], *, wait: bool) -> str:
        return texts[0]

    def answers(self, accepted: str, characters: list[int]) -> Iterator[None]:
        raise InvalidRequestError([("inputs", "no answer")])


async def test_a_stream_that_ends_early_gives_up_what_it_has_in_the_worker():
    pipeline, unheard = OddPipeline(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: unheard.append(told))

    async def texts():
        for number, text in enumerate(("first", "second", "third")):
            yield text, number
        await asyncio.Event().wait()

    stream = TextStream(pipeline, lambda asked: (asked[0], OddQuestion(asked[1])))
    with pytest.raises(InvalidRequestError, match="no answer"):
        await stream.answer(texts(), None)
    assert pipeline.discarded == ["first", "second", "third"]
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)
    del stream, others
    gc.collect()
    assert not unheard


async def test_the_end_of_a_huge_text_is_not_kept(worker):
    pipeline = worker.worker._pipeline
    question = EmbedQuestion(truncate=True, left=False, normalize=False, dimensions=None)
    stream = TextStream(pipeline, lambda text: (text, question))

    async def texts():
        yield "w1 " * 1_000_000

    await stream._fill_inbox(texts())
    kept = stream._inbox.get_nowait()
    assert len(kept.text) == pipeline.settings.characters_per_sentence + 1
    assert kept.characters == 3_000_000


def test_a_worker_with_fewer_batches_for_a_stream_still_answers_all(start_debug_worker):
    worker = start_debug_worker(tei=True, batches_per_stream=1)
    texts = [f"w{n}" for n in range(500)]
    with stubs(worker.target) as call:
        check(texts, call.embed.EmbedStream(iter(asked(*texts))))


def test_a_stream_without_texts_ends_well(worker):
    with stubs(worker.target) as call:
        assert list(call.embed.EmbedStream(iter([]))) == []
