"""The figures of whole sentences: against numbers worked out by hand, and scikit-learn's."""

import math

import numpy as np
import pytest
from measured import ENTITIES, SPAM, TAGS, TOPIC, check_against_sklearn, float32, logits_of
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer.encoded_rows import MISSING
from twinhead.trainer.metrics import measure


def test_single_label_by_hand():
    # Predicted a, a, b, c for a, b, b, c.
    logits = float32([[2, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]])
    measured = measure(TOPIC, logits, np.array([0, 1, 1, 2]))
    sure = math.exp(2) / (math.exp(2) + 2)
    unsure = 1 / (math.exp(2) + 2)
    assert measured.figures == pytest.approx(
        {
            "accuracy": 0.75,
            "macro_precision": (0.5 + 1 + 1) / 3,
            "macro_recall": (1 + 0.5 + 1) / 3,
            "macro_f1": (2 / 3 + 2 / 3 + 1) / 3,
            "weighted_precision": (0.5 + 2 * 1 + 1) / 4,
            "weighted_recall": 0.75,
            "weighted_f1": (2 / 3 + 2 * 2 / 3 + 1) / 4,
            "loss": -(3 * math.log(sure) + math.log(unsure)) / 4,
            "ece": abs(0.75 - sure),
        }
    )
    assert measured.confusion == ((1, 0, 0), (1, 1, 0), (0, 0, 1))
    assert measured.labels == measured.confusion_labels == ("a", "b", "c")
    assert (measured.task, measured.kind, measured.rows) == ("topic", TaskKind.SINGLE_LABEL, 4)
    assert [label.support for label in measured.per_label] == [1, 2, 1]
    assert measured.primary == 0.75


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_single_label_against_sklearn(temperature):
    random = np.random.default_rng(1)
    task = TaskConfig(name="many", labels=tuple("abcdefg"))
    # The last two labels are never true; the last one is never predicted, either.
    targets = random.integers(5, size=400)
    logits = random.normal(size=(400, 7)).astype(np.float32)
    logits[np.arange(400), targets] += 1
    logits[:, 6] = -50
    measured = measure(task, logits, targets, temperature=temperature)
    predicted = logits.argmax(axis=1)
    assert set(predicted) == set(range(6))
    check_against_sklearn(measured, targets, predicted)
    assert measured.figures["accuracy"] == pytest.approx(accuracy_score(targets, predicted))
    probabilities = np.exp(logits.astype(np.float64) / temperature)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    assert measured.figures["loss"] == pytest.approx(
        log_loss(targets, probabilities, labels=range(7))
    )
    wanted = confusion_matrix(targets, predicted, labels=range(7))
    assert np.array_equal(np.array(measured.confusion), wanted)


