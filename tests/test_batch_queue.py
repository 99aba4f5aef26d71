"""The pool of waiting sentences: order, cutting by budget, bounds, leaving."""

import asyncio
import threading
from dataclasses import replace

import pytest
from debug_model import debug_model
from hypothesis import given, settings
from hypothesis import strategies as st
from twinhead.model.tokenizer import TokenizedSentence
from twinhead.server.batch_queue import BatchQueue
from twinhead.server.errors import QueueFullError
from twinhead.server.job import Job
from twinhead.server.request_check import RequestPlan
from twinhead.server.service_class import ServiceClass

MODEL = debug_model()
OTHER = debug_model("debug1")
PLAN = RequestPlan(tasks=(), embedding=None, logits=False, token_logits=False, truncate=True)


BULK = replace(PLAN, service_class=ServiceClass.BULK)
PROBE = replace(PLAN, service_class=ServiceClass.PROBE)


def job_of(*lengths: int, model=MODEL, plan=PLAN) -> Job:
    sentences = [TokenizedSentence([0] * length, length) for length in lengths]
    return Job(model, plan, sentences, 0.0)


def take_all(queue: BatchQueue, budget: int) -> list[list[tuple[Job, int]]]:
    queue.close()
    batches = []
    while (batch := queue.take(budget)) is not None:
        batches.append([(item.job, item.row) for item in batch.items])
    return batches


@settings(max_examples=60, deadline=None)
@given(
    jobs=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=12), min_size=1, max_size=8),
    budget=st.integers(1, 200),
)
def test_every_sentence_is_taken_once_and_no_batch_is_over_budget(jobs, budget):
    async def run():
        queue = BatchQueue(10**6)
        made = [job_of(*lengths) for lengths in jobs]
        for job in made:
            queue.put(job)
        expected = {(job, row) for job in made for row in range(len(job.sentences))}
        batches = take_all(queue, budget)
        taken = [item for batch in batches for item in batch]
        assert len(taken) == len(expected)
        assert set(taken) == expected
        for batch in batches:
            widest = max(len(job.sentences[row].ids) for job, row in batch)
            assert len(batch) == 1 or widest * len(batch) <= budget
        assert queue.tokens == 0

    asyncio.run(run())


async def test_the_workers_own_jobs_go_first_and_need_no_room():
    queue = BatchQueue(100)
    queue.put(job_of(30, 30, 30))
    for _ in range(2):
        queue.take(30)
    own = job_of(20, 90, model=OTHER, plan=PROBE)
    queue.put(own)
    assert queue.tokens == 140
    assert take_all(queue, 60)[:2] == [[(own, 0)], [(own, 1)]]


async def test_classes_share_by_weight_while_both_wait():
    queue = BatchQueue(10**6)
    calls, bulk = job_of(*[10] * 300), job_of(*[10] * 300, plan=BULK)
    queue.put(bulk)
    queue.put(calls)
    taken = [queue.take(100).items[0].job for _ in range(40)]
    assert taken.count(calls) == 30
    # Evenly, too: bulk never waits for more than four passes.
    assert all(bulk in taken[start : start + 5] for start in range(35))
    # What one class leaves, the other has.
    rest = [batch[0][0] for batch in take_all(queue, 100)]
    assert rest.count(bulk) == 20


async def test_a_class_that_was_away_goes_ahead_and_has_saved_nothing_up():
    queue = BatchQueue(10**6)
    bulk = job_of(*[10] * 1000, plan=BULK)
    queue.put(bulk)
    for _ in range(20):
        queue.take(100)
    call, calls = job_of(10), job_of(*[10] * 300)
    queue.put(call)
    assert queue.take(100).items[0].job is call  # at once: without a pass of bulk before it
    queue.put(calls)
    assert [queue.take(100).items[0].job for _ in range(8)].count(bulk) == 2


async def test_classes_never_share_a_batch():
    queue = BatchQueue(1000)
    call, bulk = job_of(5, 5), job_of(5, 5, plan=BULK)
    queue.put(bulk)
    queue.put(call)
    assert [{job for job, _ in batch} for batch in take_all(queue, 1000)] == [{call}, {bulk}]


def wide_queue(monkeypatch) -> BatchQueue:
    monkeypatch.setattr(MODEL.engine, "widens", True)
    return BatchQueue(10**6)


async def test_a_large_pass_that_is_alone_has_the_machine_until_it_ends(monkeypatch):
    queue = wide_queue(monkeypatch)
    queue.put(job_of(*[100] * 4))
    alone = queue.take(1000)
    assert alone.alone
    queue.put(job_of(7))
    second = asyncio.create_task(asyncio.to_thread(queue.take, 1000))
    await asyncio.sleep(0.05)
    assert not second.done()
    queue.finished(alone, 0.1)
    assert [item.length for item in (await second).items] == [7]


