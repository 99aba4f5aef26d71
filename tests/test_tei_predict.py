"""Labels by `tei.v1.Predict`: of every kind of task, their order, and which task answers."""

from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import torch
from conftest import DebugWorker
from debug_model import DIMENSIONS, DebugEncoder, debug_tokenizer
from scipy.special import expit, softmax
from tei_calls import FLOAT, LENGTH, floats, parsed, raw, refused, stubs
from twinhead.client import Client
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import ModelConfig, TaskConfig, TaskKind
from twinhead.model.network import Network
from twinhead.protocols import tei_service_pb2 as tei
from twinhead.server.engines.torch_engine import TorchEngine
from twinhead.server.live_model import LiveModel

PREDICT = "/tei.v1.Predict/Predict"
TASKS = {
    task.name: task
    for task in (
        TaskConfig(name="entities", kind=TaskKind.TOKEN, labels=("O", "B-PER", "I-PER")),
        TaskConfig(name="urgent", kind=TaskKind.BINARY, labels=("no", "yes"), temperature=0.5),
        TaskConfig(name="size", labels=("small", "medium", "large"), temperature=2.5),
        TaskConfig(name="parity", labels=("even", "odd")),
        TaskConfig(
            name="flags", kind=TaskKind.MULTI_LABEL, labels=("a", "b", "c", "d"), temperature=3.0
        ),
    )
}
TEXTS = [f"w{n} w{n * n % 4000}" for n in range(0, 4000, 40)]


def start(*tasks: TaskConfig) -> DebugWorker:
    def load(*_: object) -> LiveModel:
        config = ModelConfig(encoder="debug", max_tokens=64, tasks=tasks)
        torch.manual_seed(3)
        network = Network(config, DebugEncoder(), DIMENSIONS)
        checkpoint = Checkpoint.create(network, debug_tokenizer())
        return LiveModel.of(checkpoint, TorchEngine(network, "cpu"))

    return DebugWorker(load=load, tei=True)


@pytest.fixture(scope="module")
def worker() -> Iterator[DebugWorker]:
    worker = start(*TASKS.values())
    yield worker
    worker.close()


def of_task(name: str) -> list[tuple[str, str]]:
    return [("x-twinhead-task", name)]


