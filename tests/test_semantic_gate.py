"""Probes run through a version before it goes live: what passes, and by which check others fail.

The queue and the runner are real, so what callers get meanwhile is seen too.
"""

import asyncio
import threading
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from conftest import wait_until
from debug_model import (
    DIMENSIONS,
    MAX_TOKENS,
    CountingEngine,
    DebugEncoder,
    debug_tokenizer,
    expected_embedding,
)
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import ModelConfig, TaskConfig, TaskKind
from twinhead.model.network import Network
from twinhead.model.probes import PROBE_SENTENCES, Probes
from twinhead.server.batch_queue import BatchQueue
from twinhead.server.batch_runner import BatchRunner
from twinhead.server.errors import PushRefusedError
from twinhead.server.job import Job
from twinhead.server.live_model import LiveModel
from twinhead.server.metrics import Metrics
from twinhead.server.request_check import EmbeddingPlan, RequestPlan
from twinhead.server.semantic_gate import DriftLimits, SemanticGate
from twinhead.v1 import inference_service_pb2 as pb

PARITY = TaskConfig(name="parity", labels=("even", "odd"))
SPAM = TaskConfig(name="spam", kind=TaskKind.BINARY, labels=("no", "yes"))
TOPICS = TaskConfig(name="topics", kind=TaskKind.MULTI_LABEL, labels=("a", "b", "c"))
NAMES = TaskConfig(name="names", kind=TaskKind.TOKEN, labels=("O", "B-X", "I-X"))
TASKS = (PARITY, SPAM, TOPICS, NAMES)
TOKENIZER = debug_tokenizer()
SENTENCES = ("w1", "w40 w41 w42", "w4000 w7", "w9 w8 w7 w6 w5")


class AlteredEngine(CountingEngine):
    """Gives other results than its network: what a broken engine or broken weights would."""

    def __init__(self, network, alter) -> None:
        super().__init__(network)
        self._alter = alter

    def encode(self, ids, tasks, *, alone=False):
        output = super().encode(ids, tasks, alone=alone)
        logits = {name: array.copy() for name, array in output.logits.items()}
        altered = replace(output, embeddings=output.embeddings.copy(), logits=logits)
        self._alter(altered, ids)
        return altered


class WideEncoder(DebugEncoder):
    def forward(self, input_ids, attention_mask):
        hidden = super().forward(input_ids, attention_mask)
        return torch.cat([hidden, hidden[..., :1]], dim=-1)


def model_of(tasks=TASKS, alter=None, encoder=None, dimensions=DIMENSIONS) -> LiveModel:
    """A model with heads that are random but always the same."""
    config = ModelConfig(encoder="debug", max_tokens=MAX_TOKENS, normalize=False, tasks=tasks)
    torch.manual_seed(1)
    network = Network(config, encoder or DebugEncoder(), dimensions)
    engine = CountingEngine(network) if alter is None else AlteredEngine(network, alter)
    return LiveModel.of(Checkpoint.create(network, TOKENIZER), engine)


def stated_by(model: LiveModel, sentences=SENTENCES) -> Probes:
    return Probes.measure(model.checkpoint.network, model.tokenizer, sentences)


@dataclass
class Bench:
    queue: BatchQueue
    gate: SemanticGate

    async def check(self, new, stated=None, live=None, **limits):
        return await self.gate.check(new, stated, live or model_of(), DriftLimits(**limits))

    async def refusal(self, *arguments, **limits) -> PushRefusedError:
        with pytest.raises(PushRefusedError) as caught:
            await self.check(*arguments, **limits)
        assert self.queue.tokens == 0  # nothing of a refused version is left to be run
        return caught.value


@pytest.fixture
async def bench():
    queue = BatchQueue(10_000)
    runner = BatchRunner(queue, Metrics(), 64)  # several passes for the probes
    runner.start()
    yield Bench(queue, SemanticGate(queue))
    queue.close()
    await asyncio.to_thread(runner.join, 10)


# --- what passes


async def test_equal_weights_pass(bench):
    model = model_of()
    report = await bench.check(model, stated_by(model), min_cosine=0.9999, min_agreement=1.0)
    assert report.probes == len(SENTENCES)
    assert report.deviation == pytest.approx(0, abs=1e-5)
    assert report.min_cosine == pytest.approx(1, abs=1e-6)
    assert report.agreement == {"parity": 1.0, "spam": 1.0, "topics": 1.0, "names": 1.0}
    assert sum(model.engine.passes) == len(SENTENCES)  # stated and compared in one
    assert all(tasks == {task.name for task in TASKS} for tasks in model.engine.tasks)