def test_a_label_that_occurs_nowhere_does_not_lower_the_macro_average():
    logits, targets = float32([[3, 0, -9], [0, 3, -9]]), np.array([0, 1])
    assert measure(TOPIC, logits, targets).figures["macro_f1"] == 1
    # One that is predicted only is a mistake and counts.
    logits = float32([[3, 0, -9], [0, 3, -9], [0, 0, 3]])
    measured = measure(TOPIC, logits, np.array([0, 1, 1]))
    assert measured.figures["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert measured.figures["weighted_f1"] == pytest.approx((1 + 2 * 2 / 3) / 3)


def test_binary_threshold_decides_but_does_not_calibrate():
    task = SPAM.model_copy(update={"thresholds": (0.8,)})
    probabilities, targets = [0.1, 0.6, 0.7, 0.9], np.array([0, 0, 1, 1])
    logits = logits_of(probabilities)[:, None]
    measured = measure(task, logits, targets)
    assert measured.confusion == ((2, 0), (1, 1))
    assert measured.figures["accuracy"] == 0.75
    no, yes = measured.per_label
    assert (no.label, no.precision, no.recall, no.support) == ("no", pytest.approx(2 / 3), 1, 2)
    assert (yes.label, yes.precision, yes.recall, yes.support) == ("yes", 1, 0.5, 2)
    assert measured.figures["loss"] == pytest.approx(-np.log([0.9, 0.4, 0.7, 0.9]).mean(), rel=1e-6)
    # Bins: 0.9 (not 0.1) and 0.9 right; 0.6 wrong; 0.7 right, although the threshold says no.
    assert measured.figures["ece"] == pytest.approx((0.2 + 0.6 + 0.3) / 4, rel=1e-6)
    plain = measure(SPAM, logits, targets)
    assert plain.confusion == ((1, 1), (0, 2))
    assert plain.reliability == measured.reliability
    assert plain.primary == plain.figures["accuracy"] == 0.75


def test_binary_temperature_is_applied_before_the_threshold():
    task = SPAM.model_copy(update={"thresholds": (0.8,)})
    logits = float32([[2.0]])  # 0.88; at a temperature of 2, 0.73
    assert measure(task, logits, np.array([1])).figures["accuracy"] == 1
    assert measure(task, logits, np.array([1]), temperature=2).figures["accuracy"] == 0


def test_binary_reaching_the_threshold_is_yes():
    assert measure(SPAM, float32([[0.0]]), np.array([1])).figures["accuracy"] == 1


def test_binary_against_sklearn():
    random = np.random.default_rng(2)
    targets = random.integers(2, size=300)
    logits = (random.normal(size=300) + targets).astype(np.float32)
    task = SPAM.model_copy(update={"thresholds": (0.65,)})
    measured = measure(task, logits[:, None], targets, temperature=1.5)
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64) / 1.5))
    check_against_sklearn(measured, targets, (probabilities >= 0.65).astype(int))
    figures = measured.figures
    assert figures["loss"] == pytest.approx(log_loss(targets, probabilities))
    assert figures["roc_auc"] == pytest.approx(roc_auc_score(targets, probabilities))
    assert figures["average_precision"] == pytest.approx(
        average_precision_score(targets, probabilities)
    )


@pytest.mark.parametrize("answer", [0, 1])
def test_binary_ranking_needs_both_answers(answer):
    measured = measure(SPAM, float32([[1], [2]]), np.array([answer, answer]))
    assert not {"roc_auc", "average_precision"} & set(measured.figures)


def test_multi_label_by_hand():
    task = TAGS.model_copy(update={"thresholds": (0.5, 0.3, 0.5, 0.5)})
    probabilities = [[0.9, 0.4, 0.1, 0.1], [0.2, 0.8, 0.6, 0.1]]
    targets = np.array([[1, 1, 0, 0], [1, 1, 0, 0]])
    measured = measure(task, logits_of(probabilities), targets)
    # Given: a b, then b c. One hit of a (of 2), two of b, one c too many, and no d at all.
    assert measured.figures == pytest.approx(
        {
            "exact_match": 0.5,
            "micro_f1": 2 * 3 / (4 + 4),
            "macro_precision": (1 + 1 + 0) / 3,
            "macro_recall": (0.5 + 1 + 0) / 3,
            "macro_f1": (2 / 3 + 1 + 0) / 3,
            "weighted_precision": 1.0,
            "weighted_recall": 0.75,
            "weighted_f1": (2 / 3 + 1) / 2,
            "loss": -np.log([0.9, 0.4, 0.9, 0.9, 0.2, 0.8, 0.4, 0.9]).mean(),
            # Bins: 0.6 twice, wrong (b below 0.5, and c); 0.8 wrong and 0.8 right; 0.9 right.
            "ece": (2 * 0.6 + 2 * 0.3 + 4 * 0.1) / 8,
        },
        rel=1e-6,
    )
    assert measured.confusion is None
    assert measured.rows == 2
    assert [label.support for label in measured.per_label] == [2, 2, 0, 0]
    assert sum(part.count for part in measured.reliability) == 8
    assert measured.primary == measured.figures["macro_f1"]


