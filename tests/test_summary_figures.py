"""What is picked from a summary, and in which order."""

from dataclasses import replace

import pytest
from small_summary import empty_summary, evaluation_of, make_summary
from twinhead.trainer.history import History, Part, StageRecord
from twinhead.trainer.run_summary import DataSummary
from twinhead.trainer.summary_figures import (
    Confusion,
    baseline,
    epochs_done,
    in_order,
    likely_range,
    task_evaluations,
    top_confusions,
    trained_parameters,
    unseen,
    whole,
)


def test_evaluations_are_in_order():
    summary = make_summary()
    shuffled = replace(summary, evaluations=summary.evaluations[::-1])
    found = task_evaluations(shuffled, "flags")
    assert {one.metrics.task for one in found} == {"flags"}
    assert [(one.split, one.dataset) for one in found] == [
        (split, dataset)
        for split in ("train", "validation", "test")
        for dataset in (None, "news", "reviews")
    ]


def test_the_unseen_rows_are_those_of_the_test_if_there_are_any():
    found = task_evaluations(make_summary(), "topic")
    assert whole(found, "validation") == evaluation_of(make_summary(), "validation", "topic")
    assert (unseen(found).split, unseen(found).dataset) == ("test", None)
    assert unseen(found[:6]).split == "validation"
    assert unseen(found[:3]) is None
    assert whole([], "train") is None


def test_the_baseline_is_the_most_frequent_label():
    topic = evaluation_of(make_summary(), "validation", "topic").metrics
    most = max(one.support for one in topic.per_label)
    assert baseline(topic) == most / 300
    assert baseline(evaluation_of(make_summary(), "validation", "flags").metrics) is None
    assert baseline(evaluation_of(make_summary(), "validation", "entities").metrics) is None


@pytest.mark.parametrize(
    ("share", "rows", "low", "high"),
    [(1, 18, 0.824, 1), (0, 18, 0, 0.176), (0.5, 100, 0.404, 0.596), (0.9, 10_000, 0.894, 0.906)],
)
def test_the_likely_range_is_that_of_wilson(share, rows, low, high):
    assert likely_range(share, rows) == pytest.approx((low, high), abs=5e-4)


def test_confusions_are_the_cells_beside_the_diagonal():
    metrics = evaluation_of(make_summary(), "validation", "topic").metrics
    metrics = replace(
        metrics,
        confusion_labels=("a", "b", "c"),
        confusion=((7, 1, 2), (5, 5, 0), (0, 2, 2)),
    )
    assert top_confusions(metrics) == [
        Confusion("b", "a", 5, 0.5),
        Confusion("c", "b", 2, 0.5),
        Confusion("a", "c", 2, 0.2),
        Confusion("a", "b", 1, 0.1),
    ]
    assert top_confusions(replace(metrics, confusion=None)) == []


def test_data_sets_keep_their_order_and_splits_have_theirs():
    def of(dataset, split):
        return DataSummary(dataset, split, 1, {}, 0, 0, 0)

    given = [of("z", "test"), of("a", "train"), of("z", "train"), of("a", "validation")]
    assert [(one.dataset, one.split) for one in in_order(given)] == [
        ("z", "train"),
        ("z", "test"),
        ("a", "train"),
        ("a", "validation"),
    ]


def test_epochs():
    assert epochs_done(make_summary()) == 3
    assert epochs_done(empty_summary()) == 0.1
    assert epochs_done(replace(empty_summary(), history=History())) == 0


def test_trained_parameters():
    parts = (Part("embeddings", 300, False), Part("layer 0", 75, True), Part("head a", 25, True))
    assert trained_parameters(StageRecord(0, 0, "start", (), parts)) == (100, pytest.approx(0.25))
    assert trained_parameters(StageRecord(0, 0, "start", (), ())) == (0, 0)
