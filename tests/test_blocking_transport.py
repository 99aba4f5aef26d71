"""What never suspends is run without an event loop."""

import asyncio
import threading

import pytest
from twinhead.client.blocking_transport import BackgroundThread, BlockingMailbox, iterate, run


async def nested(value: int) -> int:
    async def inner() -> int:
        return value

    return await inner() + 1


def test_what_is_returned_comes_back():
    assert run(nested(1)) == 2


def test_what_is_raised_comes_back():
    async def fails() -> None:
        raise LookupError("row 3")

    with pytest.raises(LookupError, match="row 3"):
        run(fails())


async def test_it_runs_inside_of_an_event_loop_too():
    """As in a notebook."""
    assert run(nested(1)) == 2
    assert list(iterate(counting([]))) == [0, 1, 2]


def test_what_suspends_is_a_defect_that_is_told():
    with pytest.raises(RuntimeError, match="a blocking call has suspended"):
        run(asyncio.sleep(0))


async def counting(log: list[str]):
    try:
        for number in range(3):
            yield number
    finally:
        log.append("closed")


def test_a_generator_gives_its_items_and_ends():
    log = []
    assert list(iterate(counting(log))) == [0, 1, 2]
    assert log == ["closed"]


def test_a_generator_that_is_left_early_is_closed_at_once():
    log = []
    for _ in iterate(counting(log)):
        assert log == []
        break
    assert log == ["closed"]


def test_a_mailbox_waits_for_another_thread():
    mailbox = BlockingMailbox()
    threading.Timer(0.05, mailbox.put, ["it"]).start()
    assert run(mailbox.get()) == "it"


def test_work_in_the_background_ends_with_a_thread_of_its_own():
    mailbox, ended = BlockingMailbox(), threading.Event()

    async def work() -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert threading.current_thread().daemon
        await mailbox.get()
        ended.set()

    run(BackgroundThread(work()).stop())  # which it need not heed
    assert not ended.is_set()
    mailbox.put(None)
    assert ended.wait(30)
