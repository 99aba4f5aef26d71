"""One request's results, as encoder passes bring them."""

import asyncio

import numpy as np
import pytest
from debug_model import debug_model
from twinhead.model.tokenizer import TokenizedSentence
from twinhead.server.engines.engine import EngineOutput
from twinhead.server.job import Job
from twinhead.server.request_check import EmbeddingPlan, RequestPlan
from twinhead.v1 import inference_service_pb2 as pb

MODEL = debug_model()
PLAN = RequestPlan(
    tasks=MODEL.config.tasks[:1],
    embedding=EmbeddingPlan(pb.EMBEDDING_FORMAT_FLOAT32, normalize=False, dimensions=4),
    logits=True,
    token_logits=False,
    truncate=True,
)


def sentence(length: int) -> TokenizedSentence:
    return TokenizedSentence([1] * length, length)


def output(*values: float) -> EngineOutput:
    column = np.array(values, dtype=np.float32)[:, None]
    return EngineOutput(np.repeat(column, 4, axis=1), {"parity": np.repeat(column, 2, axis=1)})


async def test_rows_from_several_passes_find_their_place():
    job = Job(MODEL, PLAN, [sentence(2), None, sentence(3)], 0.1)
    assert job.tokens == 5
    waiting = asyncio.create_task(job.wait())
    job.settle([2], output(9, 7, 8), [1], 0.5)
    await asyncio.sleep(0)
    assert not waiting.done()
    job.settle([0], output(5), [0], 0.25)
    await waiting
    assert job.embeddings[:, 0].tolist() == [5, 0, 7]
    assert job.logits["parity"][:, 1].tolist() == [5, 0, 7]
    assert job.encode_seconds == 0.75


async def test_a_job_with_nothing_to_encode_is_done_at_once():
    await Job(MODEL, PLAN, [None, None], 0.0).wait()


async def test_the_first_failure_is_what_the_caller_gets():
    job = Job(MODEL, PLAN, [sentence(1), sentence(1)], 0.0)
    job.fail(RuntimeError("first"))
    job.settle([0], output(1), [0], 0.1)
    job.fail(RuntimeError("second"))
    job.settle([1], output(1), [0], 0.1)
    with pytest.raises(RuntimeError, match="first"):
        await job.wait()


async def test_results_for_a_caller_who_left_are_dropped():
    job = Job(MODEL, PLAN, [sentence(1)], 0.0)
    waiting = asyncio.create_task(job.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    job.settle([0], output(1), [0], 0.1)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)  # the late result arrives, and nobody minds
