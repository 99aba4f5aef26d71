"""Confidence beside accuracy: bins worked out by hand."""

import math

import numpy as np
import pytest
from measured import TOPIC, float32
from twinhead.trainer.metrics import measure
from twinhead.trainer.reliability import (
    BINS,
    calibration_error,
    sigmoid_reliability,
    softmax_reliability,
)
from twinhead.trainer.task_metrics import ReliabilityBin


def test_calibration_error_by_hand():
    # Confidence 0.95 four times, 0.75 four times (two labels of three; the third is impossible).
    top = np.array([0.95] * 4 + [0.75] * 4)
    logits = float32(np.stack([np.log(top), np.log(1 - top), np.full(8, -80.0)], axis=1))
    targets = np.array([0, 0, 0, 1, 0, 1, 1, 1])
    measured = measure(TOPIC, logits, targets)
    assert measured.figures["ece"] == pytest.approx((abs(0.75 - 0.95) + abs(0.25 - 0.75)) / 2)
    low, high = measured.reliability
    assert (low.count, low.accuracy, low.confidence) == (4, 0.25, pytest.approx(0.75))
    assert (high.count, high.accuracy, high.confidence) == (4, 0.75, pytest.approx(0.95))


def test_gaps_of_one_bin_cancel_out_and_those_of_two_do_not():
    # 0.94 and 0.99 share the last bin of 15; 0.92 and 0.94 do not share one (14 / 15 = 0.933).
    def error(first: float, second: float) -> float:
        top = np.array([first, second])
        logits = float32(np.stack([np.log(top), np.log(1 - top), np.full(2, -80.0)], axis=1))
        return measure(TOPIC, logits, np.array([0, 1])).figures["ece"]

    assert error(0.94, 0.99) == pytest.approx(abs(0.5 - (0.94 + 0.99) / 2), abs=1e-6)
    assert error(0.92, 0.94) == pytest.approx((0.08 + 0.94) / 2, abs=1e-6)


def test_a_no_is_as_sure_as_yes_is_improbable():
    yes, targets = np.array([[0.1, 0.98], [0.5, 0.02]]), np.array([[0, 1], [0, 1]])
    half, ninety, sure = sigmoid_reliability(yes, targets)
    assert (half.confidence, half.accuracy, half.count) == (0.5, 0, 1)  # 0.5 is yes
    assert (ninety.confidence, ninety.accuracy, ninety.count) == (0.9, 1, 1)
    assert (sure.confidence, sure.accuracy, sure.count) == (pytest.approx(0.98), 0.5, 2)


def test_a_bin_holds_its_upper_end():
    def bins_of(confidences):
        return len(sigmoid_reliability(np.array(confidences), np.ones(len(confidences), int)))

    edge = 14 / BINS
    assert bins_of([edge, math.nextafter(edge, 0)]) == 1
    assert bins_of([edge, edge + 1e-9]) == 2
    assert bins_of([1.0, edge + 1e-9]) == 1


def test_the_confidence_of_one_label_of_many_is_its_probability():
    logits = np.log([[0.2, 0.5, 0.3], [0.05, 0.05, 0.9]])
    low, high = softmax_reliability(logits, np.array([True, False]))
    assert (low.confidence, low.accuracy) == (pytest.approx(0.5), 1)
    assert (high.confidence, high.accuracy) == (pytest.approx(0.9), 0)


def test_the_error_weighs_bins_by_their_decisions():
    bins = (ReliabilityBin(0.5, 0.7, 1), ReliabilityBin(0.9, 0.8, 3))
    assert calibration_error(bins) == pytest.approx((0.2 + 3 * 0.1) / 4)
