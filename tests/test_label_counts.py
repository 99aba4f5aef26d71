"""Ratios of hits: by hand, against scikit-learn, and where there is nothing to divide by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from twinhead.trainer import label_counts
from twinhead.trainer.label_counts import LabelCounts, confusion_cells

# Two right of three given and four true; then a label that is only given, and one that is nowhere.
COUNTS = LabelCounts(np.array([2, 0, 0]), np.array([3, 1, 0]), np.array([4, 0, 0]))


def test_each_label():
    known, given_only, nowhere = COUNTS.per_label(["a", "b", "c"])
    assert (known.label, known.support) == ("a", 4)
    assert (known.precision, known.recall) == (pytest.approx(2 / 3), 0.5)
    assert known.f1 == pytest.approx(2 * 2 / (3 + 4))
    for one in (given_only, nowhere):
        assert (one.precision, one.recall, one.f1, one.support) == (0, 0, 0, 0)


def test_a_label_that_is_nowhere_is_in_no_average():
    averages = COUNTS.averages()
    assert averages["macro_precision"] == pytest.approx((2 / 3 + 0) / 2)
    assert averages["macro_f1"] == pytest.approx((4 / 7 + 0) / 2)
    assert averages["weighted_f1"] == pytest.approx(4 / 7)
    nothing = LabelCounts(*(np.zeros(2, np.int64),) * 3)
    assert set(nothing.averages().values()) == {0.0}


def test_all_labels_together():
    together = COUNTS.micro()
    assert together == {"precision": 2 / 4, "recall": 2 / 4, "f1": 2 * 2 / (4 + 4)}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_ratios_and_cells_are_scikit_learn_s(pairs):
    true, predicted = np.array(pairs).T
    cells = np.array(confusion_cells(true, predicted, 4))
    assert np.array_equal(cells, confusion_matrix(true, predicted, labels=range(4)))
    counts = LabelCounts(cells.diagonal(), cells.sum(axis=0), cells.sum(axis=1))
    wanted = precision_recall_fscore_support(true, predicted, labels=range(4), zero_division=0)
    found = counts.per_label("abcd")
    assert [one.precision for one in found] == pytest.approx(wanted[0].tolist())
    assert [one.recall for one in found] == pytest.approx(wanted[1].tolist())
    assert [one.f1 for one in found] == pytest.approx(wanted[2].tolist())
    assert [one.support for one in found] == wanted[3].tolist()


def test_cells_of_too_many_labels_are_left_out(monkeypatch):
    one = np.array([0])
    monkeypatch.setattr(label_counts, "MAX_CONFUSION_LABELS", 2)
    assert confusion_cells(one, one, 2) == ((1, 0), (0, 0))
    assert confusion_cells(one, one, 3) is None
