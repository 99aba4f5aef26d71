"""Bars, histograms and shades as markup.

Sizes are attributes of SVG and colours are classes: the page's policy allows no style attributes.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .page_text import escaped, percent

COLOURS = 10
"""Colours of labels, classes c0 to c9; c10 is for all other labels."""
_HEAT_STEPS = 20


def label_colours(counts: NDArray[np.int64]) -> list[int]:
    """The colour of each label, which is that of the label's place in the task, by its count.

    When there are more labels than colours, the most frequent ones get them.
    """
    order = np.argsort(-counts, kind="stable") if len(counts) > COLOURS else np.arange(len(counts))
    ranks = {label: rank for rank, label in enumerate(sorted(order[:COLOURS].tolist()))}
    return [ranks.get(label, COLOURS) for label in range(len(counts))]


def bar(share: float, colour: str = "", beside: float | None = None) -> str:
    """A bar as long as its share, with a line at the share to hold it against."""
    line = "" if beside is None else f'<rect class="beside" x="{100 * beside:.2f}%"/>'
    return (
        f'<svg class="bar {colour}" aria-hidden="true">'
        f'<rect width="{100 * share:.2f}%" height="100%"/>{line}</svg>'
    )


def stacked_bar(parts: Iterable[tuple[str, float, str]]) -> str:
    """One bar of all parts: name, share and colour of each."""
    drawn, start = "", 0.0
    for name, share, colour in parts:
        drawn += (
            f'<rect class="{colour}" x="{100 * start:.2f}%" width="{100 * share:.2f}%" '
            f'height="100%"><title>{escaped(name)}: {percent(share, 1)}</title></rect>'
        )
        start += share
    return f'<svg class="stack" aria-hidden="true">{drawn}</svg>'


def histogram(counts: Sequence[int], title: str, colour: str = "") -> str:
    """A histogram of scores from 0 to 1."""
    most, width = max(*counts, 1), 400 / len(counts)
    bars = ""
    for index, count in enumerate(counts):
        height = 100 * count / most
        low, high = index / len(counts), (index + 1) / len(counts)
        # The transparent one makes the whole column answer the pointer.
        bars += (
            f"<g><title>{low:.2f} to {high:.2f}: {count:,} ({percent(count, sum(counts))})</title>"
            f'<rect class="clear" x="{index * width:g}" width="{width:g}" height="100"/>'
            f'<rect x="{index * width + 1:g}" y="{100 - height:.2f}" width="{width - 2:g}" '
            f'height="{height:.2f}"/></g>'
        )
    ticks = "".join(
        f'<text x="{400 * at:g}" y="114" text-anchor="{anchor}">{at:g}</text>'
        for at, anchor in ((0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"))
    )
    return (
        f'<svg class="histogram {colour}" viewBox="0 0 400 118" role="img" '
        f'aria-label="{escaped(title)}"><path class="axis" d="M0 100.5H400"/>{bars}{ticks}'
        '<text x="400" y="114" text-anchor="end">1</text></svg>'
    )


def heat(share: float) -> str:
    """The class of a cell's shade."""
    return f"h{round(_HEAT_STEPS * min(share, 1))}"
