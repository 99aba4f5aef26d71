"""Figures of a worker are those of its checkpoint."""

from dataclasses import replace

import pytest
import torch
from evaluated import NO_WORDS, TASKS, checkpoint, of_choices, random_rows, rows_of, silent
from reference_configurations import build
from twinhead.client import Client, TaskInfo, VersionNotLiveError, WorkerUnavailableError
from twinhead.model.checkpoint import Checkpoint
from twinhead.server.load_model import load_model
from twinhead.trainer.evaluate_model import ModelEvaluation, evaluate_model
from twinhead.trainer.evaluate_worker import evaluate_worker, tasks_of
from twinhead.trainer.evaluation_rows import EvaluationRows
from twinhead.trainer.labelled_rows import LabelledRow


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("model")
    checkpoint(folder).save(folder / "saved")
    return Checkpoint.load(folder / "saved")


@pytest.fixture
def worker(model, start_debug_worker):
    return start_debug_worker(load=load_model, model=str(model.source), device="cpu")


def evaluate(target: str, data: EvaluationRows, **changes) -> ModelEvaluation:
    with Client(target) as client:
        info = replace(client.model(), **changes)
        return evaluate_worker(client, info, data, on_progress=silent)


def locally(model: Checkpoint, data: EvaluationRows) -> ModelEvaluation:
    return evaluate_model(model, data, device=torch.device("cpu"), on_progress=silent)


def assert_same(served: ModelEvaluation, local: ModelEvaluation) -> None:
    assert (served.version, served.rows, served.failed) == (
        local.version,
        local.rows,
        local.failed,
    )
    of_worker = {(e.split, e.dataset, e.metrics.task): e.metrics for e in served.evaluations}
    of_model = {(e.split, e.dataset, e.metrics.task): e.metrics for e in local.evaluations}
    assert of_worker.keys() == of_model.keys()
    for key, metrics in of_model.items():
        other = of_worker[key]
        assert other.figures.keys() == metrics.figures.keys()
        for name, figure in metrics.figures.items():
            # The last bit of a logit depends on what it is padded with. It can swap two rows that
            # are ranked side by side, or take one over the edge of a bin.
            much = 2e-3 if name in ("roc_auc", "average_precision", "ece") else 1e-6
            assert other.figures[name] == pytest.approx(figure, abs=much), name
        for name in ("accuracy", "exact_match", "f1", "macro_f1"):
            assert other.figures.get(name) == metrics.figures.get(name)
        assert other.rows == metrics.rows
        assert other.per_label == metrics.per_label
        assert other.confusion == metrics.confusion


def test_tasks_are_those_of_the_checkpoint(model, worker):
    with Client(worker.target) as client:
        tasks = tasks_of(client.model())
    assert list(tasks.values()) == list(TASKS)  # thresholds and temperatures to the last digit


def test_a_task_of_an_unknown_kind_is_left_out(worker):
    with Client(worker.target) as client:
        info = client.model()
    newer = {"ranks": TaskInfo("ranks", "kind_9", ("a", "b")), **info.tasks}
    assert "ranks" not in tasks_of(replace(info, tasks=newer))


# So many rows that answers come in several batches, also of a single row.
@pytest.mark.parametrize("most_rows", [1024, 7, 1])
def test_every_kind_of_task_has_the_figures_of_the_checkpoint(model, worker, most_rows):
    count = 700 if most_rows == 1024 else 40
    unread = LabelledRow(NO_WORDS, {"topic": "sea", "spam": "no"}, "rows:0")
    data = rows_of([unread, *random_rows(count)], random_rows(30, TASKS[:2], seed=3))
    served = evaluate(worker.target, data, sentences_per_request=most_rows)
    assert_same(served, locally(model, data))
    assert [row.origin for row in served.failed] == ["rows:0"]


def test_a_worker_process_with_the_published_configuration_of_entities(start_worker, tmp_path):
    model = build("bert_cls_ner", tmp_path)
    model.save(tmp_path / "saved")
    worker = start_worker("--model", str(tmp_path / "saved"))
    data = rows_of(random_rows(50, model.config.tasks, longest=60))
    served = evaluate(worker.target, data)
    assert_same(served, locally(model, data))
    assert {e.metrics.task for e in served.evaluations} == {"class", "entities"}


def test_answers_with_logits_of_tokens_stay_small(model, worker, monkeypatch):
    monkeypatch.setattr("twinhead.trainer.evaluate_worker._ANSWER_BYTES", 1)  # a row each
    data = rows_of(random_rows(12))
    assert_same(evaluate(worker.target, data), locally(model, data))


def test_long_texts_are_cut_as_the_worker_cuts_them(model, worker):
    data = rows_of([LabelledRow("fox " * 60_000, {"topic": "sea"}, "rows:1")] * 3)
    assert_same(evaluate(worker.target, data), locally(model, data))


def test_another_version_is_not_measured(worker):
    with pytest.raises(VersionNotLiveError, match="model was changed while it was measured"):
        evaluate(worker.target, rows_of(random_rows(5)), version="0123456789abcdef")


def test_a_worker_that_goes_away(worker, monkeypatch):
    with Client(worker.target) as client:
        info = client.model()
        stream = client.infer_stream
        monkeypatch.setattr(
            client, "infer_stream", lambda *args: stream(*args, reconnect_seconds=0)
        )
        worker.drain()
        with pytest.raises(WorkerUnavailableError):
            evaluate_worker(client, info, rows_of(random_rows(5)), on_progress=silent)


def test_rows_are_measured_among_the_labels_that_they_could_have(model, worker):
    choices = ("sea", "sky")
    some = of_choices(random_rows(200, seed=4), "topic", choices)
    data = rows_of(random_rows(60), some)
    local = locally(model, data)
    assert_same(evaluate(worker.target, data), local)
    (of_two,) = [
        e.metrics for e in local.evaluations if (e.dataset, e.metrics.task) == ("set1", "topic")
    ]
    assert [row[1] for row in of_two.confusion] == [0, 0, 0]
    without = [replace(row, choices={}) for row in some]
    (of_three,) = [
        e.metrics for e in locally(model, rows_of(without)).evaluations if e.metrics.task == "topic"
    ]
    assert of_three.figures["loss"] > of_two.figures["loss"]
