"""Figures of matplotlib as SVG that takes its colours from the page around it."""

import hashlib
import io
import re
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import matplotlib.style
from matplotlib.figure import Figure

P = ParamSpec("P")

# Stand-ins that become variables of the page, so that plots follow its light or dark colours.
# The page gives blue, orange and grey from the colour-blind-safe set of Okabe & Ito (2008).
INK, SOFT, FAINT, BLUE, ORANGE, GREEN, GREY = (f"#0102{number:02x}" for number in range(7))
_VARIABLES = {
    INK: "ink",
    SOFT: "soft",
    FAINT: "line",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    GREY: "idle",
}
_COLOUR = re.compile("(?<=: )(" + "|".join(_VARIABLES) + r")\b")

# Inches of a plot that fills the width of the page.
WIDE = 10.8

_STYLE = {
    "svg.fonttype": "none",  # the reader's fonts have scripts that ours lack, and text stays text
    "svg.hashsalt": "twinhead",  # the same ids each time
    "text.parse_math": False,  # a `$` in a label is a dollar
    "font.family": "DejaVu Sans",  # comes with matplotlib, so widths are the same everywhere
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "grid.color": FAINT,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
} | dict.fromkeys(
    ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK
)


def as_svg(draw: Callable[P, Figure]) -> Callable[P, str]:
    """The figure as an SVG element, whatever style this machine has set."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        styles: list[Any] = ["default", _STYLE]
        with matplotlib.style.context(styles), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # the browser draws them
            stream = io.StringIO()
            metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            draw(*args, **kwargs).savefig(stream, format="svg", metadata=metadata, transparent=True)
        svg = stream.getvalue()
        return _for_page(svg[svg.index("<svg") :])

    return drawn


def _for_page(svg: str) -> str:
    # Ids are unique in a figure only; a page has many. Those of groups nothing refers to.
    mark = "f" + hashlib.sha256(svg.encode()).hexdigest()[:8]

    def adapt(tag: re.Match[str]) -> str:
        text = re.sub(r'^<g id="[^"]*"', "<g", tag[0])
        text = re.sub(r'( id="|="#|url\(#)', rf"\1{mark}", text)
        return _COLOUR.sub(lambda colour: f"var(--{_VARIABLES[colour[0]]})", text)

    # In text `<` and `>` are escaped, so that these are tags and nothing else.
    return re.sub(r"<[^<>]*>", adapt, svg)
