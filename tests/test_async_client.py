"""The asyncio client is the blocking one's twin."""

import asyncio
import threading

import numpy as np
import pytest
from conftest import DebugWorker
from debug_model import expected_embedding
from held_engine import HeldEngine
from test_client import recording, swap, tries_in_vain
from twinhead.client import (
    AsyncClient,
    Client,
    InferOptions,
    InvalidRequestError,
    WorkerTimeoutError,
    WorkerUnavailableError,
)


async def test_both_clients_give_the_same(starter_worker):
    sentences = ["A lovely evening.", "", "The index lost two percent."]
    with Client(starter_worker.target) as blocking:
        expected, model = blocking.infer(sentences), blocking.model()
    async with AsyncClient(starter_worker.target) as client:
        got = await client.infer(sentences)
        assert await client.model() == model
    assert got.embeddings.tolist() == expected.embeddings.tolist()
    assert got["topic"].labels == expected["topic"].labels
    assert got.statuses == expected.statuses


async def test_many_calls_at_once(starter_worker):
    async with AsyncClient(starter_worker.target) as client:
        options = InferOptions(embedding=None)
        results = await asyncio.gather(
            *(client.infer([f"Caller {n} asks."] * (n + 1), options) for n in range(20))
        )
    assert [len(result) for result in results] == list(range(1, 21))


async def test_a_stream(debug_worker):
    async with AsyncClient(debug_worker.target) as client:
        batches = [[f"w{n}"] * (n + 1) for n in range(30)]
        results = [result async for result in client.infer_stream(batches, in_flight=3)]
        expected = [await client.infer(batch) for batch in batches]
    for got, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(got.embeddings, wanted.embeddings, rtol=1e-6)


async def test_a_stream_of_what_comes_asynchronously(debug_worker):
    answered = asyncio.Event()

    async def batches():
        yield ["w1", "w2"]
        await answered.wait()  # nothing else would end it
        yield ("w3",)
        yield np.array(["w4"] * 3)

    seen = []
    async with AsyncClient(debug_worker.target) as client:
        async for result in client.infer_stream(batches()):
            seen.append(len(result))
            answered.set()
    assert seen == [2, 1, 3]


# What a stream leaves behind.


def others() -> set[asyncio.Task]:
    """All tasks of the loop but that of the test."""
    return asyncio.all_tasks() - {asyncio.current_task()}


async def all_is_over(worker: DebugWorker) -> None:
    """Neither task nor thread is left of a stream, nor its call at the worker."""
    while others():
        await asyncio.wait(others())
    assert not [each for each in threading.enumerate() if each.name == "twinhead-stream"]
    assert await asyncio.to_thread(worker.run, worker.worker._gate.inference.idle(20))


async def consume(stream, take) -> None:
    async for result in stream:
        take(result)


async def endless():
    while True:
        await asyncio.sleep(0)
        yield ["w1"]


async def stuck(ended: list[bool]):
    """A batch, and then nothing for ever."""
    yield ["w1"]
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(True)


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("plain", [True, False])
async def test_a_stream_that_is_left_early_ends(debug_worker, plain, closed):
    async with AsyncClient(debug_worker.target) as client:
        stream = client.infer_stream(iter(lambda: ["w1"], None) if plain else endless())
        async for _ in stream:
            break
        if closed:
            await stream.aclose()
        del stream  # the loop closes what nobody has any more
        await all_is_over(debug_worker)
        assert len(await client.infer(["w2"])) == 1


async def test_a_stream_is_left_while_its_source_waits(debug_worker):
    ended = []
    async with AsyncClient(debug_worker.target) as client:
        async for _ in client.infer_stream(stuck(ended)):
            break
        await all_is_over(debug_worker)
    assert ended == [True]


@pytest.mark.parametrize("many", [True, False])
async def test_a_stream_is_cancelled_while_the_worker_is_stuck(debug_worker, many):
    held = HeldEngine(debug_worker)
    ended = []

    async def sentences():
        async for (sentence,) in stuck(ended):
            yield sentence

    seen = []
    async with AsyncClient(debug_worker.target) as client:
        stream = (
            client.infer_many(sentences(), batch_size=1)
            if many
            else client.infer_stream(stuck(ended))
        )
        consumer = asyncio.create_task(consume(stream, seen.append))
        assert await asyncio.to_thread(held.reached.wait, 30)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        assert (ended, seen) == ([True], [])
        while others():
            await asyncio.wait(others())
        held.release()
        await all_is_over(debug_worker)


async def test_nothing_is_left_when_the_source_raises(debug_worker):
    async def batches():
        yield ["w1"]
        raise LookupError("row 3 is broken")

    seen = []
    async with AsyncClient(debug_worker.target) as client:
        with pytest.raises(LookupError, match="row 3"):
            await consume(client.infer_stream(batches()), seen.append)
        await all_is_over(debug_worker)
    assert len(seen) == 1


async def test_nothing_is_left_when_the_consumer_raises(debug_worker):
    def refuse(_):
        raise LookupError("not what was wanted")

    async with AsyncClient(debug_worker.target) as client:
        with pytest.raises(LookupError, match="not what"):
            await consume(client.infer_stream(endless()), refuse)
        await all_is_over(debug_worker)


