"""How far confidence and accuracy are apart (Guo et al. 2017)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from .task_metrics import ReliabilityBin

# Of the expected calibration error, as in Guo et al. 2017.
BINS = 15


def softmax_reliability(
    logits: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[ReliabilityBin, ...]:
    """The bins of decisions for the most probable label, whose probability is the confidence.

    Args:
        logits: [decisions, labels]; divided by the temperature.
        right: of each decision, [decisions].
    """
    return _bins_of(np.exp(log_softmax(logits, axis=1).max(axis=1)), right)


def sigmoid_reliability(
    probabilities: NDArray[np.float64], targets: NDArray[np.int64]
) -> tuple[ReliabilityBin, ...]:
    """The bins of yes or no, whichever is more probable, yes from 0.5 on.

    Args:
        probabilities: of yes, of any shape.
        targets: 0 or 1, of the same shape.
    """
    right = (probabilities >= 0.5) == (targets == 1)
    return _bins_of(np.maximum(probabilities, 1 - probabilities).ravel(), right.ravel())


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """The expected calibration error: the mean gap of accuracy and confidence, over decisions."""
    gaps = sum(part.count * abs(part.accuracy - part.confidence) for part in bins)
    return gaps / sum(part.count for part in bins)


def _bins_of(
    confidences: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[ReliabilityBin, ...]:
    # Bin m holds ]m / BINS, (m + 1) / BINS]. Confidences may exceed 1 by a rounding error.
    bins = np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    sums = np.bincount(bins, weights=confidences, minlength=BINS)
    hits = np.bincount(bins, weights=right, minlength=BINS)
    return tuple(
        ReliabilityBin(
            float(sums[one] / counts[one]), float(hits[one] / counts[one]), int(counts[one])
        )
        for one in np.flatnonzero(counts)
    )
