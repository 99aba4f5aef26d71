"""Sums over a task's labels."""

import numpy as np
import pyarrow as pa
from small_label_run import FLAGS, TOPIC, Run, floats, tallies_of
from twinhead.client.label_report.task_answers import read_answers
from twinhead.client.label_report.task_tally import TaskTally


def tally_of(task, *batches):
    tally, first = TaskTally(task), 0
    for columns, answered in batches:
        texts = [f"row {first + number}" for number in range(len(answered))]
        tally.add(read_answers(task, columns, ""), np.array(answered), texts, first)
        first += len(answered)
    return tally


def test_counts_scores_and_extremes():
    one = {
        "topic": pa.array(["Sports", "日本 🏅", None]),
        "topic_score": floats([0.5, 0.99, None]),
    }
    two = {"topic": pa.array(["Sports", "unheard of"]), "topic_score": floats([1, 0.25])}
    tally = tally_of(TOPIC, (one, [True, True, False]), (two, [True, True]))
    assert tally.counts.tolist() == [2, 0, 1, 0, 1]
    assert tally.rows == 4
    assert tally.ranked() == [0, 2, 4]
    assert tally.name(4) == "(not a label of the task)"
    np.testing.assert_allclose(tally.mean_scores, [0.75, 0, 0.99, 0, 0.25])
    bins = np.argwhere(tally.histogram).tolist()
    assert bins == [[0, 10], [0, 19], [2, 19], [4, 5]]
    assert [one.row for one in tally.least.rows] == [4, 0, 1, 3]
    assert [one.row for one in tally.most.rows] == [3, 1, 0, 4]


def test_labels_in_a_row_are_counted_for_answered_rows():
    labels = [["spam", "rude"], [], None, ["spam"] * 30]
    columns = {
        "flags": pa.array(labels),
        "flags_scores": pa.array([[0.5] * len(each or ()) for each in labels]).cast(
            pa.list_(pa.float32())
        ),
    }
    tally = tally_of(FLAGS, (columns, [True, True, False, True]))
    assert tally.labels_per_row.tolist() == [1, 0, 1] + [0] * 7 + [1]
    assert tally.rows == 3


def test_every_score_has_its_bin():
    scores = np.linspace(0, 1, 1001)
    columns = {"topic": pa.array(["Sports"] * 1001), "topic_score": floats(scores)}
    tally = tally_of(TOPIC, (columns, [True] * 1001))
    assert tally.histogram[0].sum() == 1001
    assert tally.histogram[0].min() >= 49


def test_a_run_adds_up():
    run = Run(100)
    topic, urgent, flags, names = tallies_of(run)
    assert topic.counts.sum() == urgent.counts.sum() == 100 - run.failed
    assert [tally.rows for tally in (topic, urgent, flags, names)] == [90] * 4
    assert names.entity_texts.top(1, 5) == [("Rome <b>", int(names.counts[1]))]
