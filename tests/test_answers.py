"""Logits decoded, for each kind of task, against plain arithmetic."""

import math

import numpy as np
import pytest
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.model.tokenizer import TokenizedSentence
from twinhead.server.answers import (
    TASK_KINDS,
    binary_answer,
    decisions,
    multi_label_answer,
    sigmoid,
    single_label_answer,
    token_answer,
)

ALL = np.array([True, True, True])
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TOKEN_TASK = TaskConfig(name="ner", kind=TaskKind.TOKEN, labels=TAGS)
TEMPERATURES = [0.02, 0.5, 1.0, 2.5, 100.0]


def task_of(kind: TaskKind, labels: int = 3, **settings) -> TaskConfig:
    return TaskConfig(
        name="t", kind=kind, labels=tuple(f"label {n}" for n in range(labels)), **settings
    )


def random_logits(columns: int) -> np.ndarray:
    return np.random.default_rng(columns).normal(0, 3, (200, columns)).astype(np.float32)


def softmax(logits: list[float], temperature: float) -> list[float]:
    """Without any of the answers' code or numpy, in double precision."""
    largest = max(logits)
    exponentials = [math.exp((each - largest) / temperature) for each in logits]
    return [each / math.fsum(exponentials) for each in exponentials]


def logistic(logit: float, temperature: float) -> float:
    return 1 / (1 + math.exp(-logit / temperature))


def test_every_kind_has_its_number():
    assert set(TASK_KINDS) == set(TaskKind)
    assert len(set(TASK_KINDS.values())) == len(TaskKind)


def test_single_label():
    logits = np.array([[1.0, 3.0], [2.0, 2.0], [-500.0, 500.0]], dtype=np.float32)
    answer = single_label_answer(
        task_of(TaskKind.SINGLE_LABEL, 2), logits, np.array([True, False, True])
    )
    assert list(answer.label_indices) == [1, -1, 1]
    assert answer.scores[0] == pytest.approx(1 / (1 + math.exp(-2)), rel=1e-6)
    assert answer.scores[1] == 0
    assert answer.scores[2] == 1


def test_sigmoid_neither_overflows_nor_leaves_float32():
    values = sigmoid(np.array([-1000.0, -1.0, 0.0, 1.0, 1000.0], dtype=np.float32))
    assert values.dtype == np.float32
    assert values[0] == 0
    assert values[4] == 1
    np.testing.assert_allclose(values[1:4], [1 / (1 + math.e), 0.5, math.e / (1 + math.e)], 1e-6)


def test_binary_by_its_threshold():
    logits = np.array([[2.0], [0.0], [5.0]], dtype=np.float32)
    task = task_of(TaskKind.BINARY, 2, thresholds=(0.6,))
    answer = binary_answer(task, logits, np.array([True, True, False]))
    assert list(answer.label_indices) == [1, 0, -1]
    assert answer.probabilities[0] == pytest.approx(1 / (1 + math.exp(-2)), rel=1e-6)
    assert list(answer.probabilities[1:]) == [0.5, 0]


def test_multi_label_by_each_labels_threshold_and_most_probable_first():
    logits = np.array([[0.1, 3.0, 1.0], [9.0, -9.0, 0.0], [9.0, 9.0, 9.0]], dtype=np.float32)
    task = task_of(TaskKind.MULTI_LABEL, thresholds=(0.6, 0.5, 0.7))
    answer = multi_label_answer(task, logits, np.array([True, True, False]))
    found = [(list(each.label_indices), list(each.scores)) for each in answer.sentences]
    assert [indices for indices, _ in found] == [[1, 2], [0], []]
    assert found[0][1] == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-1))], rel=1e-6)


def test_labels_of_equal_probability_are_in_the_order_of_their_logits():
    logits = np.array([[30.0, 50.0, 40.0]], dtype=np.float32)  # all of them round to 1
    answer = multi_label_answer(task_of(TaskKind.MULTI_LABEL), logits, ALL[:1])
    assert list(answer.sentences[0].label_indices) == [1, 2, 0]
    assert list(answer.sentences[0].scores) == [1, 1, 1]


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_temperature_of_a_single_label(temperature):
    logits, before = random_logits(4), random_logits(4)
    task = task_of(TaskKind.SINGLE_LABEL, 4, temperature=temperature)
    answer = single_label_answer(task, logits, np.ones(200, dtype=bool))
    expected = [max(softmax(row, temperature)) for row in logits.tolist()]
    np.testing.assert_allclose(answer.scores, expected, rtol=1e-5)
    assert list(answer.label_indices) == logits.argmax(axis=1).tolist()
    np.testing.assert_array_equal(logits, before)  # they are answered as they are