async def test_a_version_that_states_nothing_is_tried_all_the_same(bench):
    model, live = model_of(), model_of()
    report = await bench.check(model, None, live)
    assert report.probes == len(PROBE_SENTENCES)
    assert report.deviation is None
    assert sum(model.engine.passes) == sum(live.engine.passes) == len(PROBE_SENTENCES)


async def test_a_model_without_tasks(bench):
    model = model_of(tasks=())
    report = await bench.check(model, stated_by(model), min_cosine=0.99, min_agreement=1.0)
    assert report.agreement == {}
    assert report.deviation == pytest.approx(0, abs=1e-5)


# --- the trial


def spoil(name, value):
    """Put a value among the results of one kind, for the sentences with w7."""

    def alter(output, ids):
        for row, sentence in enumerate(ids):
            if 7 + 4 in sentence:
                results = output.embeddings if name == "embedding" else output.logits[name]
                results[row].flat[0] = value

    return alter


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["embedding", "parity", "spam", "topics", "names"])
async def test_results_that_are_not_finite(bench, name, value):
    error = await bench.refusal(model_of(alter=spoil(name, value)), stated_by(model_of()))
    assert error.check == "trial"
    said = name if name == "embedding" else f"task {name}"
    assert str(error) == f"trial: {said} of a probe is not finite"


async def test_they_are_found_in_the_callers_own_sentences_too(bench):
    new = model_of(alter=spoil("embedding", np.nan))
    assert (await bench.check(new, None, sentences=("w1", "w2"))).probes == 2
    assert (await bench.refusal(new, None, sentences=("w1", "w7"))).check == "trial"


async def test_a_pass_that_raises(bench):
    model = model_of()
    model.engine.fail_on = "w42"
    error = await bench.refusal(model, stated_by(model))
    assert error.check == "trial"
    assert "a batch of probes failed: RuntimeError" in str(error)


async def test_after_a_pass_that_raises_no_other_is_run(bench):
    refused = threading.Event()

    def alter(output, ids):
        if len(new.engine.passes) == 1:
            raise RuntimeError("the first")
        refused.wait(30)  # the second may have begun by then

    new = model_of(alter=alter)
    try:
        await bench.refusal(new, None, sentences=("w1",) * 200)
    finally:
        refused.set()
    await bench.check(model_of(), None)
    assert len(new.engine.passes) <= 2


# --- what the version states


def with_(stated: Probes, **changes) -> Probes:
    return stated.model_copy(update=changes)


def shifted(rows, by, row=2):
    """Another number for one row, in its first place."""
    rows = [list(each) for each in rows]
    rows[row][0] += by
    return tuple(map(tuple, rows))


def other_embedding(stated, by):
    return with_(stated, embeddings=shifted(stated.embeddings, by))


def other_logits(stated, by):
    return with_(stated, logits={**stated.logits, "topics": shifted(stated.logits["topics"], by)})


def other_token_logits(stated, by):
    sentences = list(stated.token_logits["names"])
    sentences[2] = shifted(sentences[2], by, row=1)
    return with_(stated, token_logits={"names": tuple(sentences)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_embedding, "embedding"),
        (other_logits, "task topics"),
        (other_token_logits, "task names"),
    ],
)
async def test_other_results_than_stated(bench, change, said):
    model = model_of()
    stated = stated_by(model)
    error = await bench.refusal(model, change(stated, 0.5))
    assert error.check == "probes"
    assert f"{said} of 'w4000 w7' is " in str(error)
    assert "0.001 is allowed" in str(error)
    # What another order of sums makes is let through, and told.
    report = await bench.check(model, change(stated, 1e-4))
    assert 1e-5 < report.deviation < 1e-3


async def test_narrow_numbers_may_be_further_off(bench):
    model = model_of()
    model.engine.precision = "bfloat16"
    stated = stated_by(model)
    assert (await bench.check(model, other_embedding(stated, 0.02))).deviation > 1e-3
    assert (await bench.refusal(model, other_embedding(stated, 0.5))).check == "probes"


