"""The window of unanswered batches, without a network."""

import asyncio

import pytest
from twinhead.client import InferOptions
from twinhead.client.asyncio_transport import AsyncioMailbox
from twinhead.client.sentences import each
from twinhead.client.stream_window import StreamWindow
from twinhead.v1 import inference_service_pb2 as pb


def window_of(in_flight=10):
    return StreamWindow(InferOptions(), in_flight, "host:1", AsyncioMailbox)


def answer(request, version="v"):
    return pb.StreamInferResponse(
        batch_id=request.batch_id, response=pb.InferResponse(model_version=version)
    )


def given(window):
    return [result.model_version for result in window.results()]


async def taken(outbox, count):
    return [await outbox.get() for _ in range(count)]


async def test_answers_are_given_out_in_order():
    window = window_of()
    outbox = window.outbox()
    await window.feed(each([["a"], ["b"], ["c"]]))
    *requests, end = await taken(outbox, 4)
    assert end is None
    window.settle(answer(requests[2], "third"))
    assert given(window) == []
    window.settle(answer(requests[0], "first"))
    assert given(window) == ["first"]
    assert await window.lacks_answers()
    window.settle(answer(requests[1], "second"))
    assert given(window) == ["second", "third"]
    assert not await window.lacks_answers()


async def test_what_is_unanswered_is_sent_again_on_a_new_stream():
    window = window_of(in_flight=2)
    feeding = asyncio.create_task(window.feed(each([["a"], ["b"], ["c"]])))
    first = await taken(window.outbox(), 2)
    window.settle(answer(first[0]))
    assert given(window) == ["v"]
    again = window.outbox()
    resent, new = await taken(again, 2)
    assert [list(each.request.sentences) for each in (resent, new)] == [["b"], ["c"]]
    assert resent.batch_id == first[1].batch_id
    window.settle(answer(resent))
    assert given(window) == ["v"]
    assert await taken(again, 1) == [None]  # only with room for another is it known
    await feeding
    assert await taken(window.outbox(), 2) == [new, None]


async def test_a_batch_answered_twice_counts_once():
    window = window_of()
    await window.feed(each([["a"]]))
    request, _ = await taken(window.outbox(), 2)
    window.settle(answer(request, "first"))
    window.settle(answer(request, "again"))
    assert given(window) == ["first"]
    assert not await window.lacks_answers()


async def test_no_more_is_read_than_there_is_room_for():
    read = []

    def source():
        for number in range(10):
            read.append(number)
            yield [str(number)]

    window = window_of(in_flight=3)
    outbox = window.outbox()
    feeding = asyncio.create_task(window.feed(each(source())))
    requests = await taken(outbox, 3)
    assert read == [0, 1, 2]
    # Answered is not given out: the first is still missing.
    for request in requests[1:]:
        window.settle(answer(request))
    assert given(window) == []
    await asyncio.sleep(0)
    assert read == [0, 1, 2]
    window.settle(answer(requests[0]))
    assert len(given(window)) == 3
    await taken(outbox, 3)
    assert read == [0, 1, 2, 3, 4, 5]
    window.stop()
    await feeding
    assert read == [0, 1, 2, 3, 4, 5]


async def test_whether_there_is_more_is_waited_for():
    more = asyncio.Event()

    async def source():
        await more.wait()
        yield ["a"]

    window = window_of()
    feeding = asyncio.create_task(window.feed(source()))
    waiting = asyncio.create_task(window.lacks_answers())
    await asyncio.sleep(0)
    assert not waiting.done()
    more.set()
    assert await waiting
    await feeding


@pytest.mark.parametrize("broken", [["a", None], "a", ["\ud800"]])
async def test_a_batch_that_cannot_be_sent_is_the_last(broken):
    window = window_of()
    outbox = window.outbox()
    await window.feed(each([["fine"], broken, ["never"]]))
    request, end = await taken(outbox, 2)
    assert (list(request.request.sentences), end) == (["fine"], None)
    assert isinstance(window.failure, (TypeError, ValueError))


def test_in_flight_must_be_possible():
    with pytest.raises(ValueError, match="1 or more"):
        window_of(in_flight=0)