def test_temperature_never_changes_which_label_is_the_top_one():
    # Next to each other in float32: divided, they round to the same number.
    lower = np.float32(1.5000001)
    higher = np.nextafter(lower, np.float32(2))
    assert lower / np.float32(3) == higher / np.float32(3)
    logits = np.array([[lower, higher], [higher, lower]])
    task = task_of(TaskKind.SINGLE_LABEL, 2, temperature=3)
    assert list(single_label_answer(task, logits, ALL[:2]).label_indices) == [1, 0]


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_temperature_of_a_binary_task(temperature):
    logits = random_logits(1)
    task = task_of(TaskKind.BINARY, 2, thresholds=(0.7,), temperature=temperature)
    answer = binary_answer(task, logits, np.ones(200, dtype=bool))
    expected = [logistic(logit, temperature) for (logit,) in logits.tolist()]
    np.testing.assert_allclose(answer.probabilities, expected, rtol=1e-5, atol=1e-9)
    assert list(answer.label_indices) == [int(each >= 0.7) for each in expected]


@pytest.mark.parametrize(("temperature", "index"), [(0.5, 1), (1.0, 0), (4.0, 0)])
def test_a_threshold_applies_after_the_temperature(temperature, index):
    logits = np.array([[1.0]], dtype=np.float32)  # 0.88, 0.73 and 0.56
    task = task_of(TaskKind.BINARY, 2, thresholds=(0.8,), temperature=temperature)
    assert list(binary_answer(task, logits, ALL[:1]).label_indices) == [index]


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_temperature_of_a_multi_label_task(temperature):
    logits = random_logits(3)
    thresholds = (0.2, 0.55, 0.9)
    task = task_of(TaskKind.MULTI_LABEL, thresholds=thresholds, temperature=temperature)
    answer = multi_label_answer(task, logits, np.ones(200, dtype=bool))
    assert len(answer.sentences) == 200
    for row, found in zip(logits.tolist(), answer.sentences, strict=True):
        expected = {n: logistic(logit, temperature) for n, logit in enumerate(row)}
        given = [n for n in expected if expected[n] >= thresholds[n]]
        assert list(found.label_indices) == sorted(given, key=lambda n: -row[n])
        assert list(found.scores) == pytest.approx(
            [expected[n] for n in found.label_indices], rel=1e-5
        )


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_temperature_of_a_token_task(temperature):
    rng = np.random.default_rng(5)
    logits = logits_for("B-PER", "I-PER", "O", "B-LOC") + rng.random((4, 5), dtype=np.float32)
    tokens = TokenizedSentence([0] * 4, 4, [(0, 3), (4, 7), (8, 10), (11, 15)])
    task = TOKEN_TASK.model_copy(update={"temperature": temperature})
    answer = token_answer(task, [logits], ["Ann Lee in Rome"], [tokens], with_logits=True)
    top = [max(softmax(row, temperature)) for row in logits.tolist()]
    found = [(e.label, e.start, e.end, e.score) for e in answer.sentences[0].entities]
    assert found == [
        ("PER", 0, 7, pytest.approx((top[0] + top[1]) / 2, rel=1e-5)),
        ("LOC", 11, 15, pytest.approx(top[3], rel=1e-5)),
    ]
    assert list(answer.logits.values.float32_values) == logits.ravel().tolist()


