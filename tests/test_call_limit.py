"""Calls are counted from their beginning to their end, however they end, and bounded."""

import asyncio

import pytest
from twinhead.server.call_limit import CallLimit
from twinhead.server.errors import QueueFullError


@pytest.fixture
async def begin():
    """Begin calls, which go on until they are ended, and end with the test."""
    calls = []

    def begin(limit: CallLimit) -> tuple[asyncio.Event, "asyncio.Task[None]"]:
        end = asyncio.Event()

        async def call() -> None:
            limit.enter(asyncio.current_task())
            await end.wait()

        calls.append(asyncio.create_task(call()))
        return end, calls[-1]

    yield begin
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def ended(call: "asyncio.Task[None]") -> None:
    """Wait until a call has ended and those who want to know have been told."""
    await asyncio.wait({call})
    await asyncio.sleep(0)


class Clock:
    """Shows what it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("twinhead.server.call_limit.time", clock)
    return clock


async def test_as_many_as_may_be_and_no_more(begin):
    limit = CallLimit(2)
    begin(limit)
    begin(limit)
    _, refused = begin(limit)
    with pytest.raises(QueueFullError) as caught:
        await refused
    assert caught.value.retry_seconds == 1.0
    assert limit.count == 2


async def test_one_that_was_refused_is_not_counted(begin):
    limit = CallLimit(1)
    first, running = begin(limit)
    for _ in range(3):
        with pytest.raises(QueueFullError):
            await begin(limit)[1]
    first.set()
    await ended(running)
    assert limit.count == 0
    assert await limit.idle(10)


async def test_one_that_has_ended_makes_room(begin):
    limit = CallLimit(1)
    for _ in range(3):
        end, call = begin(limit)
        end.set()
        await ended(call)
        assert call.exception() is None
        assert limit.count == 0


async def test_one_that_fails_or_is_cancelled_makes_room(begin):
    limit = CallLimit(1)

    async def fail():
        limit.enter(asyncio.current_task())
        raise RuntimeError

    failing = asyncio.create_task(fail())
    await ended(failing)
    assert isinstance(failing.exception(), RuntimeError)
    assert limit.count == 0
    _, call = begin(limit)
    await asyncio.sleep(0)
    assert limit.count == 1
    call.cancel()
    await ended(call)
    assert limit.count == 0


async def test_a_limit_without_calls_is_idle():
    assert await CallLimit(1).idle(10)


async def test_idle_waits_for_the_last_call(begin):
    limit = CallLimit(2)
    first, one = begin(limit)
    second, two = begin(limit)
    await asyncio.sleep(0)
    waiting = asyncio.create_task(limit.idle(60))
    first.set()
    await ended(one)
    assert limit.count == 1
    assert not waiting.done()
    second.set()
    assert await waiting
    assert two.done()


async def test_idle_waits_no_longer_than_it_may(begin):
    limit = CallLimit(1)
    end, call = begin(limit)
    await asyncio.sleep(0)
    assert not await limit.idle(0)
    assert not await limit.idle(0.01)
    assert limit.count == 1  # it does the call no harm
    end.set()
    await call
    assert await limit.idle(10)


async def test_no_time_to_wait_is_enough_where_there_is_nothing_to_wait_for():
    # As with --drain-seconds 0.
    assert await CallLimit(1).idle(0)


async def test_idle_waits_for_a_moment_without_new_calls(begin, clock):
    # Calls that come while the worker drains are refused, and to be told so.
    limit = CallLimit(1)
    end, call = begin(limit)
    await asyncio.sleep(0)
    waiting = asyncio.create_task(limit.idle(60))
    end.set()
    await ended(call)
    for _ in range(5):
        clock.now += 0.15
        late, refused = begin(limit)
        late.set()
        await ended(refused)
        assert not (await asyncio.wait({waiting}, timeout=0.1))[0]  # it has looked at the clock
    clock.now += 0.25
    assert await waiting


async def test_those_who_go_on_calling_do_not_keep_it_for_ever(begin, clock):
    limit = CallLimit(1)
    calls = 0
    end, call = begin(limit)
    await asyncio.sleep(0)
    waiting = asyncio.create_task(limit.idle(60))
    end.set()
    await ended(call)
    while not waiting.done():
        clock.now += 0.1  # never a quiet moment
        late, refused = begin(limit)
        late.set()
        await ended(refused)
        calls += 1
        assert calls < 10_000
        await asyncio.wait({waiting}, timeout=0.06)
    assert waiting.result()
    assert calls >= 20  # two seconds of that clock
