"""Load: rates between two looks, latencies of some, and a worker that does not tell."""

import asyncio
import contextlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from test_status_watch import BOUNDS, LATER, STATUS
from twinhead.client import AdminClient, Client, Latencies
from twinhead.client.web import web_load
from twinhead.client.web.web_board import Board
from twinhead.client.web.web_load import Load, LoadWindow


def values_of(*told):
    """What is shown while a worker tells, each two seconds after the other."""
    window = LoadWindow()
    found = [
        window.missed(each) if isinstance(each, str) else window.told(2.0 * number, each)
        for number, each in enumerate(told)
    ]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def test_rates_are_of_the_last_look():
    first, second = values_of(STATUS, LATER)
    assert first["history"] == [0]  # nothing to compare with
    assert first["latencies"] == []
    assert second["history"] == [0, 50]
    assert second["tokens_per_second"] == 150
    assert (second["sentences"], second["calls"]) == (1_000_100, 7)
    assert (second["queue_tokens"], second["queue_limit_tokens"]) == (500, 1000)
    bulk, interactive = second["latencies"]
    # Over a minute is no number.
    assert (bulk["class"], bulk["batches"], bulk["half_within"]) == ("bulk", 4, None)
    assert (interactive["class"], interactive["batches"]) == ("interactive", 50)
    assert interactive["half_within"] == pytest.approx(0.055)
    assert second["failures"] == [
        {"reason": "CANCELLED", "recent": 1, "count": 1},
        {"reason": "QUEUE_FULL", "recent": 3, "count": 13},
    ]


def test_latencies_are_of_a_while():
    counts = [
        replace(STATUS, latencies={"bulk": Latencies(BOUNDS, (n, 0, 0, 0))}) for n in range(40)
    ]
    last = values_of(*counts)[-1]
    assert last["latencies"][0]["batches"] == 16
    assert last["window_seconds"] == 15


def test_a_minute_is_kept():
    last = values_of(*(replace(STATUS, sentences=2 * n * n) for n in range(100)))[-1]
    assert len(last["history"]) == 60
    assert last["history"][-1] == 99**2 - 98**2


def test_another_process_begins_anew():
    again = replace(LATER, started=STATUS.started + timedelta(hours=1), sentences=5)
    found = values_of(STATUS, LATER, again)
    assert found[2]["history"] == [0, 50, 0]
    assert found[2]["latencies"] == []


def test_what_is_not_told_is_a_gap():
    found = values_of(STATUS, "no token", LATER)
    assert (found[1]["message"], found[1]["history"]) == ("no token", [0, None])
    assert (found[2]["message"], found[2]["history"]) == ("", [0, None, 0])


async def test_a_worker_that_does_not_tell_is_told(free_port):
    board = Board()
    with AdminClient(f"localhost:{free_port}", timeout=10) as admin:
        task = asyncio.create_task(Load(admin, board).follow())
        async with contextlib.aclosing(board.read()) as reader, asyncio.timeout(30):
            assert "no worker answers" in json.loads((await anext(reader))[1])["message"]
        task.cancel()


async def test_a_real_worker_is_asked_while_somebody_looks(debug_worker, monkeypatch):
    monkeypatch.setattr(web_load, "_LOOK_SECONDS", 0.05)
    board = Board()
    with AdminClient(debug_worker.admin_target) as admin, Client(debug_worker.target) as client:
        task = asyncio.create_task(Load(admin, board).follow())
        async with contextlib.aclosing(board.read()) as reader, asyncio.timeout(30):
            json.loads((await anext(reader))[1])
            await asyncio.to_thread(client.infer, ["w1"] * 10)
            async for _, text in reader:
                load = json.loads(text)
                if max(load["history"]) > 0:
                    break
        assert load["sentences"] == 10
        assert load["latencies"][0]["class"] == "interactive"
        assert load["ready"] is True
        task.cancel()
