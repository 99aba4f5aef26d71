"""The live model, followed through swaps, refusals and an end."""

import asyncio
import contextlib
import json

import pytest
from conftest import wait_until
from test_client import swap
from twinhead.client import AsyncClient, WorkerUnavailableError
from twinhead.client.web import web_model
from twinhead.client.web.web_board import Board
from twinhead.client.web.web_model import LiveModel


@contextlib.asynccontextmanager
async def following(target, **access):
    """A model that is followed, and the board's news as they come."""
    board = Board()
    async with AsyncClient(target, **access) as client:
        live = LiveModel(client, board)
        task = asyncio.create_task(live.follow())
        async with contextlib.aclosing(board.read()) as reader:
            yield live, reader
        task.cancel()


async def until(reader, section, condition):
    """The first value of a section that fulfils a condition."""
    async with asyncio.timeout(30):
        async for name, text in reader:
            if name == section and condition(value := json.loads(text)):
                return value
    raise AssertionError("the board was closed")


async def test_each_version_is_told(debug_worker):
    async with following(debug_worker.target) as (live, reader):
        model = await until(reader, "model", lambda model: True)
        assert model["version"] == "debug0"
        assert model["tasks"] == [
            {"name": "parity", "kind": "single_label", "labels": 2},
            {"name": "size", "kind": "single_label", "labels": 3},
        ]
        assert (model["dimensions"], model["tokens"]) == (4, 64)
        assert model["sentences"] == 1000
        waiting = asyncio.create_task(live.change("debug0"))
        await asyncio.to_thread(swap, debug_worker, "debug1")
        assert (await until(reader, "model", lambda model: True))["version"] == "debug1"
        assert (await waiting).version == (await live.current()).version == "debug1"
        assert (await live.change("debug0")).version == "debug1"


async def test_a_worker_that_takes_less_says_so(start_debug_worker):
    worker = start_debug_worker(sentences_per_request=7)
    async with following(worker.target) as (_, reader):
        assert (await until(reader, "model", lambda model: True))["sentences"] == 7


async def test_a_worker_that_goes_and_comes_back(start_debug_worker):
    first = start_debug_worker()
    async with following(first.target) as (live, reader):
        await until(reader, "worker", lambda worker: worker["ready"])
        port = first.worker.port
        await asyncio.to_thread(first.drain)
        gone = await until(reader, "worker", lambda worker: not worker["ready"])
        assert gone["address"] == first.target
        assert gone["message"]
        await asyncio.to_thread(start_debug_worker, port=port)
        await until(reader, "worker", lambda worker: worker["ready"])
        assert (await live.ask()).version == "debug0"


async def test_nobody_there(free_port):
    target = f"localhost:{free_port}"
    async with following(target) as (live, reader):
        away = await until(reader, "worker", lambda worker: worker["message"])
        assert "no worker answers" in away["message"]
        with pytest.raises(WorkerUnavailableError):
            await live.current()


async def test_a_worker_that_refuses_is_not_bothered(start_debug_worker, tmp_path, monkeypatch):
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-for-inference infer\n")
    worker = start_debug_worker(token_file=str(tokens))
    pauses = []
    monkeypatch.setattr(web_model, "_REFUSED_SECONDS", 0.125)
    monkeypatch.setattr(web_model.asyncio, "sleep", recorded(pauses))
    async with following(worker.target) as (_, reader):
        refused = await until(reader, "worker", lambda worker: worker["message"])
        assert "token" in refused["message"]
        await asyncio.to_thread(wait_until, lambda: pauses)
    assert pauses[:1] == [0.125]
    async with following(worker.target, token="a-token-for-inference") as (_, reader):
        await until(reader, "worker", lambda worker: worker["ready"])


def recorded(pauses):
    sleep = asyncio.sleep

    async def slept(seconds):
        pauses.append(seconds)
        await sleep(seconds)

    return slept
