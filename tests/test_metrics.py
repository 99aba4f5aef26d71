"""The figures of a task: against numbers worked out by hand, and against scikit-learn's."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer import metrics
from twinhead.trainer.metrics import (
    UNLABELLED,
    ReliabilityBin,
    TaskMetrics,
    measure,
    measure_tokens,
)

TOPIC = TaskConfig(name="topic", labels=("a", "b", "c"))
SPAM = TaskConfig(name="spam", kind=TaskKind.BINARY, labels=("no", "yes"))
TAGS = TaskConfig(name="tags", kind=TaskKind.MULTI_LABEL, labels=("a", "b", "c", "d"))
ENTITIES = TaskConfig(
    name="entities",
    kind=TaskKind.TOKEN,
    labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"),
)
SPEECH = TaskConfig(name="speech", kind=TaskKind.TOKEN, labels=("NOUN", "VERB", "DET"))


def float32(values: object) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def logits_of(probabilities: object) -> np.ndarray:
    """Of sigmoids, in single precision."""
    values = np.array(probabilities, dtype=np.float64)
    return float32(np.log(values / (1 - values)))


def indices(task: TaskConfig, tags: str) -> np.ndarray:
    """The targets of tags; `?` has no label."""
    return np.array([UNLABELLED if tag == "?" else task.labels.index(tag) for tag in tags.split()])


def words(task: TaskConfig, tags: str, margin: float = 4.0) -> np.ndarray:
    """Logits that predict the tags."""
    return float32(margin * np.eye(task.logits)[indices(task, tags)])


def entities(*sentences: tuple[str, str], task: TaskConfig = ENTITIES) -> TaskMetrics:
    """Measured on pairs of true and predicted tags."""
    return measure_tokens(
        task,
        [words(task, predicted) for _, predicted in sentences],
        [indices(task, true) for true, _ in sentences],
    )


def check_against_sklearn(measured: TaskMetrics, targets: np.ndarray, predicted: np.ndarray):
    for average in ("macro", "weighted"):
        wanted = precision_recall_fscore_support(
            targets, predicted, average=average, zero_division=0
        )
        names = [f"{average}_{name}" for name in ("precision", "recall", "f1")]
        assert [measured.figures[name] for name in names] == pytest.approx(wanted[:3])
    each = precision_recall_fscore_support(
        targets, predicted, labels=range(len(measured.labels)), zero_division=0
    )
    for position, label in enumerate(measured.per_label):
        assert label.label == measured.labels[position]
        assert [label.precision, label.recall, label.f1, label.support] == pytest.approx(
            [part[position] for part in each]
        )


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


def test_calibration_error_by_hand():
    # Confidence 0.95 four times, 0.75 four times (two labels of three; the third is impossible).
    top = np.array([0.95] * 4 + [0.75] * 4)
    logits = float32(np.stack([np.log(top), np.log(1 - top), np.full(8, -80.0)], axis=1))
    targets = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    measured = measure(TOPIC, logits, targets)
    assert measured.figures["ece"] == pytest.approx((abs(0.75 - 0.95) + abs(0.25 - 0.75)) / 2)
    low, high = measured.reliability
    assert (low.count, low.accuracy, low.confidence) == (4, 0.25, pytest.approx(0.75))
    assert (high.count, high.accuracy, high.confidence) == (4, 0.75, pytest.approx(0.95))


def test_gaps_of_one_bin_cancel_out_and_those_of_two_do_not():
    # 0.94 and 0.99 share the last bin of 15; 0.92 and 0.94 do not share one (14 / 15 = 0.933).
    def error(first: float, second: float) -> float:
        top = np.array([first, second])
        logits = float32(np.stack([np.log(top), np.log(1 - top), np.full(2, -80.0)], axis=1))
        return measure(TOPIC, logits, np.array([0, 1])).figures["ece"]

    assert error(0.94, 0.99) == pytest.approx(abs(0.5 - (0.94 + 0.99) / 2), abs=1e-6)
    assert error(0.92, 0.94) == pytest.approx((0.08 + 0.94) / 2, abs=1e-6)


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


def test_entities_by_hand():
    measured = entities(
        ("B-PER I-PER O B-LOC", "B-PER I-PER O B-ORG"),  # a hit, and a wrong type
        ("O B-LOC O O", "O B-LOC O B-PER"),  # a hit, and one too many
    )
    figures = measured.figures
    assert (figures["precision"], figures["recall"]) == (pytest.approx(2 / 4), pytest.approx(2 / 3))
    assert figures["f1"] == measured.primary == pytest.approx(4 / 7)
    assert measured.labels == ("PER", "LOC", "ORG")
    per, loc, org = measured.per_label
    assert (per.precision, per.recall, per.support) == (0.5, 1, 1)
    assert (loc.precision, loc.recall, loc.support) == (1, 0.5, 2)
    assert (org.precision, org.recall, org.support) == (0, 0, 0)
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert figures["weighted_f1"] == pytest.approx(2 / 3)
    assert figures["accuracy"] == pytest.approx(6 / 8)
    assert measured.confusion_labels == ("O", "PER", "LOC", "ORG")
    assert measured.confusion == ((3, 1, 0, 0), (0, 2, 0, 0), (0, 0, 1, 1), (0, 0, 0, 0))
    assert measured.rows == 2


@pytest.mark.parametrize("predicted", ["B-PER O O", "B-PER I-PER I-PER", "O B-PER O"])
def test_a_wrong_boundary_is_a_miss_and_a_false_alarm(predicted):
    measured = entities(("B-PER I-PER O", predicted), ("B-LOC", "B-LOC"))
    assert measured.figures["precision"] == measured.figures["recall"] == 0.5
    person = measured.per_label[0]
    assert (person.precision, person.recall, person.f1, person.support) == (0, 0, 0, 1)


def test_one_span_cut_in_two_is_wrong_twice():
    measured = entities(("B-PER I-PER", "B-PER B-PER"), ("B-PER", "B-PER"))
    assert measured.figures["precision"] == pytest.approx(1 / 3)
    assert measured.figures["recall"] == 0.5
    # The type of each word is right all the same.
    assert measured.confusion == ((0, 0, 0, 0), (0, 3, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0))


def test_an_entity_does_not_continue_in_the_next_sentence():
    measured = entities(("B-PER", "B-PER"), ("I-PER", "B-PER"))
    assert measured.figures["f1"] == 1
    assert measured.per_label[0].support == 2


def test_targets_in_iob1_and_iob2_give_equal_figures():
    random = np.random.default_rng(4)
    iob1 = ["I-PER I-PER O I-LOC", "I-PER B-PER I-PER O", "O I-LOC I-PER I-PER"]
    iob2 = ["B-PER I-PER O B-LOC", "B-PER B-PER I-PER O", "O B-LOC B-PER I-PER"]
    logits = [words(ENTITIES, tags, 2) + float32(random.normal(size=(4, 7))) for tags in iob2]
    one, two = (
        measure_tokens(ENTITIES, logits, [indices(ENTITIES, tags) for tags in scheme])
        for scheme in (iob1, iob2)
    )
    assert one == two
    assert 0 < one.figures["f1"] < 1


def test_iob1_labels_without_a_b_tag_stay_what_they_are():
    task = TaskConfig(name="iob1", kind=TaskKind.TOKEN, labels=("O", "I-PER", "I-LOC"))
    measured = entities(("I-PER I-PER I-LOC O", "I-PER I-PER I-LOC O"), task=task)
    assert measured.figures["f1"] == measured.figures["accuracy"] == 1


def test_words_without_label_are_in_no_figure():
    logits = [words(ENTITIES, "B-PER O B-LOC"), words(ENTITIES, "B-PER O")]
    targets = [indices(ENTITIES, "B-PER O ?"), indices(ENTITIES, "? ?")]
    measured = measure_tokens(ENTITIES, logits, targets)
    assert measured.figures["precision"] == measured.figures["recall"] == 1
    assert measured.figures["accuracy"] == 1
    assert measured.rows == 1
    assert np.sum(measured.confusion) == sum(part.count for part in measured.reliability) == 2
    without = measure_tokens(ENTITIES, [logits[0][:2]], [targets[0][:2]])
    assert measured == without


def test_a_word_without_label_splits_both_sides_alike():
    measured = entities(("B-PER ? I-PER", "B-PER I-PER I-PER"))
    assert measured.figures["f1"] == measured.figures["accuracy"] == 1
    assert measured.per_label[0].support == 2


def test_figures_of_words_against_sklearn():
    random = np.random.default_rng(5)
    lengths = random.integers(0, 12, size=40)
    targets = [random.integers(3, size=length) for length in lengths]
    logits = [random.normal(size=(length, 3)).astype(np.float32) for length in lengths]
    for indices_of_one in targets:
        indices_of_one[random.random(len(indices_of_one)) < 0.2] = UNLABELLED
    measured = measure_tokens(SPEECH, logits, targets, temperature=2)
    # Parts of speech: each word is one entity, so all figures are those of words.
    every, flat = np.concatenate(logits).astype(np.float64), np.concatenate(targets)
    every, flat = every[flat != UNLABELLED], flat[flat != UNLABELLED]
    check_against_sklearn(measured, flat, every.argmax(axis=1))
    for name in ("precision", "recall", "f1"):
        assert measured.figures[name] == pytest.approx(measured.figures["accuracy"])
    wanted = measure(
        TaskConfig(name="flat", labels=SPEECH.labels), every.astype(np.float32), flat, temperature=2
    )
    for name in ("accuracy", "loss", "ece"):
        assert measured.figures[name] == pytest.approx(wanted.figures[name])
    assert measured.confusion == wanted.confusion
    assert measured.labels == measured.confusion_labels == SPEECH.labels
    assert measured.rows == sum((one != UNLABELLED).any() for one in targets)


def test_no_entity_anywhere_is_no_nan():
    measured = entities(("O O", "O O"))
    assert measured.figures["accuracy"] == 1
    assert measured.primary == measured.figures["macro_f1"] == 0


@given(st.lists(st.lists(st.sampled_from(ENTITIES.labels), min_size=1), min_size=1, max_size=5))
def test_predicting_the_targets_is_perfect(sentences):
    joined = [" ".join(tags) for tags in sentences]
    measured = entities(*((tags, tags) for tags in joined))
    found = any(tag != "O" for tags in sentences for tag in tags)
    assert measured.figures["f1"] == measured.figures["macro_f1"] == float(found)
    assert np.trace(measured.confusion) == sum(map(len, sentences))


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
    "measured",
    [
        measure(TOPIC, float32([[1, 0, 0]]), np.array([1])),
        measure(SPAM, float32([[1], [-1]]), np.array([1, 0])),
        measure(TAGS, np.zeros((1, 4), np.float32), np.zeros((1, 4), np.int64)),
        measure_tokens(ENTITIES, [words(ENTITIES, "O")], [indices(ENTITIES, "O")]),
    ],
    ids=lambda measured: measured.kind.value,
)
def test_json(measured):
    written = json.loads(json.dumps(measured.as_json(), allow_nan=False))
    assert written == measured.as_json()
    assert written["figures"] == measured.figures
    assert written["kind"] == measured.kind.value
    assert len(written["per_label"]) == len(written["labels"])
    assert written["per_label"][0].keys() == {"label", "precision", "recall", "f1", "support"}
    assert written["reliability"][0].keys() == {"confidence", "accuracy", "count"}


def test_json_has_no_nan():
    measured = measure(TOPIC, float32([[1, 0, 0]]), np.array([0]))
    odd = replace(
        measured,
        figures={"loss": math.nan, "accuracy": math.inf, "ece": 0.5},
        reliability=(ReliabilityBin(math.nan, 1.0, 0),),
    ).as_json()
    assert odd["figures"] == {"loss": None, "accuracy": None, "ece": 0.5}
    assert odd["reliability"] == [{"confidence": None, "accuracy": 1.0, "count": 0}]
    json.dumps(odd, allow_nan=False)


def test_a_confusion_matrix_of_too_many_labels_is_left_out(monkeypatch):
    logits, targets = float32([[1, 0, 0]]), np.array([0])
    monkeypatch.setattr(metrics, "MAX_CONFUSION_LABELS", 2)
    assert measure(TOPIC, logits, targets).confusion is None
    monkeypatch.setattr(metrics, "MAX_CONFUSION_LABELS", 3)
    assert measure(TOPIC, logits, targets).confusion is not None


@pytest.mark.parametrize(
    ("task", "logits", "targets", "message"),
    [
        (TOPIC, np.zeros((0, 3)), np.zeros(0, int), "topic: there are no labelled rows"),
        (TOPIC, np.zeros((2, 4)), np.zeros(2, int), r"logits of shape \(2, 4\), not \(2, 3\)"),
        (TOPIC, np.zeros((2, 3)), np.zeros((2, 3), int), "targets of shape"),
        (TOPIC, np.zeros((2, 3)), np.array([0, UNLABELLED]), "from 0 to 2"),
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


@pytest.mark.parametrize(
    ("task", "logits", "targets", "message"),
    [
        (ENTITIES, [], [], "no labelled words"),
        (ENTITIES, [np.zeros((1, 7))], [np.array([UNLABELLED])], "no labelled words"),
        (ENTITIES, [np.zeros((2, 7))], [np.array([0])], r"shape \(2, 7\), not \(1, 7\)"),
        (ENTITIES, [np.zeros((1, 7))], [], "1 sentences, but targets of 0"),
        (ENTITIES, [np.zeros((1, 7))], [np.array([7])], "from 0 to 6"),
        (ENTITIES, [np.full((1, 7), np.inf)], [np.array([0])], "not finite"),
        (TOPIC, [np.zeros((1, 3))], [np.array([0])], "use measure"),
    ],
)
def test_what_tokens_cannot_be_measured(task, logits, targets, message):
    with pytest.raises(ValueError, match=message):
        measure_tokens(task, logits, targets)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_is_positive(temperature):
    with pytest.raises(ValueError, match="positive number"):
        measure(TOPIC, float32([[1, 0, 0]]), np.array([0]), temperature=temperature)
    with pytest.raises(ValueError, match="positive number"):
        measure_tokens(
            ENTITIES, [words(ENTITIES, "O")], [indices(ENTITIES, "O")], temperature=temperature
        )
