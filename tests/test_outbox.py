"""Answers on their way out: their order, the room for further batches, and all that is unread."""

import asyncio

import pytest
from twinhead.server.outbox import Outbox, UnreadAnswers
from twinhead.v1 import inference_service_pb2 as pb


def answer(batch_id: str, size: int = 0) -> pb.StreamInferResponse:
    return pb.StreamInferResponse(
        batch_id=batch_id, response=pb.InferResponse(model_version="x" * size)
    )


async def settled() -> None:
    """Let all that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def give_out(outbox: Outbox) -> str:
    """Take an answer as the stream's writer does; returns its batch."""
    taken = await outbox.take()
    assert taken is not None
    outbox.taken(taken[1])
    return taken[0].batch_id


async def test_answers_come_out_in_their_order_and_then_the_end():
    outbox = Outbox(UnreadAnswers(1000), 10)
    sent = [answer(str(number), number) for number in range(5)]
    for each in sent:
        await outbox.room()
        outbox.put(each)
    outbox.end()
    got = [await outbox.take() for _ in sent]
    assert got == [(each, each.ByteSize()) for each in sent]
    assert await outbox.take() is None


async def test_who_takes_waits_for_an_answer():
    outbox = Outbox(UnreadAnswers(1000), 10)
    taking = asyncio.create_task(outbox.take())
    await settled()
    assert not taking.done()
    outbox.put(answer("a"))
    assert (await taking)[0].batch_id == "a"


async def test_so_many_batches_have_room_whether_they_are_answered_or_not():
    outbox = Outbox(UnreadAnswers(1 << 30), 3)
    for _ in range(3):
        await outbox.room()
    fourth = asyncio.create_task(outbox.room())
    await settled()
    assert not fourth.done()
    outbox.put(answer("a"))  # answered, but not taken
    await settled()
    assert not fourth.done()
    assert await give_out(outbox) == "a"
    await fourth


async def test_bytes_wait_until_the_caller_has_them():
    unread = UnreadAnswers(1 << 30)
    first, second = Outbox(unread, 5), Outbox(unread, 5)
    for outbox in (first, second):
        await outbox.room()
    one, other = answer("a", 100), answer("b", 50)
    first.put(one)
    second.put(other)
    assert unread.bytes == one.ByteSize() + other.ByteSize()
    taken = await first.take()
    # It is being written, and may still be here.
    assert unread.bytes == one.ByteSize() + other.ByteSize()
    first.taken(taken[1])
    assert unread.bytes == other.ByteSize()
    assert await give_out(second) == "b"
    assert unread.bytes == 0


@pytest.mark.parametrize(("more", "many"), [(0, False), (1, True)])
def test_what_is_too_many(more, many):
    unread = UnreadAnswers(100)
    unread.add(60)
    unread.add(40 + more)
    assert unread.too_many is many
    unread.remove(60)
    assert not unread.too_many


async def test_a_stream_has_one_batch_at_a_time_while_too_many_wait():
    unread = UnreadAnswers(100)
    full = Outbox(unread, 5)
    await full.room()
    full.put(answer("a", 200))
    other = Outbox(unread, 5)
    await other.room()  # nobody starves: the first has room
    second = asyncio.create_task(other.room())
    await settled()
    assert not second.done()
    # Its own first batch is out, and the others' still wait: again one.
    other.put(answer("b"))
    assert await give_out(other) == "b"
    await second
    third = asyncio.create_task(other.room())
    await settled()
    assert not third.done()
    assert await give_out(full) == "a"
    await third


async def test_all_streams_go_on_when_there_is_room_again():
    unread = UnreadAnswers(100)
    full = Outbox(unread, 5)
    await full.room()
    full.put(answer("a", 200))
    others = [Outbox(unread, 5) for _ in range(10)]
    for outbox in others:
        await outbox.room()
    waiting = [asyncio.create_task(outbox.room()) for outbox in others]
    await settled()
    assert not any(each.done() for each in waiting)
    assert await give_out(full) == "a"
    await asyncio.gather(*waiting)


async def test_who_waits_for_room_and_leaves_is_forgotten():
    unread = UnreadAnswers(10)
    outbox = Outbox(unread, 5)
    await outbox.room()
    outbox.put(answer("a", 100))
    waiting = asyncio.create_task(outbox.room())
    await settled()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not unread._waiting


async def test_too_many_again_before_the_waiting_one_has_looked():
    unread = UnreadAnswers(100)
    unread.add(200)
    outbox = Outbox(unread, 5)
    await outbox.room()
    waiting = asyncio.create_task(outbox.room())
    await settled()
    unread.remove(200)
    unread.add(200)
    await settled()
    assert not waiting.done()
    unread.remove(200)
    await waiting


async def test_what_is_left_is_forgotten_with_its_bytes():
    unread = UnreadAnswers(1 << 30)
    outbox = Outbox(unread, 5)
    for name in "abc":
        await outbox.room()
        outbox.put(answer(name, 100))
    outbox.end()
    assert await give_out(outbox) == "a"
    outbox.close()
    assert unread.bytes == 0
    # Passes that were under way end later.
    outbox.put(answer("d", 100))
    assert unread.bytes == 0


async def test_a_stream_that_is_forgotten_makes_room_for_the_others():
    unread = UnreadAnswers(100)
    gone, other = Outbox(unread, 5), Outbox(unread, 5)
    await gone.room()
    gone.put(answer("a", 200))
    await other.room()
    waiting = asyncio.create_task(other.room())
    await settled()
    assert not waiting.done()
    gone.close()
    await waiting


async def test_an_answer_that_is_being_written_when_the_stream_closes_is_counted_once():
    unread = UnreadAnswers(1 << 30)
    outbox = Outbox(unread, 5)
    await outbox.room()
    outbox.put(answer("a", 100))
    taken = await outbox.take()
    outbox.close()
    outbox.taken(taken[1])
    assert unread.bytes == 0
