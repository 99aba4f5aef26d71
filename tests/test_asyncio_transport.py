"""Connections of event loops, and what becomes of calls that are under way."""

import asyncio

import pytest
from held_engine import HeldEngine
from twinhead.client import AsyncClient
from twinhead.client.asyncio_transport import AsyncioMailbox, BackgroundTask

CLOSED = "^the client is closed; make another one$"


def test_a_client_is_made_before_there_is_a_loop_and_used_in_several(starter_worker):
    client = AsyncClient(starter_worker.target)
    for _ in range(3):
        result = asyncio.run(client.infer(["The striker scored twice."]))
        assert result["topic"].labels == ["Sports"]
        assert len(client._connection._stubs) == 1  # that of a loop that is closed goes
    asyncio.run(client.close())


async def test_closing_ends_a_call_that_is_under_way(debug_worker):
    held = HeldEngine(debug_worker)
    client = AsyncClient(debug_worker.target)
    calls = [asyncio.create_task(client.infer([f"w{number}"])) for number in range(3)]
    assert await asyncio.to_thread(held.reached.wait, 30)
    await client.close()
    for call in calls:  # and nobody takes it for a cancelled task
        with pytest.raises(RuntimeError, match=CLOSED):
            await call
    held.release()


async def test_closing_ends_streams_that_are_under_way(debug_worker):
    client = AsyncClient(debug_worker.target)
    watching = client.watch()
    await anext(watching)
    held = HeldEngine(debug_worker)
    waiting = [
        asyncio.create_task(anext(client.infer_stream([["w1"], ["w2"]]))),
        asyncio.create_task(anext(watching)),
    ]
    assert await asyncio.to_thread(held.reached.wait, 30)
    await client.close()
    for each in waiting:
        with pytest.raises(RuntimeError, match=CLOSED):
            await each
    held.release()


async def test_whoever_is_cancelled_as_it_closes_stays_cancelled(debug_worker):
    held = HeldEngine(debug_worker)
    client = AsyncClient(debug_worker.target)
    call = asyncio.create_task(client.infer(["w1"]))
    assert await asyncio.to_thread(held.reached.wait, 30)
    call.cancel()
    await client.close()
    with pytest.raises(asyncio.CancelledError):
        await call
    held.release()


async def test_a_background_task_is_over_when_it_is_stopped():
    mailbox, log = AsyncioMailbox(), []

    async def work() -> None:
        try:
            await mailbox.get()
        finally:
            await asyncio.sleep(0)
            log.append("over")

    background = BackgroundTask(work())
    await asyncio.sleep(0)
    await background.stop()
    assert log == ["over"]