async def test_a_pass_shares_the_machine_when_it_is_small_or_others_wait_or_run(monkeypatch):
    queue = wide_queue(monkeypatch)
    queue.put(job_of(*[100] * 4))
    some = queue.take(300)
    assert not some.alone  # one sentence waits
    assert not queue.take(300).alone  # and now the others run
    queue.finished(some, 0.1)
    queue.put(job_of(*[100] * 3))
    assert not queue.take(300).alone
    queue = wide_queue(monkeypatch)
    queue.put(job_of(20, 20))
    assert not queue.take(300).alone


async def test_a_waiting_stream_does_not_shut_out_unary_calls():
    queue = BatchQueue(100)
    queue.put(job_of(*[10] * 7))
    stream = asyncio.create_task(queue.put_when_room(job_of(10)))
    await asyncio.sleep(0)
    assert queue.tokens == 70  # a quarter is kept
    queue.check_room()
    queue.put(job_of(10))
    assert queue.tokens == 80
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream


async def test_a_full_queue_refuses_and_says_when_to_come_back():
    queue = BatchQueue(10)
    queue.put(job_of(8))
    with pytest.raises(QueueFullError) as caught:
        queue.put(job_of(3))
    assert 0.1 <= caught.value.retry_seconds <= 5
    queue.put(job_of(2))  # fits exactly
    with pytest.raises(QueueFullError):
        queue.check_room()
    assert queue.tokens == 10


async def test_a_queue_that_was_full_looks_at_jobs_again_when_there_is_room_for_some():
    queue = BatchQueue(1000)
    jobs = [job_of(10) for _ in range(100)]
    for job in jobs:
        queue.put(job)
    with pytest.raises(QueueFullError):
        queue.check_room()
    for job in jobs[:4]:
        queue.discard(job)
    with pytest.raises(QueueFullError):  # one would fit, and the next ten would not
        queue.check_room()
    queue.discard(jobs[4])
    queue.check_room()
    queue.put(job_of(10))
    queue.check_room()


async def test_room_is_kept_for_what_is_being_tokenised():
    queue = BatchQueue(100)
    with queue.expecting(300):  # into an empty queue whatever it is
        with pytest.raises(QueueFullError), queue.expecting(1):
            pass
        with pytest.raises(QueueFullError):
            queue.check_room()
    with queue.expecting(60):
        with pytest.raises(QueueFullError), queue.expecting(50):
            pass
        with queue.expecting(40):
            pass
    queue.check_room()
    assert queue.tokens == 0


async def test_a_job_larger_than_the_bound_gets_into_an_empty_queue():
    queue = BatchQueue(10)
    queue.put(job_of(30, 30))
    assert queue.tokens == 60


async def test_those_who_wait_for_room_are_served_in_turn():
    queue = BatchQueue(20)
    queue.put(job_of(20))
    order = []

    async def enter(name, job):
        await queue.put_when_room(job)
        order.append(name)

    large = asyncio.create_task(enter("large", job_of(9)))
    await asyncio.sleep(0)
    small = asyncio.create_task(enter("small", job_of(1)))
    await asyncio.sleep(0)
    assert order == []
    await asyncio.to_thread(queue.take, 100)
    await asyncio.gather(large, small)
    assert order == ["large", "small"]


async def test_a_cancelled_waiter_leaves_the_line_and_no_work():
    queue = BatchQueue(10)
    queue.put(job_of(10))
    waiter = asyncio.create_task(queue.put_when_room(job_of(10)))
    behind = asyncio.create_task(queue.put_when_room(job_of(4)))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await asyncio.to_thread(queue.take, 100)
    await behind
    assert queue.tokens == 4


async def test_discarded_work_is_not_taken_and_makes_room():
    queue = BatchQueue(20)
    gone, kept = job_of(5, 6), job_of(7)
    queue.put(gone)
    queue.put(kept)
    waiting = asyncio.create_task(queue.put_when_room(job_of(8)))
    await asyncio.sleep(0)
    queue.discard(gone)
    await waiting
    assert queue.tokens == 15
    assert gone not in {job for batch in take_all(queue, 1000) for job, _ in batch}


async def test_take_waits_for_work_and_ends_when_closed():
    queue = BatchQueue(100)
    taken = []
    first_taken = threading.Event()

    def take_twice():
        taken.append(queue.take(100))
        first_taken.set()
        taken.append(queue.take(100))

    thread = threading.Thread(target=take_twice)
    thread.start()
    queue.put(job_of(3))
    await asyncio.to_thread(first_taken.wait, 10)
    queue.close()
    await asyncio.to_thread(thread.join, 10)
    assert [None if batch is None else len(batch.items) for batch in taken] == [1, None]