async def test_a_difference_counts_by_the_size_of_the_results(bench):
    def enlarge(output, ids):
        output.embeddings[:] *= 1000

    def enlarge_stated(stated):
        rows = tuple(tuple(1000 * number for number in row) for row in stated.embeddings)
        return with_(stated, embeddings=rows)

    model = model_of(alter=enlarge)
    stated = enlarge_stated(stated_by(model))
    report = await bench.check(model, other_embedding(stated, 0.1))
    assert report.deviation == pytest.approx(1e-4, rel=0.1)


async def test_a_task_that_the_version_says_nothing_of(bench):
    model = model_of()
    stated = stated_by(model)
    without = {name: rows for name, rows in stated.logits.items() if name != "spam"}
    error = await bench.refusal(model, with_(stated, logits=without))
    assert error.check == "probes"
    assert "states nothing for task spam" in str(error)
    error = await bench.refusal(model, with_(stated, token_logits={}))
    assert "states nothing for task names" in str(error)


async def test_embeddings_of_another_length_than_stated(bench):
    model = model_of()
    stated = stated_by(model)
    shorter = tuple(row[:-1] for row in stated.embeddings)
    error = await bench.refusal(model, with_(stated, embeddings=shorter))
    assert error.check == "probes"
    assert "embedding of 'w1' is of shape (4,), not (3,)" in str(error)


async def test_other_tokens_than_stated(bench):
    # As when the tokenizer is not the one that the weights were trained with.
    model = model_of()
    stated = stated_by(model)
    (first, *rest) = stated.token_logits["names"]
    fewer = with_(stated, token_logits={"names": (first[:-1], *rest)})
    error = await bench.refusal(model, fewer)
    assert error.check == "probes"
    assert "task names of 'w1' is of shape (3, 3), not (2, 3)" in str(error)


async def test_what_is_stated_is_tried_beside_the_callers_own_sentences(bench):
    model = model_of()
    stated = stated_by(model)
    report = await bench.check(model, stated, sentences=("w1", "w2", "w3"))
    assert report.probes == 3
    assert report.deviation == pytest.approx(0, abs=1e-5)
    error = await bench.refusal(model, other_embedding(stated, 0.5), sentences=("w1",))
    assert error.check == "probes"


# --- how far it is from the live version


def negated_for(word, *names):
    """Opposite results for sentences with a word."""

    def alter(output, ids):
        for row, sentence in enumerate(ids):
            if word + 4 in sentence:
                for name in names:
                    results = output.embeddings if name == "embedding" else output.logits[name]
                    results[row] *= -1

    return alter


async def test_the_smallest_cosine_counts(bench):
    new = model_of(alter=negated_for(42, "embedding"))
    report = await bench.check(new, None, sentences=SENTENCES)
    assert report.min_cosine == pytest.approx(-1, abs=1e-6)
    error = await bench.refusal(new, None, sentences=SENTENCES, min_cosine=0.5)
    assert error.check == "drift"
    assert "a cosine of -1.0000 with the live version's; at least 0.5 is asked for" in str(error)


async def test_drift_is_looked_for_in_the_callers_own_sentences(bench):
    new = model_of(alter=negated_for(77, "embedding", "parity"))
    limits = {"min_cosine": 0.99, "min_agreement": 0.99}
    await bench.check(new, None, **limits)
    await bench.check(new, None, sentences=("w1", "w78"), **limits)
    assert (await bench.refusal(new, None, sentences=("w1", "w77"), **limits)).check == "drift"


@pytest.mark.parametrize("name", ["parity", "spam", "topics", "names"])
async def test_the_share_of_equal_labels_counts(bench, name):
    new = model_of(alter=negated_for(42, name))
    report = await bench.check(new, None, sentences=SENTENCES, min_agreement=0.75)
    assert report.agreement == {**dict.fromkeys((task.name for task in TASKS), 1.0), name: 0.75}
    error = await bench.refusal(new, None, sentences=SENTENCES, min_agreement=0.8)
    assert error.check == "drift"
    assert f"{name}: 75% of the probes" in str(error)
    assert "at least 80% is asked for" in str(error)


async def test_labels_are_those_that_callers_get(bench):
    # The same logits, read by other thresholds and temperatures.
    def tasks(threshold, temperature):
        changes = {"thresholds": (threshold,) * 3, "temperature": temperature}
        return (PARITY, TOPICS.model_copy(update=changes))

    def fixed(output, ids):
        output.logits["topics"][:] = [1.0, -1.0, 0.2]  # 0.73, 0.27, 0.55

    live = model_of(tasks(0.5, 1.0), alter=fixed)
    for threshold, temperature, agreement in (
        (0.5, 1.0, 1.0),
        (0.54, 1.0, 1.0),
        (0.6, 1.0, 0.0),
        (0.54, 2.0, 0.0),  # the third is 0.525 now
        (0.5, 2.0, 1.0),
    ):
        new = model_of(tasks(threshold, temperature), alter=fixed)
        report = await bench.check(new, None, live)
        assert report.agreement == {"parity": 1.0, "topics": agreement}, (threshold, temperature)


