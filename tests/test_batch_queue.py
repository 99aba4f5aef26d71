"""The pool of waiting sentences: order, cutting by budget, bounds, leaving."""

import asyncio
import threading

import pytest
from debug_model import debug_model
from hypothesis import given, settings
from hypothesis import strategies as st
from twinhead.model.tokenizer import TokenizedSentence
from twinhead.server.batch_queue import BatchQueue
from twinhead.server.errors import QueueFullError
from twinhead.server.job import Job
from twinhead.server.request_check import RequestPlan

MODEL = debug_model()
OTHER = debug_model("debug1")
PLAN = RequestPlan(tasks=(), embedding=None, logits=False, token_logits=False, truncate=True)


def job_of(*lengths: int, model=MODEL) -> Job:
    sentences = [TokenizedSentence([0] * length, length) for length in lengths]
    return Job(model, PLAN, sentences, 0.0)


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


async def test_a_pool_within_the_budget_is_one_batch():
    queue = BatchQueue(1000)
    queue.put(job_of(1, 9, 3))
    queue.put(job_of(10))
    assert [len(batch) for batch in take_all(queue, 40)] == [4]


async def test_the_workers_own_jobs_go_first_and_need_no_room():
    queue = BatchQueue(100)
    queue.put(job_of(30, 30, 30))
    own = job_of(20, model=OTHER)
    queue.put_first(own)
    assert queue.tokens == 110
    assert take_all(queue, 60)[0] == [(own, 0)]


async def test_jobs_take_turns():
    queue = BatchQueue(1000)
    bulk, small, other = job_of(*[30] * 10), job_of(2), job_of(9, 9)
    for job in (bulk, small, other):
        queue.put(job)
    leaders = []
    for _ in range(4):
        batch = queue.take(30)
        leaders.append({item.job for item in batch.items})
    # Neither waits for the rest of the bulk job; what is near in length may come along.
    assert bulk in leaders[0]
    assert small in leaders[1]
    assert other in leaders[1] | leaders[2]
    assert bulk in leaders[3]


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


async def test_neighbours_in_length_go_together():
    queue = BatchQueue(1000)
    queue.put(job_of(10, 50, 11, 49, 12, 51))
    lengths = [sorted(len(job.sentences[row].ids) for job, row in b) for b in take_all(queue, 160)]
    assert lengths == [[10, 11, 12], [49, 50, 51]]


async def test_versions_never_share_a_batch():
    queue = BatchQueue(1000)
    queue.put(job_of(5, 5))
    queue.put(job_of(5, 5, model=OTHER))
    queue.put(job_of(5, 5))
    batches = take_all(queue, 1000)
    versions = [{job.model.version for job, _ in batch} for batch in batches]
    assert versions == [{"debug0"}, {"debug1"}]
    assert [len(batch) for batch in batches] == [4, 2]


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