def test_multi_label_against_sklearn():
    random = np.random.default_rng(3)
    targets = random.integers(2, size=(200, 4))
    logits = (random.normal(size=(200, 4)) + targets - 0.5).astype(np.float32)
    thresholds = (0.3, 0.5, 0.6, 0.7)
    task = TAGS.model_copy(update={"thresholds": thresholds})
    measured = measure(task, logits, targets, temperature=0.8)
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64) / 0.8))
    predicted = (probabilities >= np.array(thresholds)).astype(int)
    check_against_sklearn(measured, targets, predicted)
    assert measured.figures["exact_match"] == pytest.approx(accuracy_score(targets, predicted))
    assert measured.figures["loss"] == pytest.approx(
        log_loss(targets.ravel(), probabilities.ravel())
    )
    micro = precision_recall_fscore_support(targets, predicted, average="micro")
    assert measured.figures["micro_f1"] == pytest.approx(micro[2])


def test_multi_label_with_one_label_or_without_any_yes():
    task = TaskConfig(name="one", kind=TaskKind.MULTI_LABEL, labels=("a",))
    measured = measure(task, float32([[2], [2], [-2]]), np.array([[1], [0], [0]]))
    assert len(measured.per_label) == 1
    assert measured.figures["macro_f1"] == pytest.approx(2 / 3)
    silent = measure(TAGS, np.full((2, 4), -3, np.float32), np.zeros((2, 4), np.int64))
    assert silent.figures["exact_match"] == 1
    assert silent.figures["macro_f1"] == silent.figures["weighted_f1"] == 0


@pytest.mark.parametrize("temperature", [0.001, 1.0, 1000.0])
def test_extreme_logits_are_no_overflow(temperature):
    # Warnings are errors in these tests.
    extreme = float32([[3e38, -3e38, 0], [-3e38, 3e38, 1]])
    right = measure(TOPIC, extreme, np.array([0, 1]), temperature=temperature)
    assert right.figures["loss"] == 0
    assert measure(TOPIC, extreme, np.array([1, 2])).figures["loss"] > 1e38
    yes = measure(SPAM, extreme[:, :1], np.array([1, 0]), temperature=temperature)
    assert (yes.figures["loss"], yes.figures["ece"]) == (0, 0)
    several = measure(TAGS, np.full((1, 4), -3e38, np.float32), np.ones((1, 4), np.int64))
    assert math.isfinite(several.figures["loss"])


@pytest.mark.parametrize(
    ("task", "logits", "targets", "message"),
    [
        (TOPIC, np.zeros((0, 3)), np.zeros(0, int), "topic: there are no labelled rows"),
        (TOPIC, np.zeros((2, 4)), np.zeros(2, int), r"logits of shape \(2, 4\), not \(2, 3\)"),
        (TOPIC, np.zeros((2, 3)), np.zeros((2, 3), int), "targets of shape"),
        (TOPIC, np.zeros((2, 3)), np.array([0, MISSING]), "from 0 to 2"),
        (TOPIC, np.zeros((2, 3)), np.array([0, 3]), "from 0 to 2"),
        (SPAM, np.zeros((1, 1)), np.array([2]), "from 0 to 1"),
        (SPAM, np.zeros((1, 2)), np.array([1]), "logits of shape"),
        (TAGS, np.zeros((1, 4)), np.array([1]), "targets of shape"),
        (TOPIC, np.array([[0, np.nan, 0]]), np.array([0]), "not finite"),
        (ENTITIES, np.zeros((1, 7)), np.array([0]), "use measure_tokens"),
    ],
)
def test_what_cannot_be_measured(task, logits, targets, message):
    with pytest.raises(ValueError, match=message):
        measure(task, logits.astype(np.float32), targets)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_is_positive(temperature):
    with pytest.raises(ValueError, match="positive number"):
        measure(TOPIC, float32([[1, 0, 0]]), np.array([0]), temperature=temperature)