@pytest.mark.parametrize("temperature", [1e-6, 100.0])
def test_scores_are_finite_at_the_bounds_of_the_temperature(temperature):
    """The bounds are those of the config; warnings are errors."""
    logits = np.array([[-1e30, 0.0, 1e30], [0.0, 0.0, 0.0]], dtype=np.float32)
    settings = {"temperature": temperature}
    single = single_label_answer(task_of(TaskKind.SINGLE_LABEL, **settings), logits, ALL[:2])
    assert list(single.scores) == pytest.approx([1, 1 / 3])
    binary = binary_answer(task_of(TaskKind.BINARY, 2, **settings), logits.T[:, :1], ALL)
    assert list(binary.probabilities) == [0, 0.5, 1]
    multi = multi_label_answer(task_of(TaskKind.MULTI_LABEL, **settings), logits, ALL[:2])
    assert [list(each.scores) for each in multi.sentences] == [[1, 0.5], [0.5, 0.5, 0.5]]


def logits_for(*tags: str) -> np.ndarray:
    rows = np.zeros((len(tags), len(TAGS)), dtype=np.float32)
    for row, tag in enumerate(tags):
        rows[row, TAGS.index(tag)] = 4
    return rows


def test_entities_have_the_places_of_the_original_text():
    text = "😀  Zoë Müller, Łódź"
    offsets = [(0, 0), (0, 1), (3, 5), (5, 6), (7, 13), (13, 14), (15, 19), (0, 0)]
    tags = ("O", "O", "B-PER", "O", "I-PER", "O", "I-LOC", "O")
    tokens = TokenizedSentence([0] * len(tags), len(tags), offsets)
    answer = token_answer(
        TOKEN_TASK,
        [logits_for(*tags), np.zeros((0, 5), np.float32)],
        [text, "refused"],
        [tokens, None],
        with_logits=True,
    )
    found = [(e.label, text[e.start : e.end]) for e in answer.sentences[0].entities]
    # The second piece of a word says nothing, and a stray I- begins an entity.
    assert found == [("PER", "Zoë Müller"), ("LOC", "Łódź")]
    expected = math.exp(4) / (math.exp(4) + 4)
    assert answer.sentences[0].entities[0].score == pytest.approx(expected, rel=1e-5)
    assert not answer.sentences[1].entities
    assert list(answer.logits.token_counts) == [6, 0]
    assert list(answer.logits.values.shape) == [6, 5]
    assert list(answer.logits.starts) == [0, 3, 5, 7, 13, 15]
    assert list(answer.logits.ends) == [1, 5, 6, 13, 14, 19]


def test_words_that_share_a_token_are_one_entity():
    tokens = TokenizedSentence([0, 0], 2, [(0, 2), (2, 3)])
    answer = token_answer(
        TOKEN_TASK, [logits_for("B-LOC", "O")], ["東京に"], [tokens], with_logits=False
    )
    ((entity,),) = [each.entities for each in answer.sentences]
    assert (entity.label, entity.start, entity.end) == ("LOC", 0, 2)
    assert not answer.HasField("logits")


def test_what_was_truncated_has_no_entities():
    tokens = TokenizedSentence([0], 9, [(0, 3)])
    answer = token_answer(
        TOKEN_TASK, [logits_for("B-PER")], ["Ann Bob Cid"], [tokens], with_logits=False
    )
    assert [(e.start, e.end) for e in answer.sentences[0].entities] == [(0, 3)]


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_decisions_are_what_the_answers_say(temperature):
    logits, all_rows = random_logits(3), np.ones(200, dtype=bool)
    task = task_of(TaskKind.SINGLE_LABEL, temperature=temperature)
    answer = single_label_answer(task, logits, all_rows)
    assert decisions(task, logits).tolist() == list(answer.label_indices)
    task = task_of(TaskKind.MULTI_LABEL, temperature=temperature, thresholds=(0.2, 0.5, 0.9))
    answer = multi_label_answer(task, logits, all_rows)
    for row, sentence in zip(decisions(task, logits), answer.sentences, strict=True):
        assert np.flatnonzero(row).tolist() == sorted(sentence.label_indices)
    task = task_of(TaskKind.BINARY, 2, temperature=temperature, thresholds=(0.8,))
    answer = binary_answer(task, logits[:, :1], all_rows)
    assert decisions(task, logits[:, :1])[:, 0].tolist() == list(answer.label_indices)


def test_decisions_of_a_token_task_are_one_a_token():
    assert decisions(TOKEN_TASK, np.eye(5, dtype=np.float32)[[3, 0, 4]]).tolist() == [3, 0, 4]