def test_the_bytes_are_those_of_text_embeddings_inference(worker):
    # inputs = 1, truncate = 2, raw_scores = 3, truncation_direction = 4
    request = b"\x0a\x05w7 w8\x10\x01\x18\x01\x20\x01"
    with grpc.insecure_channel(worker.target) as channel:
        *predictions, metadata = parsed(raw(channel, PREDICT, request))
    assert [(number, kind) for number, kind, _ in predictions] == [(1, LENGTH)] * 3
    assert metadata[0] == 2
    found = {}
    for _, _, prediction in predictions:
        (score_number, score_kind, score), (label_number, _, label) = parsed(prediction)
        assert (score_number, score_kind, label_number) == (1, FLOAT, 2)
        found[label.decode()] = floats(score)[0]
    with Client(worker.target) as client:
        logits = client.infer(["w7 w8"])["size"].logits[0]
    assert found == pytest.approx(dict(zip(TASKS["size"].labels, logits, strict=True)), rel=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@pytest.mark.parametrize("raw_scores", [False, True])
@pytest.mark.parametrize("name", ["urgent", "size", "parity", "flags"])
def test_scores_are_those_of_our_own_calls(worker, name, raw_scores):
    task = TASKS[name]
    with Client(worker.target) as client:
        own = client.infer(TEXTS)[name]
    logits = own.logits.astype(np.float64)
    if task.kind is TaskKind.BINARY:
        logits = np.hstack([-logits, logits])
    calibrated = logits / task.temperature
    probabilities = (
        softmax(calibrated, axis=1) if task.kind is TaskKind.SINGLE_LABEL else expit(calibrated)
    )
    expected = logits if raw_scores else probabilities
    requests = [tei.PredictRequest(inputs=text, raw_scores=raw_scores) for text in TEXTS]
    with stubs(worker.target) as call:
        answers = list(call.predict.PredictStream(iter(requests), metadata=of_task(name)))
        alone = call.predict.Predict(requests[3], metadata=of_task(name))
    assert [one.label for one in alone.predictions] == [one.label for one in answers[3].predictions]
    for row, answer in zip(expected, answers, strict=True):
        scores = {one.label: one.score for one in answer.predictions}
        assert scores == pytest.approx(dict(zip(task.labels, row, strict=True)), rel=2e-5)
        in_order = [one.score for one in answer.predictions]
        assert in_order == sorted(in_order, reverse=True)


def test_the_first_score_is_the_one_that_our_own_answers_give(worker):
    with Client(worker.target) as client, stubs(worker.target) as call:
        for text in TEXTS[:20]:
            own = client.infer([text])["size"]
            first = call.predict.Predict(tei.PredictRequest(inputs=text)).predictions[0]
            assert (first.label, first.score) == (own.labels[0], own.scores[0])


@pytest.mark.parametrize(
    ("tasks", "answering"),
    [
        (("entities", "urgent", "size", "parity"), "size"),
        (("parity", "size"), "parity"),
        (("entities", "flags", "urgent"), "flags"),
    ],
)
def test_which_task_answers_unless_one_is_named(tasks, answering):
    worker = start(*(TASKS[name] for name in tasks))
    try:
        with stubs(worker.target) as call:
            predictions = call.predict.Predict(tei.PredictRequest(inputs="w1")).predictions
    finally:
        worker.close()
    assert {one.label for one in predictions} == set(TASKS[answering].labels)


@pytest.mark.parametrize(
    ("tasks", "named", "code", "reason"),
    [
        (TASKS, "entities", "FAILED_PRECONDITION", "UNFIT_MODEL"),
        (TASKS, "nonsense", "INVALID_ARGUMENT", "INVALID_REQUEST"),
        (TASKS, "x" * 5000, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        (("entities",), "", "FAILED_PRECONDITION", "UNFIT_MODEL"),
        ((), "", "FAILED_PRECONDITION", "UNFIT_MODEL"),
    ],
)
def test_a_task_that_cannot_answer_is_refused(worker, tasks, named, code, reason):
    asked = worker if tasks is TASKS else start(*(TASKS[name] for name in tasks))
    request = tei.PredictRequest(inputs="w1")
    try:
        with stubs(asked.target) as call:
            predict = call.predict
            for attempt in (
                lambda: predict.Predict(request, metadata=of_task(named)),
                lambda: list(predict.PredictStream(iter([request]), metadata=of_task(named))),
            ):
                assert refused(attempt)[:2] == (code, reason)
    finally:
        if asked is not worker:
            asked.close()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"inputs": ""}, "inputs"),
        ({"inputs": "\n"}, "inputs"),
        ({"inputs": "w1 " * 64}, "inputs"),
        ({"inputs": "w1 " * 64, "truncate": True, "truncation_direction": 1}, "inputs"),
        ({"inputs": "w1", "truncation_direction": 5}, "truncation_direction"),
    ],
)
def test_what_has_no_answer_is_refused_with_its_field(worker, fields, named):
    request = tei.PredictRequest(**fields)
    wanted = ("INVALID_ARGUMENT", "INVALID_REQUEST", [named])
    with stubs(worker.target) as call:
        assert refused(lambda: call.predict.Predict(request)) == wanted
        assert refused(lambda: list(call.predict.PredictStream(iter([request])))) == wanted


def test_labels_that_are_equally_certain_are_ordered_by_their_logits():
    task = TaskConfig(
        name="flags", kind=TaskKind.MULTI_LABEL, labels=("a", "b", "c", "d"), temperature=1e-6
    )
    worker = start(task)
    try:
        with stubs(worker.target) as call:
            request = tei.PredictRequest(inputs="w1")
            by_score = call.predict.Predict(request).predictions
            request.raw_scores = True
            by_logit = call.predict.Predict(request).predictions
    finally:
        worker.close()
    assert len({one.score for one in by_score}) < 4  # or this would have shown nothing
    assert [one.label for one in by_score] == [one.label for one in by_logit]