async def test_only_tasks_that_both_have_are_compared(bench):
    live = model_of((PARITY, SPAM, TOPICS))
    new = model_of((PARITY, SPAM.model_copy(update={"labels": ("ham", "spam")}), NAMES))
    report = await bench.check(new, stated_by(new), live, min_agreement=0.0)
    assert set(report.agreement) == {"parity"}


async def test_embeddings_of_another_length_than_the_live_ones(bench):
    new = model_of(encoder=WideEncoder(), dimensions=DIMENSIONS + 1)
    report = await bench.check(new, stated_by(new))
    assert report.min_cosine is None
    error = await bench.refusal(new, stated_by(new), min_cosine=-1.0)
    assert error.check == "drift"
    assert "another length" in str(error)


async def test_large_results_are_measured_like_others(bench):
    def enlarge(output, ids):
        output.embeddings[:] *= 1e25  # whose squares float32 does not hold
        output.logits["spam"][:] = -1e4  # nor that exponential

    def enlarge_and_turn(output, ids):
        enlarge(output, ids)
        output.embeddings[0] *= -1

    report = await bench.check(model_of(alter=enlarge), None, min_cosine=0.99)
    assert report.min_cosine == pytest.approx(1, abs=1e-6)
    new = model_of(alter=enlarge_and_turn)
    assert (await bench.refusal(new, None, min_cosine=0.99)).check == "drift"


# --- beside callers


PLAN = RequestPlan(
    tasks=(),
    embedding=EmbeddingPlan(pb.EMBEDDING_FORMAT_FLOAT32, normalize=False, dimensions=DIMENSIONS),
    logits=False,
    token_logits=False,
    truncate=True,
)


async def call(bench: Bench, model: LiveModel, sentences: list[str]) -> None:
    """What a caller of a model gets is by that model, row by row."""
    job = Job(model, PLAN, model.tokenizer(sentences), 0.0)
    await bench.queue.put_when_room(job)
    await job.wait()
    wanted = np.stack([expected_embedding(sentence) for sentence in sentences])
    np.testing.assert_allclose(job.embeddings, wanted, rtol=1e-4)


@pytest.mark.parametrize("failing", [False, True])
async def test_callers_get_answers_by_the_live_version(bench, failing):
    live, new = model_of(), model_of(alter=negated_for(1, "embedding", "parity"))
    if failing:
        new.engine.fail_on = "w42"
    calls = [
        asyncio.create_task(call(bench, live, [f"w{n} w{n + 1}", "w1", "w42 w1 w3"]))
        for n in range(40)
    ]
    with pytest.raises(PushRefusedError) if failing else nullcontext():
        await bench.check(new, None, live, sentences=SENTENCES)
    await asyncio.gather(*calls)
    await call(bench, live, ["w1 w2 w3"])
    assert bench.queue.tokens == 0


async def test_probes_go_before_callers_also_where_there_is_no_room():
    queue = BatchQueue(8)
    live, new = model_of(), model_of()
    waiting = Job(live, PLAN, live.tokenizer(["w1 w2 w3 w4 w5 w6"]), 0.0)
    queue.put(waiting)  # which fills it
    check = asyncio.create_task(SemanticGate(queue).check(new, None, live, DriftLimits()))
    await asyncio.to_thread(wait_until, lambda: queue.tokens > 8)
    first = queue.take(64)
    assert first.model is new
    assert queue.take(64).model is live  # the next group of probes comes when this one is done
    check.cancel()
    with pytest.raises(asyncio.CancelledError):
        await check


async def test_a_caller_who_leaves_takes_the_probes_along():
    queue = BatchQueue(10_000)  # which nobody empties
    check = asyncio.create_task(
        SemanticGate(queue).check(model_of(), None, model_of(), DriftLimits())
    )
    await asyncio.to_thread(wait_until, lambda: queue.tokens)
    check.cancel()
    with pytest.raises(asyncio.CancelledError):
        await check
    assert queue.tokens == 0
