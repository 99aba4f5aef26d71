"""Labels of two tasks that come together."""

import numpy as np
import pyarrow as pa
from small_label_run import FLAGS, NAMES, TOPIC, URGENT, Run, floats, report_of
from twinhead.client.label_report.cross_table import CrossTable
from twinhead.client.label_report.task_answers import read_answers
from twinhead.client.results import TaskInfo


def test_pairs_are_counted():
    columns = {
        "topic": pa.array(["Sports", None, "日本 🏅", "Sports"]),
        "topic_score": floats([1] * 4),
        "flags": pa.array([["rude", "spam"], ["spam"], [], ["spam"]]),
        "flags_scores": pa.array([[1, 1], [1], [], [1]], pa.list_(pa.float32())),
    }
    topic, flags = read_answers(TOPIC, columns, ""), read_answers(FLAGS, columns, "")
    cross, turned = CrossTable(TOPIC, FLAGS), CrossTable(FLAGS, TOPIC)
    cross.add(topic, flags, 4)
    turned.add(flags, topic, 4)
    assert cross.counts[0].tolist() == [2, 0, 1, 0]
    assert cross.counts.sum() == 3
    np.testing.assert_array_equal(cross.counts, turned.counts.T)
    twice = CrossTable(FLAGS, FLAGS)
    twice.add(flags, flags, 4)
    assert twice.counts[:3, :3].tolist() == [[3, 0, 1], [0, 0, 0], [1, 0, 1]]


def test_a_run_is_counted_as_python_would():
    run = Run(500)
    cross = report_of(run)._crosses[0]
    wanted = np.zeros_like(cross.counts)
    labels = (run.columns[name].to_pylist() for name in ("topic", "urgent"))
    for topic, urgent in zip(*labels, strict=True):
        if topic is not None:
            wanted[TOPIC.label_names.index(topic), URGENT.label_names.index(urgent)] += 1
    np.testing.assert_array_equal(cross.counts, wanted)


def test_which_tasks_can_be_crossed():
    assert CrossTable.fits(TOPIC, FLAGS)
    assert not CrossTable.fits(TOPIC, NAMES)
    many = TaskInfo("many", "single_label", tuple(map(str, range(1000))))
    assert CrossTable.fits(many, FLAGS)
    assert not CrossTable.fits(many, many)
