"""The figures of a token task: against numbers worked out by hand, and against scikit-learn's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import ENTITIES, SPEECH, TOPIC, check_against_sklearn, float32, indices, words
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer.encoded_rows import MISSING
from twinhead.trainer.metrics import measure
from twinhead.trainer.task_metrics import TaskMetrics
from twinhead.trainer.token_metrics import measure_tokens


def entities(*sentences: tuple[str, str], task: TaskConfig = ENTITIES) -> TaskMetrics:
    """Measured on pairs of true and predicted tags."""
    return measure_tokens(
        task,
        [words(task, predicted) for _, predicted in sentences],
        [indices(task, true) for true, _ in sentences],
    )


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
        indices_of_one[random.random(len(indices_of_one)) < 0.2] = MISSING
    measured = measure_tokens(SPEECH, logits, targets, temperature=2)
    # Parts of speech: each word is one entity, so all figures are those of words.
    every, flat = np.concatenate(logits).astype(np.float64), np.concatenate(targets)
    every, flat = every[flat != MISSING], flat[flat != MISSING]
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
    assert measured.rows == sum((one != MISSING).any() for one in targets)


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


@pytest.mark.parametrize(
    ("task", "logits", "targets", "message"),
    [
        (ENTITIES, [], [], "no labelled words"),
        (ENTITIES, [np.zeros((1, 7))], [np.array([MISSING])], "no labelled words"),
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
        measure_tokens(
            ENTITIES, [words(ENTITIES, "O")], [indices(ENTITIES, "O")], temperature=temperature
        )
