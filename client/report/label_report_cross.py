"""The section about two tasks: how their labels go together."""

import numpy as np

from .cross_table import CrossTable
from .page_plots import heat
from .page_text import escaped, percent
from .task_tally import TaskTally

_LABELS = 20
# A cell with fewer expected rows says little about how labels go together.
_LEAST_EXPECTED = 5


def cross_section(cross: CrossTable, first: TaskTally, second: TaskTally, identity: str) -> str:
    """How the labels of two tasks go together, as a heat map."""
    names = [escaped(tally.task.name) for tally in (first, second)]
    head = f'<section id="{identity}"><h2>{names[0]} &times; {names[1]}</h2>'
    if not cross.counts.any():
        return f"{head}<p>No row has a label of both.</p></section>"
    down, across = _cross_labels(first), _cross_labels(second)
    body = ""
    for label in down:
        total = int(first.counts[label])
        cells = "".join(
            f'<td class="{heat(count / total)}"><b>{percent(count, total)}</b>{count:,}</td>'
            for count in cross.counts[label, across].tolist()
        )
        body += (
            f'<tr><th class="text" scope="row">{escaped(first.name(label))}</th>{cells}'
            f'<td class="sum">{total:,}</td></tr>'
        )
    columns = "".join(f'<th scope="col">{escaped(second.name(label))}</th>' for label in across)
    left_out = len(first.ranked()) - len(down) + len(second.ranked()) - len(across)
    more = f" {left_out} rarer labels are left out." if left_out else ""
    return (
        f'{head}<p class="soft">Rows by their labels. Percentages and shades: share of the rows '
        f"that have the label on the left.{more}</p>{_most_unlike(cross, first, second)}"
        f'<div class="wide" tabindex="0" role="region" aria-label="{names[0]} by {names[1]}">'
        f'<table class="heat"><thead><tr><td></td>{columns}<th scope="col">rows</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _cross_labels(tally: TaskTally) -> list[int]:
    """The most frequent labels, in the order of the task."""
    return sorted(tally.ranked()[:_LABELS])


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
