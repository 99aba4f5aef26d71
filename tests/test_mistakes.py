"""The surest mistakes of each kind of task."""

from dataclasses import replace

import numpy as np
import pytest
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer.labelled_rows import LabelledRow
from twinhead.trainer.mistakes import find_mistakes
from twinhead.trainer.predictions import Predictions
from twinhead.trainer.run_summary import Mistake

TOPIC = TaskConfig(name="topic", labels=("a", "b", "c"))
SPAM = TaskConfig(name="spam", kind=TaskKind.BINARY, labels=("no", "yes"))
FLAGS = TaskConfig(name="flags", kind=TaskKind.MULTI_LABEL, labels=("x", "y", "z"))
TAGS = TaskConfig(name="tags", kind=TaskKind.TOKEN, labels=("O", "B-PER", "I-PER", "B-LOC"))


def mistakes_of(
    task: TaskConfig,
    logits: list,
    targets: list,
    indices: list[int] | None = None,
    temperature: float = 1.0,
) -> tuple[Mistake, ...]:
    """Mistakes in rows `text 0`, `text 1` and so on."""
    indices = list(range(len(logits))) if indices is None else indices
    predicted = Predictions(
        task,
        np.array(indices, dtype=np.int64),
        [np.array(values, dtype=np.float32) for values in logits],
        [np.array(target, dtype=np.int64) for target in targets],
    )
    rows = [LabelledRow(f"text {n}", {}, f"file:{n}") for n in range(max(indices, default=0) + 1)]
    task = predicted.task.model_copy(update={"temperature": temperature})
    return find_mistakes(replace(predicted, task=task), rows)


def log_shares(*shares: float) -> list[float]:
    return np.log(shares).tolist()


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def test_of_one_label_the_confidence_is_that_of_the_wrong_answer():
    (found,) = mistakes_of(TOPIC, [log_shares(0.1, 0.7, 0.2), log_shares(0.9, 0.05, 0.05)], [2, 0])
    assert found == Mistake("file:0", "text 0", "c", "b", pytest.approx(0.7))


def test_the_surest_come_first_and_equal_ones_in_their_order():
    logits = [log_shares(0.6, 0.2, 0.2), log_shares(0.8, 0.1, 0.1), log_shares(0.8, 0.1, 0.1)]
    assert [one.text for one in mistakes_of(TOPIC, logits, [1, 1, 2])] == [
        "text 1",
        "text 2",
        "text 0",
    ]


def test_only_so_many_are_told_and_those_are_the_surest():
    logits = [log_shares(0.5 + n / 100, 0.5 - n / 100, 1e-9) for n in range(1, 41)]
    found = mistakes_of(TOPIC, logits, [1] * 40)
    assert len(found) < 40
    assert [one.text for one in found] == [f"text {n}" for n in range(39, 39 - len(found), -1)]


def test_rows_are_found_by_their_indices():
    found = mistakes_of(TOPIC, [log_shares(0.8, 0.1, 0.1)] * 2, [1, 2], indices=[3, 7])
    assert [(one.text, one.origin, one.expected) for one in found] == [
        ("text 3", "file:3", "b"),
        ("text 7", "file:7", "c"),
    ]


def test_the_temperature_makes_less_sure():
    (found,) = mistakes_of(TOPIC, [log_shares(0.64, 0.32, 0.04)], [1], temperature=2.0)
    # The square roots of the shares: 4 to 2.83 to 1.
    assert found.confidence == pytest.approx(0.8 / (0.8 + 0.32**0.5 + 0.2))


def test_yes_and_no_are_both_told_with_their_own_probability():
    found = mistakes_of(SPAM, [[logit(0.9)], [logit(0.2)], [logit(0.6)]], [0, 1, 1])
    assert [(one.expected, one.answered) for one in found] == [("no", "yes"), ("yes", "no")]
    assert [one.confidence for one in found] == pytest.approx([0.9, 0.8])


