"""The rows that a network is surest about, and wrong."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit, softmax

from ..model.config import TaskKind
from ..model.entity_tags import spans_of
from .labelled_rows import LabelledRow
from .predictions import Predictions
from .run_summary import Mistake

# As many as a person reads.
_SHOWN = 12


def find_mistakes(predicted: Predictions, rows: Sequence[LabelledRow]) -> tuple[Mistake, ...]:
    """The most confident mistakes of one task, the surest first.

    Args:
        predicted: logits and targets; confidence is at the task's temperature.
        rows: what `predicted.rows` counts in.
    """
    found: list[tuple[float, int, str, str]] = []
    for position, index in enumerate(predicted.rows):
        expected, answered, confidence = _compare(predicted, position, rows[index])
        if expected != answered:
            found.append((confidence, int(index), expected, answered))
    found.sort(key=lambda mistake: (-mistake[0], mistake[1]))
    return tuple(
        Mistake(rows[index].origin, rows[index].text, expected, answered, confidence)
        for confidence, index, expected, answered in found[:_SHOWN]
    )


def _compare(predicted: Predictions, position: int, row: LabelledRow) -> tuple[str, str, float]:
    """Expected, answered, and how sure the answer is."""
    task = predicted.task
    logits = predicted.logits[position].astype(np.float64) / task.temperature
    target = predicted.targets[position]
    match task.kind:
        case TaskKind.SINGLE_LABEL:
            shares = softmax(logits)
            best = int(shares.argmax())
            return task.labels[int(target)], task.labels[best], float(shares[best])
        case TaskKind.BINARY:
            yes = float(expit(logits[0]))
            said = int(yes >= task.effective_thresholds[0])
            return task.labels[int(target)], task.labels[said], yes if said else 1 - yes
        case TaskKind.MULTI_LABEL:
            shares = expit(logits)
            said = shares >= np.array(task.effective_thresholds)
            wrong = said != (target == 1)
            sure = np.where(said, shares, 1 - shares)[wrong]
            return (
                _listed([task.labels[index] for index in np.flatnonzero(target == 1)]),
                _listed([task.labels[index] for index in np.flatnonzero(said)]),
                float(sure.max()) if sure.size else 0.0,
            )
        case TaskKind.TOKEN:
            if not len(logits):
                return "", "", 0.0
            shares = softmax(logits, axis=1)
            best = shares.argmax(axis=1)
            wrong = best != target
            sure = shares.max(axis=1)[wrong]
            return (
                _entities(row, [task.labels[index] for index in target]),
                _entities(row, [task.labels[index] for index in best]),
                float(sure.max()) if sure.size else 0.0,
            )


def _entities(row: LabelledRow, tags: Sequence[str]) -> str:
    return _listed(
        [
            f"{row.text[row.words[span.first][0] : row.words[span.last][1]]} ({span.label})"
            for span in spans_of(tags)
        ]
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
