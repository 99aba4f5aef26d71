"""Rows of the page: every kind of task, statuses, and offsets that are not JavaScript's."""

import json

import numpy as np
import pytest
from twinhead.client.results import (
    BinaryAnswer,
    Entity,
    InferResult,
    ModelInfo,
    MultiLabelAnswer,
    SentenceStatus,
    SingleLabelAnswer,
    TaskAnswer,
    TaskInfo,
    Timing,
    TokenAnswer,
)
from twinhead.client.web.web_recent import Neighbour
from twinhead.client.web.web_rows import answer_rows

OK = SentenceStatus("ok", "", False, 5, 5)
EMPTY = SentenceStatus("empty", "the sentence is empty", False, 0, 0)


def rows_of(answer, task, sentences=("one", "two"), statuses=(OK, OK), near=((), ())):
    """The rows of an answer with one task."""
    result = InferResult("v", None, {task.name: answer}, statuses, Timing(0, 0, 0))
    model = ModelInfo(
        *("v", "encoder", {task.name: task}, 4, True, "torch", "float32", "cpu", "1"),
        *(1024, 1 << 24, 256, 100_000),
    )
    rows = answer_rows(sentences, result, model, near)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    return rows


def said(*arguments, **options):
    """What the task says of the first sentence."""
    return rows_of(*arguments, **options)[0]["tasks"][0]


def test_a_single_label_has_bars_of_all_labels():
    logits = np.log(np.array([[0.2, 0.7, 0.1], [0.25, 0.5, 0.25]], np.float32)) * 2
    labels = ("a", "b", "c")
    answer = SingleLabelAnswer(
        "t", labels, np.array([1, 1], np.int32), np.array([0.7, 0.5], np.float32), logits
    )
    found = said(answer, TaskInfo("t", "single_label", labels, temperature=2.0))
    assert (found["task"], found["kind"], found["labels"]) == ("t", "single_label", ["b"])
    assert [bar["label"] for bar in found["bars"]] == ["b", "a", "c"]
    assert [bar["score"] for bar in found["bars"]] == pytest.approx([0.7, 0.2, 0.1])
    assert [bar["given"] for bar in found["bars"]] == [True, False, False]
    # The colour is the label's own, whatever its place.
    assert [bar["colour"] for bar in found["bars"]] == [1, 0, 2]
    assert {bar["threshold"] for bar in found["bars"]} == {None}


def test_what_is_all_but_impossible_is_not_nothing():
    logits = np.array([[20, 0], [0, 20]], np.float32)
    answer = SingleLabelAnswer("t", ("a", "b"), np.array([0, 1], np.int32), np.ones(2), logits)
    bars = said(answer, TaskInfo("t", "single_label", ("a", "b")))["bars"]
    assert 0 < bars[1]["score"] < 1e-8


def test_a_binary_task_has_one_bar_and_its_threshold():
    answer = BinaryAnswer(
        "urgent", ("no", "yes"), np.array([0, 1], np.int32), np.array([0.6, 0.9], np.float32), None
    )
    task = TaskInfo("urgent", "binary", ("no", "yes"), (0.75,))
    first, second = (row["tasks"][0] for row in rows_of(answer, task))
    (bar,) = first["bars"]
    assert (bar["label"], bar["score"], bar["threshold"]) == ("yes", pytest.approx(0.6), 0.75)
    assert (bar["given"], first["labels"]) == (False, ["no"])
    assert (second["bars"][0]["given"], second["labels"]) == (True, ["yes"])


def test_many_labels_have_a_threshold_each():
    scores = np.array([[0.3, 0.8, 0.4], [0.1, 0.1, 0.1]])
    logits = np.log(scores / (1 - scores)).astype(np.float32)
    labels = ("a", "b", "c")
    answer = MultiLabelAnswer(
        *("t", labels),
        [np.array([1, 0], np.int32), np.array([], np.int32)],
        [np.array([0.8, 0.3], np.float32), np.array([], np.float32)],
        logits,
    )
    task = TaskInfo("t", "multi_label", labels, (0.2, 0.5, 0.9))
    first, second = (row["tasks"][0] for row in rows_of(answer, task))
    assert first["labels"] == ["b", "a"]
    assert second["labels"] == []
    bars = [(bar["label"], bar["threshold"], bar["given"]) for bar in first["bars"]]
    assert bars == [("b", 0.5, True), ("c", 0.9, False), ("a", 0.2, True)]


TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "NOUN")


def entities_of(sentence, *entities):
    answer = TokenAnswer("t", TAGS, [[Entity(*each) for each in entities]], None)
    return said(
        answer, TaskInfo("t", "token", TAGS), sentences=[sentence], statuses=[OK], near=[[]]
    )


def test_a_sentence_is_cut_at_its_entities():
    found = entities_of("Ann lives in Rome.", ("PER", 0, 3, 0.9), ("LOC", 13, 17, 0.5))
    assert found["labels"] == ["LOC", "PER"]
    assert found["parts"] == [
        {"text": "Ann", "label": "PER", "score": 0.9, "colour": 0},
        {"text": " lives in "},
        {"text": "Rome", "label": "LOC", "score": 0.5, "colour": 1},
        {"text": "."},
    ]


@pytest.mark.parametrize(
    "before", ["😀 ", "👩‍👩‍👧‍👦 ", "\U0001d518 ", "e\u0301 ", "中文 ", "עברית "]
)
def test_what_stands_before_an_entity_does_not_move_it(before):
    # Of some of these, JavaScript counts more.
    start = len(before)
    parts = entities_of(f"{before}Ann!", ("PER", start, start + 3, 1.0))["parts"]
    assert [part["text"] for part in parts] == [before, "Ann", "!"]
    assert "".join(part["text"] for part in parts) == f"{before}Ann!"


def test_entities_of_types_that_no_tag_names_have_a_colour_too():
    parts = entities_of("one two", ("NOUN", 0, 3, 1.0), ("ODD", 4, 7, 1.0))["parts"]
    assert [part.get("colour") for part in parts] == [2, None, 3]
    assert entities_of("none")["parts"] == [{"text": "none"}]


def test_a_kind_that_is_not_known_here_is_named():
    found = said(TaskAnswer("new", ("a",)), TaskInfo("new", "kind_9", ("a",)))
    assert found == {"task": "new", "kind": "kind_9"}


def test_sentences_without_an_answer_have_a_status_and_no_task():
    answer = BinaryAnswer(
        "t", ("no", "yes"), np.array([-1, 1], np.int32), np.array([0, 0.9], np.float32), None
    )
    cut = SentenceStatus("ok", "", True, 900, 256)
    task = TaskInfo("t", "binary", ("no", "yes"), (0.5,))
    empty, long = rows_of(answer, task, statuses=(EMPTY, cut))
    assert empty["tasks"] == []
    assert empty["status"]["code"] == "empty"
    assert empty["status"]["message"] == "the sentence is empty"
    assert len(long["tasks"]) == 1
    assert (long["status"]["truncated"], long["status"]["tokens"]) == (True, 900)
    assert long["status"]["tokens_used"] == 256


def test_neighbours_are_on_one_line():
    near = Neighbour("a\nb\u202ec" + "x" * 300, 0.123456, example=True)
    answer = TaskAnswer("new", ())
    row, other = rows_of(answer, TaskInfo("new", "kind_9", ()), near=([near], []))
    (shown,) = row["neighbours"]
    assert shown["text"].startswith("a b\ufffdcxxx")
    assert len(shown["text"]) == 200
    assert (shown["similarity"], shown["example"]) == (0.1235, True)
    assert other["neighbours"] == []
