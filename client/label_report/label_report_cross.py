"""The section about two tasks: how their labels go together."""

import numpy as np

from ..report.page_table import LABELS, heat_table
from ..report.page_text import escaped, percent
from .cross_table import CrossTable
from .task_tally import TaskTally

# A cell with fewer expected rows says little about how labels go together.
_LEAST_EXPECTED = 5


def cross_section(cross: CrossTable, first: TaskTally, second: TaskTally) -> str:
    """How the labels of two tasks go together, as a heat map."""
    if not cross.counts.any():
        return "<p>No row has a label of both.</p>"
    down, across = _cross_labels(first), _cross_labels(second)
    left_out = len(first.ranked()) - len(down) + len(second.ranked()) - len(across)
    more = f" {left_out} rarer labels are left out." if left_out else ""
    return (
        '<p class="soft">Rows by their labels. Percentages and shades: share of the rows '
        f"that have the label on the left.{more}</p>{_most_unlike(cross, first, second)}"
    ) + heat_table(
        f"{first.task.name} by {second.task.name}",
        [first.name(label) for label in down],
        [second.name(label) for label in across],
        cross.counts[np.ix_(down, across)].tolist(),
        first.counts[down].tolist(),
    )


def _cross_labels(tally: TaskTally) -> list[int]:
    """The most frequent labels, in the order of the task."""
    return sorted(tally.ranked()[:LABELS])


def _most_unlike(cross: CrossTable, first: TaskTally, second: TaskTally) -> str:
    """The pair of labels that come together most beyond chance (the largest Pearson residual)."""
    shares = second.counts / max(second.rows, 1)
    expected = np.outer(first.counts, shares)
    residuals = np.where(
        expected >= _LEAST_EXPECTED,
        (cross.counts - expected) / np.sqrt(np.maximum(expected, 1)),
        -np.inf,
    )
    left, right = np.unravel_index(np.argmax(residuals), residuals.shape)
    if residuals[left, right] < 3:  # what chance alone brings about now and then
        return ""
    label, other = escaped(first.name(int(left))), escaped(second.name(int(right)))
    found = percent(int(cross.counts[left, right]), int(first.counts[left]))
    return (
        f"<p>What stands out: of the rows with <b>{label}</b>, {found} have <b>{other}</b>; "
        f"of all rows, {percent(float(shares[right]), 1)}.</p>"
    )
