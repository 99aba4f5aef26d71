"""What columns say of a task: rows, label numbers and scores."""

import numpy as np
import pyarrow as pa
import pytest
from small_label_run import FLAGS, NAMES, TOPIC, URGENT, entities, floats
from twinhead.client.label_report.task_answers import Given, read_answers
from twinhead.client.labelling.label_columns import LabelColumns
from twinhead.client.results import TaskInfo


def shown(answers):
    return [
        (row, label, round(score, 3))
        for row, label, score in zip(
            answers.rows.tolist(), answers.labels.tolist(), answers.scores.tolist(), strict=True
        )
    ]


def test_single_label():
    columns = {
        "p_topic": pa.array(["日本 🏅", None, "Sports", "unheard of"]),
        "p_topic_score": floats([0.5, None, 0.25, 1]),
    }
    answers = read_answers(TOPIC, columns, "p_")
    assert shown(answers) == [(0, 2, 0.5), (2, 0, 0.25), (3, 4, 1)]
    assert answers.of_row(1) == []
    assert answers.of_row(2) == [Given(0, 0.25)]
    np.testing.assert_array_equal(answers.lowest_scores(4), [0.5, np.nan, 0.25, 1])


def test_the_score_of_no_is_the_rest_of_the_probability():
    columns = {
        "urgent": pa.array(["yes", "no", None]),
        "urgent_probability": floats([0.75, 0.25, None]),
    }
    assert shown(read_answers(URGENT, columns, "")) == [(0, 1, 0.75), (1, 0, 0.75)]


def test_multi_label():
    columns = {
        "flags": pa.array([["rude", "spam"], [], None, ["advert"]]),
        "flags_scores": pa.array([[0.75, 0.5], [], None, [0.25]], pa.list_(pa.float32())),
    }
    answers = read_answers(FLAGS, columns, "")
    assert shown(answers) == [(0, 2, 0.75), (0, 0, 0.5), (3, 1, 0.25)]
    np.testing.assert_array_equal(answers.lowest_scores(4), [0.5, np.nan, np.nan, 0.25])


def test_slices_are_of_their_own_rows():
    flags = pa.array([["spam"], ["rude", "spam"], None, ["advert"]]).slice(1, 3)
    scores = pa.array([[0.1], [0.75, 0.5], None, [0.25]], pa.list_(pa.float32())).slice(1, 3)
    answers = read_answers(FLAGS, {"flags": flags, "flags_scores": scores}, "")
    assert shown(answers) == [(0, 2, 0.75), (0, 0, 0.5), (2, 1, 0.25)]
    column = entities([("a", "PER", 0.5)], None, [("b", "LOC", 0.25), ("c", "PER", 1)]).slice(1)
    answers = read_answers(NAMES, {"names": column}, "")
    assert shown(answers) == [(1, 1, 0.25), (1, 0, 1)]
    assert answers.of_row(1) == [Given(1, 0.25, "b"), Given(0, 1, "c")]


def test_entities_are_counted_and_cut():
    found = [("Ann", "PER", 0.5), ("Ann", "PER", 1), ("Ann", "LOC", 1), ("x" * 500, "PER", 1)]
    answers = read_answers(NAMES, {"names": entities(found, None, [], found * 10)}, "")
    assert sorted(answers.entity_counts()) == [
        (0, "Ann", 22),
        (0, "x" * 80, 11),
        (1, "Ann", 11),
    ]
    assert len(answers.of_row(3)) == 12


@pytest.mark.parametrize("task", [TOPIC, URGENT, FLAGS, NAMES])
def test_rows_without_an_answer_have_nothing(task):
    columns = LabelColumns([task], 0).of_failure(5, "worker gone")
    answers = read_answers(task, columns, "")
    assert shown(answers) == []
    assert answers.entity_counts() == []
    assert np.isnan(answers.lowest_scores(5)).all()


def test_scores_that_are_no_probabilities_are_made_so():
    columns = {
        "topic": pa.array(["Sports"] * 3),
        "topic_score": floats([float("nan"), -1, 7]),
    }
    assert shown(read_answers(TOPIC, columns, "")) == [(0, 0, 0), (1, 0, 0), (2, 0, 1)]


def test_what_is_not_there_or_not_known_is_none():
    assert read_answers(TOPIC, {"other": pa.array(["x"])}, "") is None
    assert read_answers(TaskInfo("span", "kind_7", ()), {"span": pa.array(["x"])}, "") is None