def test_thresholds_decide():
    strict = SPAM.model_copy(update={"thresholds": (0.95,)})
    (found,) = mistakes_of(strict, [[logit(0.9)], [logit(0.9)]], [0, 1])
    assert (found.expected, found.answered) == ("yes", "no")
    assert found.confidence == pytest.approx(0.1)
    flags = FLAGS.model_copy(update={"thresholds": (0.95, 0.5, 0.1)})
    (found,) = mistakes_of(flags, [[logit(0.9), logit(0.4), logit(0.2)]], [[1, 0, 1]])
    assert (found.expected, found.answered) == ("x, z", "z")


def test_of_several_labels_the_surest_wrong_one_counts():
    found = mistakes_of(
        FLAGS,
        [
            [logit(0.99), logit(0.3), logit(0.8)],
            [logit(0.1), logit(0.2), logit(0.4)],
            [logit(0.9), logit(0.9), logit(0.1)],
        ],
        [[1, 1, 0], [1, 0, 0], [1, 1, 0]],
    )
    assert [(one.expected, one.answered) for one in found] == [("x", "none"), ("x, y", "x, z")]
    assert [one.confidence for one in found] == pytest.approx([0.9, 0.8])


def entity_mistakes(
    words: list[str], expected: str, answered: str, sure=0.7
) -> tuple[Mistake, ...]:
    spans, start = [], 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    row = LabelledRow(" ".join(words), {}, "file:1", tuple(spans))
    targets, said = (
        np.array([TAGS.labels.index(t) for t in tags.split()]) for tags in (expected, answered)
    )
    shares = np.full((len(said), 4), (1 - sure) / 3)
    shares[np.arange(len(said)), said] = sure
    logits = np.log(shares).astype(np.float32)
    return find_mistakes(Predictions(TAGS, np.array([0]), [logits], [targets]), [row])


def test_entities_are_told_with_their_words_and_types():
    (found,) = entity_mistakes(
        ["Anna", "Smith", "is", "in", "Paris"], "B-PER I-PER O O B-LOC", "B-PER O O O B-PER"
    )
    assert found.text == "Anna Smith is in Paris"
    assert found.expected == "Anna Smith (PER), Paris (LOC)"
    assert found.answered == "Anna (PER), Paris (PER)"
    assert found.confidence == pytest.approx(0.7)


def test_where_there_is_no_entity_none_is_told():
    (found,) = entity_mistakes(["he", "runs"], "O O", "O B-LOC")
    assert (found.expected, found.answered) == ("none", "runs (LOC)")


def test_words_that_were_cut_off_are_not_told():
    (found,) = entity_mistakes(["Anna", "runs", "to", "Paris"], "B-PER O", "O O")
    assert (found.expected, found.answered) == ("Anna (PER)", "none")


def test_tags_that_mark_the_same_entities_are_no_mistake():
    """An I- that continues nothing begins an entity."""
    assert entity_mistakes(["Anna", "runs"], "B-PER O", "I-PER O") == ()


def test_the_confidence_in_entities_is_that_of_the_surest_wrong_word():
    spans = ((0, 1), (2, 3), (4, 5))
    row = LabelledRow("a b c", {}, "file:1", spans)
    shares = [[0.97, 0.01, 0.01, 0.01], [0.2, 0.6, 0.1, 0.1], [0.1, 0.05, 0.05, 0.8]]
    predicted = Predictions(
        TAGS, np.array([0]), [np.log(shares).astype(np.float32)], [np.array([0, 0, 1])]
    )
    (found,) = find_mistakes(predicted, [row])
    assert found.confidence == pytest.approx(0.8)


@pytest.mark.parametrize("task", [TOPIC, TAGS], ids=["topic", "tags"])
def test_where_all_is_right_and_where_nothing_is_there_is_none(task):
    assert mistakes_of(task, [], []) == ()
    if task is TOPIC:
        assert mistakes_of(task, [log_shares(0.5, 0.3, 0.2)], [0]) == ()
    else:
        assert entity_mistakes(["Anna"], "B-PER", "B-PER") == ()
        empty = np.zeros((0, 4), dtype=np.float32)
        nothing = Predictions(TAGS, np.array([0]), [empty], [np.zeros(0, dtype=np.int64)])
        assert find_mistakes(nothing, [LabelledRow("a", {}, "file:1", ((0, 1),))]) == ()
