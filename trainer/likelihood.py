"""How probable the targets are by a network's logits."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit, log_softmax

from ..model.config import TaskKind


def negative_log_likelihood(
    kind: TaskKind, logits: NDArray[np.float64], targets: NDArray[np.int64]
) -> float:
    """Mean negative log-likelihood of the targets, natural logarithm; neither array is empty.

    Args:
        kind: `single_label` and `token` are a softmax, the others sigmoids.
        logits: [rows, labels]; divided by the temperature.
        targets: as in `measure`; of a token task [words], each with a label.
    """
    if kind in (TaskKind.SINGLE_LABEL, TaskKind.TOKEN):
        likelihoods = log_softmax(logits, axis=1)[np.arange(len(targets)), targets]
    else:
        likelihoods = log_expit(np.where(targets.reshape(logits.shape) == 1, logits, -logits))
    return -float(np.mean(likelihoods))


def scaled_logits(
    logits: NDArray[np.floating[Any]], temperature: float = 1.0
) -> NDArray[np.float64]:
    """The logits in double precision, divided by the temperature.

    Raises:
        ValueError: a logit is infinite or NaN, or the temperature is not positive.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"a temperature is a positive number, not {temperature}")
    if not np.isfinite(logits).all():
        raise ValueError("the logits are not finite: the training has diverged")
    return logits.astype(np.float64) / temperature