async def test_a_stream_goes_on_with_a_worker_that_is_started_anew(start_debug_worker):
    """A batch that comes while there is no worker is not lost, and the source is read once."""
    first = start_debug_worker()
    replaced = asyncio.Event()
    read = []

    async def batches():
        for number in range(6):
            read.append(number)
            if number == 3:
                await replaced.wait()
            yield [f"w{number}"]

    seen = []
    async with AsyncClient(first.target) as client:
        async for result in client.infer_stream(batches(), in_flight=2):
            seen.append(result)
            if len(seen) == 3:
                await asyncio.to_thread(first.drain)
                await asyncio.to_thread(start_debug_worker, port=first.worker.port)
                replaced.set()
    assert read == [0, 1, 2, 3, 4, 5]
    for number, result in enumerate(seen):
        np.testing.assert_allclose(result.embeddings, [expected_embedding(f"w{number}")], rtol=2e-5)
    assert len(seen) == 6


async def test_many_streams_at_once(debug_worker):
    async with AsyncClient(debug_worker.target) as client:

        async def lengths(number: int) -> list[int]:
            batches = [["w1"] * (1 + number + n % 3) for n in range(20)]
            return [len(result) async for result in client.infer_stream(batches, in_flight=2)]

        seen = await asyncio.gather(*(lengths(number) for number in range(10)))
    assert seen == [[1 + number + n % 3 for n in range(20)] for number in range(10)]


async def test_errors_are_the_same(debug_worker):
    async with AsyncClient(debug_worker.target) as client:
        with pytest.raises(InvalidRequestError):
            await client.infer([])
        debug_worker.engine.seconds_per_pass = 2.0
        with pytest.raises(WorkerTimeoutError):
            await client.infer(["w1"], timeout=0.2)
    async with AsyncClient("localhost:1") as client:
        with pytest.raises(WorkerUnavailableError):
            await client.model()


@pytest.mark.parametrize("reached_by", ["infer", "model"])
async def test_a_call_waits_for_a_worker_that_went_away(
    start_debug_worker, monkeypatch, reached_by
):
    tried = tries_in_vain(monkeypatch)
    first = start_debug_worker()
    async with AsyncClient(first.target) as client:
        await (client.infer(["w1"]) if reached_by == "infer" else client.model())
        await asyncio.to_thread(first.drain)
        waiting = asyncio.create_task(client.infer(["w7"]))
        assert await asyncio.to_thread(tried.wait, 60)
        assert not waiting.done()
        await asyncio.to_thread(start_debug_worker, port=first.worker.port)
        np.testing.assert_allclose(
            (await waiting).embeddings, [expected_embedding("w7")], rtol=2e-5
        )


async def test_a_call_does_not_wait_for_a_worker_that_was_never_there():
    async with AsyncClient("localhost:1", timeout=None) as client:
        # It would not end.
        with pytest.raises(WorkerUnavailableError, match="twinhead serve"):
            await client.infer(["Hm."], reconnect_seconds=1e9)


async def test_a_call_gives_up_when_the_worker_stays_away(start_debug_worker):
    worker = start_debug_worker()
    async with AsyncClient(worker.target, timeout=None) as client:
        await client.infer(["w1"])
        await asyncio.to_thread(worker.drain)
        for seconds in (0, 0.5):
            with pytest.raises(WorkerUnavailableError):
                await client.infer(["w1"], reconnect_seconds=seconds)


async def test_the_id_of_a_call_goes_with_it():
    with recording(unavailable=1) as (target, seen):
        async with AsyncClient(target, token="a-token") as client:
            await client.infer(["Hm."], request_id="mine")
            await client.infer(["Hm."])
            with pytest.raises(ValueError, match="128 printable ASCII characters"):
                await client.infer(["Hm."], request_id="not mine")
    assert [each.get("x-request-id") for each in seen] == ["mine", "mine", None]
    assert [each["authorization"] for each in seen] == ["Bearer a-token"] * 3


async def test_watching_tells_the_live_model_and_then_each_swap(debug_worker):
    async with AsyncClient(debug_worker.target) as client:
        seen = client.watch()
        assert await anext(seen) == await client.model()
        for number in range(1, 4):
            swap(debug_worker, f"debug{number}")
        versions = [(await anext(seen)).version for _ in range(3)]
        assert versions == ["debug1", "debug2", "debug3"]
        # The next is waited for, and others go on meanwhile.
        waiting = asyncio.ensure_future(anext(seen))
        assert len(await client.infer(["w1"])) == 1
        assert not waiting.done()
        swap(debug_worker, "debug4")
        assert (await waiting).version == "debug4"
        await seen.aclose()


async def test_watching_ends_with_an_error_when_the_worker_drains(start_debug_worker):
    worker = start_debug_worker()
    async with AsyncClient(worker.target) as client:
        seen = client.watch()
        await anext(seen)
        assert await asyncio.to_thread(worker.drain)
        with pytest.raises(WorkerUnavailableError, match="draining"):
            await anext(seen)
    async with AsyncClient("localhost:1") as client:
        with pytest.raises(WorkerUnavailableError):
            await anext(client.watch())
