"""The asyncio client is the blocking one's twin."""

import asyncio

import numpy as np
import pytest
from test_client import swap
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


async def test_a_stream_that_is_left_early_ends(debug_worker):
    async with AsyncClient(debug_worker.target) as client:
        stream = client.infer_stream(iter(lambda: ["w1"], None))
        async for _ in stream:
            break
        await stream.aclose()
    assert debug_worker.run(debug_worker.worker._inference.idle(20))


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
