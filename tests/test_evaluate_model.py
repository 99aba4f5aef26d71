"""Figures of a checkpoint, against the same computed row by row."""

import numpy as np
import pytest
import torch
from evaluated import NO_WORDS, TASKS, checkpoint, random_rows, rows_of, silent
from scipy.special import expit, log_softmax
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.words import first_tokens
from twinhead.trainer.evaluate_model import ModelEvaluation, evaluate_model
from twinhead.trainer.evaluation_rows import EvaluationRows
from twinhead.trainer.labelled_rows import LabelledRow

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Checkpoint:
    return checkpoint(tmp_path_factory.mktemp("model"))


def evaluate(model: Checkpoint, data: EvaluationRows) -> ModelEvaluation:
    return evaluate_model(model, data, device=CPU, on_progress=silent)


def logits_of(model: Checkpoint, text: str, task: str) -> tuple[np.ndarray, list]:
    (tokens,) = model.tokenizer([text], offsets=True)
    ids = torch.tensor([tokens.ids])
    with torch.inference_mode():
        output = model.network(ids, torch.ones_like(ids))
    return output.logits[task][0].double().numpy(), tokens.offsets


def test_figures_are_those_of_each_row_alone(model):
    rows = random_rows(60)
    measured = evaluate(model, rows_of(rows))
    assert (measured.version, measured.rows, measured.failed) == (model.version, 60, ())
    found = {evaluation.metrics.task: evaluation.metrics for evaluation in measured.evaluations}
    assert set(found) == {task.name for task in TASKS}
    topic, _, tags, names = TASKS

    losses, right = [], []
    for row in rows:
        if (label := row.labels.get("topic")) is not None:
            logits, _ = logits_of(model, row.text, "topic")
            losses.append(-log_softmax(logits / 1.7)[topic.labels.index(label)])
            right.append(topic.labels[logits.argmax()] == label)
    assert found["topic"].rows == len(right)
    assert found["topic"].figures["accuracy"] == np.mean(right)
    assert found["topic"].figures["loss"] == pytest.approx(np.mean(losses), abs=1e-6)

    right = [
        (expit(logits_of(model, row.text, "spam")[0][0] / 0.7) >= 0.6) == (label == "yes")
        for row in rows
        if (label := row.labels.get("spam")) is not None
    ]
    assert found["spam"].figures["accuracy"] == np.mean(right)

    right = []
    for row in rows:
        if (label := row.labels.get("tags")) is not None:
            scores = expit(logits_of(model, row.text, "tags")[0] / 2.3)
            given = {tags.labels[n] for n in np.flatnonzero(scores >= np.array(tags.thresholds))}
            right.append(given == set(label))
    assert found["tags"].figures["exact_match"] == np.mean(right)

    right = []
    for row in rows:
        if (label := row.labels.get("names")) is not None:
            logits, offsets = logits_of(model, row.text, "names")
            chosen = first_tokens(row.words, offsets)
            right += [
                names.labels[logits[token].argmax()].split("-")[-1] == tag.split("-")[-1]
                for token, tag in zip(chosen, label, strict=True)
                if token >= 0
            ]
    confusion = np.array(found["names"].confusion)
    assert confusion.sum() == len(right)  # what truncation cut off is not in it
    assert np.trace(confusion) == sum(right)


def test_tasks_without_labels_are_not_measured(model):
    measured = evaluate(model, rows_of(random_rows(9, TASKS[1:2])))
    assert [evaluation.metrics.task for evaluation in measured.evaluations] == ["spam"]


def test_several_data_sets_are_measured_together_and_one_by_one(model):
    topics, other = random_rows(20, TASKS[:1]), random_rows(30, TASKS[:2], seed=1)
    measured = evaluate(model, rows_of(topics, other, name="validation"))
    found = {(e.metrics.task, e.dataset): e.metrics for e in measured.evaluations}
    assert {e.split for e in measured.evaluations} == {"validation"}
    # Of spam only one has labels: that is the whole.
    assert set(found) == {("topic", None), ("topic", "set0"), ("topic", "set1"), ("spam", None)}
    for name, rows in (("set0", topics), ("set1", other)):
        (alone, *_) = evaluate(model, rows_of(rows)).evaluations
        assert found["topic", name].figures == pytest.approx(alone.metrics.figures, abs=1e-6)


def test_a_row_that_cannot_be_read_is_in_no_figure(model):
    rows = [*random_rows(5, TASKS[:1], seed=2), LabelledRow(NO_WORDS, {"topic": "sea"}, "in:9")]
    measured = evaluate(model, rows_of(rows))
    assert [(row.origin, row.reason) for row in measured.failed] == [
        ("in:9", "nothing of the sentence can be read by the model (control characters only?)")
    ]
    assert measured.rows == 5
    assert measured.evaluations[0].metrics.rows == sum("topic" in row.labels for row in rows) - 1


def test_no_row_that_can_be_read(model):
    measured = evaluate(model, rows_of([LabelledRow(NO_WORDS, {"topic": "sea"}, "in:1")]))
    assert (measured.rows, measured.evaluations, len(measured.failed)) == (0, (), 1)


def test_progress_grows_over_all_splits(model):
    (first,), (second,) = (rows_of(random_rows(n, TASKS[:1])).splits for n in (260, 5))
    told: list[int] = []
    data = EvaluationRows((first, second))
    measured = evaluate_model(model, data, device=CPU, on_progress=told.append)
    assert told == [256, 260, 265]
    assert measured.rows == 265
