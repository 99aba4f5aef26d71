"""Temperature scaling: one number that makes the scores of a task mean what they say."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ..model.config import TaskKind
from .encoded_rows import MISSING
from .likelihood import negative_log_likelihood, scaled_logits

# Where every validation row is answered rightly, each lower temperature fits better, without end.
# A few hundred rows without a mistake are no reason to be surer than this: at a quarter, a score of
# 0.9 between two labels becomes 0.9998.
LOWEST = 0.25
# Where logits say nothing about the labels, each higher temperature fits better. At 20, even ten
# logits between two labels are a score of 0.62 only.
HIGHEST = 20.0


def fit_temperature(
    kind: TaskKind, logits: NDArray[np.float32], targets: NDArray[np.int64]
) -> float:
    """The temperature that makes validation targets most likely (Guo et al. 2017).

    Probabilities are softmax(logits / temperature), for binary and multi-label tasks
    sigmoid(logits / temperature). The most probable label stays the same at any temperature; the
    answers of a threshold other than 0.5 do not.

    Args:
        kind: of the task.
        logits: [rows, labels]; of a binary task [rows, 1]; of a token task those of the words of
            all sentences, [words, labels].
        targets: `single_label` and `token`: the label's index, [rows]; `binary`: 0 or 1, [rows];
            `multi_label`: 0 or 1, [rows, labels]. Words with `MISSING` are left out.

    Returns:
        From `LOWEST` to `HIGHEST`; 1 where there is nothing to fit or nothing fits better.

    Raises:
        ValueError: logits are not finite.
    """
    if kind is TaskKind.TOKEN:
        labelled = targets != MISSING
        logits, targets = logits[labelled], targets[labelled]
    if not len(targets):
        return 1.0
    values = scaled_logits(logits)

    def loss(temperature: float) -> float:
        return negative_log_likelihood(kind, values / temperature, targets)

    def loss_of_logarithm(logarithm: float) -> float:
        return loss(math.exp(logarithm))

    # The loss is convex in 1 / temperature, so it has one valley in the logarithm, too.
    found = minimize_scalar(
        loss_of_logarithm, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded"
    )
    # The search comes close to its bounds, but never there. Of equals, the first is taken.
    return min((1.0, math.exp(float(found.x)), LOWEST, HIGHEST), key=loss)
