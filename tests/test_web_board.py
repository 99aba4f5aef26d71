"""The board: every reader ends up with the latest of each section."""

import asyncio
import contextlib
import json

import pytest
from twinhead.client.web import web_board
from twinhead.client.web.web_board import Board


async def take(reader, count):
    return [await asyncio.wait_for(anext(reader), 10) for _ in range(count)]


async def test_a_reader_gets_what_is_there_and_what_changes():
    board = Board()
    board.post("model", {"version": "a"})
    board.post("load", {"sentences": 1})
    async with contextlib.aclosing(board.read()) as reader:
        assert await take(reader, 2) == [("model", '{"version":"a"}'), ("load", '{"sentences":1}')]
        waiting = asyncio.create_task(anext(reader))
        await asyncio.sleep(0)
        board.post("model", {"version": "b"})
        assert await waiting == ("model", '{"version":"b"}')


async def test_what_is_the_same_is_no_news():
    board = Board()
    board.post("load", {"sentences": 1})
    async with contextlib.aclosing(board.read()) as reader:
        await take(reader, 1)
        board.post("load", {"sentences": 1})
        board.post("model", "é\n")
        (found,) = await take(reader, 1)
    assert found == ("model", '"é\\n"')  # one line, whatever the text


async def test_a_slow_reader_gets_the_latest_and_not_all():
    board = Board()
    async with contextlib.aclosing(board.read()) as reader:
        for number in range(1000):
            board.post("load", number)
        assert await take(reader, 1) == [("load", "999")]


async def test_what_comes_while_a_reader_takes_is_not_lost():
    board = Board()
    board.post("a", 1)
    board.post("b", 1)
    async with contextlib.aclosing(board.read()) as reader:
        await take(reader, 1)
        board.post("a", 2)
        board.post("c", 1)
        assert await take(reader, 3) == [("b", "1"), ("a", "2"), ("c", "1")]


async def test_readers_are_known_and_end_with_the_board():
    board = Board()
    board.post("a", 1)
    first, second = board.read(), board.read()
    assert not board.watched.is_set()
    await take(first, 1)
    await take(second, 1)
    assert board.watched.is_set()
    await first.aclose()
    assert board.watched.is_set()
    waiting = asyncio.create_task(anext(second))
    await asyncio.sleep(0)
    board.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert not board.watched.is_set()


async def test_a_sign_of_life_when_there_is_no_news(monkeypatch):
    monkeypatch.setattr(web_board, "_BEAT_SECONDS", 0.01)
    board = Board()
    async with contextlib.aclosing(board.read()) as reader:
        assert await take(reader, 2) == [("", ""), ("", "")]
        board.post("a", [1])
        found = [await anext(reader)]
        while found[-1] == ("", ""):
            found.append(await anext(reader))
    assert json.loads(found[-1][1]) == [1]
