"""The runner's thread: passes in turn, failures that stay with their callers, an orderly end."""

import asyncio

import numpy as np
import pytest
from debug_model import debug_model, expected_embedding
from twinhead.server.batch_queue import BatchQueue
from twinhead.server.batch_runner import BatchRunner
from twinhead.server.job import Job
from twinhead.server.metrics import Metrics
from twinhead.server.request_check import EmbeddingPlan, RequestPlan
from twinhead.v1 import inference_service_pb2 as pb

PLAN = RequestPlan(
    tasks=(),
    embedding=EmbeddingPlan(pb.EMBEDDING_FORMAT_FLOAT32, normalize=False, dimensions=4),
    logits=False,
    token_logits=False,
    truncate=True,
)


def job_of(model, *sentences: str) -> Job:
    return Job(model, PLAN, model.tokenizer(sentences), 0.0)


async def test_accepted_work_is_finished_before_the_end():
    model, queue = debug_model(), BatchQueue(10_000)
    sentences = [f"w{n}" for n in range(50)]
    jobs = [job_of(model, sentence) for sentence in sentences]
    for job in jobs:
        queue.put(job)
    queue.close()
    runner = BatchRunner(queue, Metrics(), token_budget=12)
    runner.start()
    await asyncio.gather(*(job.wait() for job in jobs))
    await asyncio.to_thread(runner.join, 30)
    assert model.engine.passes == [4] * 12 + [2]  # three tokens each, twelve a pass
    for sentence, job in zip(sentences, jobs, strict=True):
        np.testing.assert_allclose(job.embeddings[0], expected_embedding(sentence), rtol=2e-5)


async def test_a_sentence_that_breaks_a_shared_pass_breaks_only_its_own_job():
    model, queue = debug_model(), BatchQueue(10_000)
    model.engine.fail_on = "w13"
    jobs = [job_of(model, text) for text in ("w1", "w13", "w2")]
    for job in jobs:
        queue.put(job)
    queue.close()
    runner = BatchRunner(queue, Metrics(), token_budget=100)
    runner.start()
    await jobs[0].wait()
    with pytest.raises(RuntimeError):
        await jobs[1].wait()
    await jobs[2].wait()
    assert model.engine.passes == [3, 1, 1, 1]
    await asyncio.to_thread(runner.join, 30)


@pytest.mark.parametrize("error", [RuntimeError("broken"), MemoryError("no memory")])
async def test_a_pass_that_raises_fails_its_callers_and_nobody_else(error, monkeypatch):
    model, queue = debug_model(), BatchQueue(10_000)
    encode = model.engine.encode

    def failing(ids, tasks, **options):
        if len(ids[0]) == 5:
            raise error
        return encode(ids, tasks, **options)

    monkeypatch.setattr(model.engine, "encode", failing)
    runner = BatchRunner(queue, Metrics(), token_budget=5)
    runner.start()
    jobs = [job_of(model, text) for text in ("w1", "w1 w2 w3", "w2")]
    for job in jobs:
        queue.put(job)
    await jobs[0].wait()
    with pytest.raises(type(error)):
        await jobs[1].wait()
    await jobs[2].wait()
    queue.close()
    await asyncio.to_thread(runner.join, 30)
