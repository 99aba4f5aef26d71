"""The likelihood of targets: against probabilities worked out one by one."""

import math

import numpy as np
import pytest
from twinhead.model.config import TaskKind
from twinhead.trainer.likelihood import negative_log_likelihood, scaled_logits


@pytest.mark.parametrize("kind", [TaskKind.SINGLE_LABEL, TaskKind.TOKEN])
def test_of_one_label(kind):
    probabilities = np.array([[0.2, 0.5, 0.3], [0.05, 0.05, 0.9]])
    # Logits are probabilities' logarithms, but for a number that all of a row share.
    logits = np.log(probabilities) + np.array([[3.0], [-7.0]])
    found = negative_log_likelihood(kind, logits, np.array([2, 0]))
    assert found == pytest.approx(-(math.log(0.3) + math.log(0.05)) / 2)


def test_of_yes_and_no():
    yes = np.array([[0.9, 0.2], [0.4, 0.7]])
    logits = np.log(yes / (1 - yes))
    several = negative_log_likelihood(TaskKind.MULTI_LABEL, logits, np.array([[1, 0], [1, 0]]))
    assert several == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.3]).mean())
    one = negative_log_likelihood(TaskKind.BINARY, logits[:, :1], np.array([0, 1]))
    assert one == pytest.approx(-np.log([0.1, 0.4]).mean())


def test_logits_are_divided_in_double_precision():
    scaled = scaled_logits(np.array([[3e38, -1.0]], dtype=np.float32), 0.001)
    assert scaled.dtype == np.float64
    assert scaled[0].tolist() == [pytest.approx(3e41), -1000]
    assert scaled_logits(np.array([[2.0]])).tolist() == [[2.0]]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_logits_are_finite(wrong):
    with pytest.raises(ValueError, match="not finite: the training has diverged"):
        scaled_logits(np.array([[0.0, wrong]]))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_is_positive(temperature):
    with pytest.raises(ValueError, match="positive number"):
        scaled_logits(np.zeros((1, 1)), temperature)
