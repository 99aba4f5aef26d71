"""Logits decoded, for each kind of task, against plain arithmetic."""

import math

import numpy as np
import pytest
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.model.tokenizer import TokenizedSentence
from twinhead.server.answers import (
    TASK_KINDS,
    binary_answer,
    multi_label_answer,
    sigmoid,
    single_label_answer,
    token_answer,
)

ALL = np.array([True, True, True])
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TOKEN_TASK = TaskConfig(name="ner", kind=TaskKind.TOKEN, labels=TAGS)


def test_every_kind_has_its_number():
    assert set(TASK_KINDS) == set(TaskKind)
    assert len(set(TASK_KINDS.values())) == len(TaskKind)


def test_single_label():
    logits = np.array([[1.0, 3.0], [2.0, 2.0], [-500.0, 500.0]], dtype=np.float32)
    answer = single_label_answer(logits, np.array([True, False, True]))
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
    answer = binary_answer(logits, 0.6, np.array([True, True, False]))
    assert list(answer.label_indices) == [1, 0, -1]
    assert answer.probabilities[0] == pytest.approx(1 / (1 + math.exp(-2)), rel=1e-6)
    assert list(answer.probabilities[1:]) == [0.5, 0]


def test_multi_label_by_each_labels_threshold_and_most_probable_first():
    logits = np.array([[0.1, 3.0, 1.0], [9.0, -9.0, 0.0], [9.0, 9.0, 9.0]], dtype=np.float32)
    answer = multi_label_answer(logits, (0.6, 0.5, 0.7), np.array([True, True, False]))
    found = [(list(each.label_indices), list(each.scores)) for each in answer.sentences]
    assert [indices for indices, _ in found] == [[1, 2], [0], []]
    assert found[0][1] == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-1))], rel=1e-6)


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
