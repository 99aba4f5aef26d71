"""Charts of lines as markup.

As in the other plots, colours are classes and all else attributes of SVG: the page's policy allows
no style attributes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from .page_text import escaped

# In units of the drawing, which is as wide as its place in the page.
_WIDTH, _HEIGHT = 460, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 10, 8, 34
_TICKS = 5


class Line(NamedTuple):
    """One line of a chart."""

    name: str
    """Plain text, for the legend; empty: not in it."""
    points: Sequence[tuple[float, float]]
    kind: str
    """Classes: a colour, c0 to c10; `faint`; `dots` for a dot at each point, `hollow` ones."""


class Mark(NamedTuple):
    """A vertical line."""

    at: float
    name: str
    kind: str = ""
    """Class: dotted, or `dashed`."""


def line_chart(
    title: str,
    lines: Sequence[Line],
    across: str,
    *,
    x: tuple[float, float] | None = None,
    y: tuple[float, float] | None = None,
    y_from: float | None = None,
    marks: Sequence[Mark] = (),
) -> str:
    """A figure with its title and legend; points show their values under the pointer.

    Args:
        title: plain text.
        lines: those without points are left out.
        across: what the horizontal axis shows.
        x: from where to where that goes; without it, from 0 to the last point.
        y: the same of the vertical axis; without it, as the points need. Where these hardly
            differ, a tenth of them is seen, so that noise does not look like news.
        y_from: where that begins at least, in place of `y`.
        marks: within the horizontal axis.
    """
    lines = [line for line in lines if line.points]
    name = escaped(title)
    if not lines:
        return f"<figure><h4>{name}</h4><p>Nothing was recorded.</p></figure>"
    values = [point[1] for line in lines for point in line.points]
    start, end = x or (0, max(point[0] for line in lines for point in line.points) or 1)
    low, high = y or (min(*values, values[0] if y_from is None else y_from), max(values))
    low = min(low, high - 0.1 * abs(high) if high else -0.1)
    levels, steps = _ticks(low, high), _ticks(start, end)
    if y is None:
        low, high = levels[0], levels[-1]

    def right(value: float) -> str:
        return f"{_LEFT + (value - start) / (end - start) * (_WIDTH - _LEFT - _RIGHT):.1f}"

    def down(value: float) -> str:
        return f"{_TOP + (high - value) / (high - low) * (_HEIGHT - _TOP - _BOTTOM):.1f}"

    floor, drawn, legend = _HEIGHT - _BOTTOM, "", ""
    for level in levels:
        if low <= level <= high:
            drawn += (
                f'<path class="grid" d="M{_LEFT} {down(level)}H{_WIDTH - _RIGHT}"/>'
                f'<text x="{_LEFT - 6}" y="{down(level)}" dy="4" text-anchor="end">'
                f"{_number(level)}</text>"
            )
    for step in steps:
        if start <= step <= end:
            drawn += (
                f'<text x="{right(step)}" y="{floor + 15}" text-anchor="middle">{step:,g}</text>'
            )
    for line in lines:
        places = [f"{right(at)} {down(value)}" for at, value in line.points]
        drawn += f'<g class="{line.kind}"><path d="M{"L".join(places)}"/>'
        if "dots" in line.kind:
            for place, (at, value) in zip(places, line.points, strict=True):
                across_at, down_at = place.split()
                drawn += (
                    f'<circle cx="{across_at}" cy="{down_at}" r="3.2"><title>{escaped(line.name)}, '
                    f"{across} {at:,.4g}: {value:.4g}</title></circle>"
                )
        drawn += "</g>"
        if line.name:
            legend += f'<span class="tag {line.kind}">{escaped(line.name)}</span> '
    for mark in marks:
        height = floor - 5 if mark.kind else _TOP + 9  # two marks may be at one place
        drawn += (
            f'<path class="mark {mark.kind}" d="M{right(mark.at)} {_TOP}V{floor}"/>'
            f'<text x="{right(mark.at)}" y="{height}" dx="4">{escaped(mark.name)}</text>'
        )
    return (
        f'<figure><h4>{name}</h4><svg class="lines" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{name}">{drawn}<path class="axis" d="M{_LEFT} {floor}H{_WIDTH - _RIGHT}"/>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 3}" text-anchor="end">{across}</text></svg>'
        f"<figcaption>{legend}</figcaption></figure>"
    )


def _number(value: float) -> str:
    small = 0 < abs(value) < 0.001
    return f"{value:.1e}".replace("e-0", "e-") if small else f"{value:,g}"


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers around the range."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    size = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / size + 1e-6), math.ceil(high / size - 1e-6)
    return [round(number * size, 12) for number in range(first, last + 1)]
