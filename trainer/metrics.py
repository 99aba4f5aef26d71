"""The figures of a task that answers for whole sentences."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score

from ..model.config import TaskConfig, TaskKind
from .label_counts import LabelCounts, confusion_cells
from .likelihood import negative_log_likelihood, scaled_logits
from .reliability import calibration_error, sigmoid_reliability, softmax_reliability
from .task_metrics import ReliabilityBin, TaskMetrics


def measure(
    task: TaskConfig,
    logits: NDArray[np.float32],
    targets: NDArray[np.int64],
    *,
    temperature: float = 1.0,
) -> TaskMetrics:
    """The figures of a task that answers for whole sentences.

    All kinds: `loss` is the mean negative log-likelihood (natural logarithm) and `ece` the
    expected calibration error (Guo et al. 2017). `macro_` and `weighted_` precision, recall and f1
    average over labels: macro over those that are true or predicted somewhere, weighted by
    support. `single_label` and `binary` have `accuracy`; `binary` has `average_precision` and
    `roc_auc` of "yes", where both answers occur in `targets`; `multi_label` has `exact_match` and
    `micro_f1`, and its loss and `ece` are over all decisions, rows times labels.

    The thresholds of a task decide everything but `ece` and the bins. There, a yes or no is what
    is more probable (yes from 0.5 on), and its confidence is that probability: an answer that a
    threshold prefers to a more probable one has no confidence that it could be held to.

    Args:
        task: its labels and thresholds.
        logits: [rows, labels]; of a binary task [rows, 1].
        targets: `single_label`: the label's index, [rows]; `binary`: 0 or 1, [rows];
            `multi_label`: 0 or 1, [rows, labels]. No row is without label.
        temperature: what the logits are divided by before they become probabilities.

    Raises:
        ValueError: there are no rows, the task is a token task, shapes or targets do not fit it,
            logits are not finite, or the temperature is not positive.
    """
    if task.kind is TaskKind.TOKEN:
        raise ValueError(f"{task.name} is a token task: use measure_tokens")
    scaled = scaled_logits(logits, temperature)
    _check(task, scaled, targets)
    if task.kind is TaskKind.SINGLE_LABEL:
        return _single_label(task, scaled, targets)
    if task.kind is TaskKind.BINARY:
        return _binary(task, scaled, targets)
    return _multi_label(task, scaled, targets)


def check_range(task: TaskConfig, targets: NDArray[np.int64], values: int) -> None:
    """Targets are from 0 up to, and without, `values`; there is at least one.

    Raises:
        ValueError: one is not.
    """
    if targets.min() < 0 or targets.max() >= values:
        raise ValueError(f"{task.name}: targets must be from 0 to {values - 1}")


def _single_label(
    task: TaskConfig, logits: NDArray[np.float64], targets: NDArray[np.int64]
) -> TaskMetrics:
    predicted = logits.argmax(axis=1)
    reliability = softmax_reliability(logits, predicted == targets)
    return _one_of(task, logits, targets, predicted, reliability, {})


def _binary(
    task: TaskConfig, logits: NDArray[np.float64], targets: NDArray[np.int64]
) -> TaskMetrics:
    probabilities = expit(logits[:, 0])
    predicted = (probabilities >= task.effective_thresholds[0]).astype(np.int64)
    ranking = {}
    if 0 < targets.sum() < len(targets):
        # Of the logits: probabilities of sure answers round to 1 and lose their order.
        ranking = {
            "average_precision": float(average_precision_score(targets, logits[:, 0])),
            "roc_auc": float(roc_auc_score(targets, logits[:, 0])),
        }
    reliability = sigmoid_reliability(probabilities, targets)
    return _one_of(task, logits, targets, predicted, reliability, ranking)


def _one_of(
    task: TaskConfig,
    logits: NDArray[np.float64],
    targets: NDArray[np.int64],
    predicted: NDArray[np.int64],
    reliability: tuple[ReliabilityBin, ...],
    ranking: Mapping[str, float],
) -> TaskMetrics:
    """Of a task that gives each row one of its labels."""
    right, size = predicted == targets, len(task.labels)
    counts = LabelCounts(
        *(np.bincount(one, minlength=size) for one in (targets[right], predicted, targets))
    )
    figures = {
        "accuracy": float(np.mean(right)),
        **counts.averages(),
        "loss": negative_log_likelihood(task.kind, logits, targets),
        "ece": calibration_error(reliability),
        **ranking,
    }
    return TaskMetrics(
        task=task.name,
        kind=task.kind,
        labels=task.labels,
        rows=len(targets),
        figures=figures,
        per_label=counts.per_label(task.labels),
        confusion_labels=task.labels,
        confusion=confusion_cells(targets, predicted, size),
        reliability=reliability,
    )


def _multi_label(
    task: TaskConfig, logits: NDArray[np.float64], targets: NDArray[np.int64]
) -> TaskMetrics:
    probabilities = expit(logits)
    given, true = probabilities >= np.array(task.effective_thresholds), targets == 1
    counts = LabelCounts(*(one.sum(axis=0) for one in (given & true, given, true)))
    reliability = sigmoid_reliability(probabilities, targets)
    figures = {
        "exact_match": float(np.mean((given == true).all(axis=1))),
        "micro_f1": counts.micro()["f1"],
        **counts.averages(),
        "loss": negative_log_likelihood(task.kind, logits, targets),
        "ece": calibration_error(reliability),
    }
    return TaskMetrics(
        task=task.name,
        kind=task.kind,
        labels=task.labels,
        rows=len(targets),
        figures=figures,
        per_label=counts.per_label(task.labels),
        confusion_labels=task.labels,
        confusion=None,
        reliability=reliability,
    )


def _check(task: TaskConfig, logits: NDArray[np.float64], targets: NDArray[np.int64]) -> None:
    if not len(targets):
        raise ValueError(f"{task.name}: there are no labelled rows to measure on")
    if logits.shape != (len(targets), task.logits):
        raise ValueError(
            f"{task.name}: logits of shape {logits.shape}, not {(len(targets), task.logits)}"
        )
    shape = logits.shape if task.kind is TaskKind.MULTI_LABEL else (len(targets),)
    if targets.shape != shape:
        raise ValueError(f"{task.name}: targets of shape {targets.shape}, not {shape}")
    check_range(task, targets, len(task.labels) if task.kind is TaskKind.SINGLE_LABEL else 2)
