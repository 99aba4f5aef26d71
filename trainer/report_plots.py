"""The plots of a report, as SVG that takes its colours from the page around it."""

import hashlib
import io
import re
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .history import History, StageRecord, StepRecord
from .metrics import BINS, ReliabilityBin

# More points than pixels are not seen; they only make the file large.
POINTS = 1000
# Cells with more labels than this are too small for numbers, and the axes for names.
LABELS_WITH_NUMBERS = 16
LABELS_WITH_NAMES = 40
# Inches of a plot that fills the width of the page.
WIDE = 10.8
# Letters of a label name on an axis.
NAME_WIDTH = 22

P = ParamSpec("P")

# Stand-ins that become variables of the page, so that plots follow its light or dark colours.
# The page gives blue, orange and grey from the colour-blind-safe set of Okabe & Ito (2008).
INK, FAINT, BLUE, ORANGE, GREEN, GREY = (f"#0102{number:02x}" for number in range(6))
_VARIABLES = {
    INK: "ink",
    FAINT: "line",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    GREY: "idle",
}
_COLOUR = re.compile("(?<=: )(" + "|".join(_VARIABLES) + r")\b")

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
# Characters that turn the direction of what follows: text could pass for other text.
_TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def one_line(text: str) -> str:
    """The text without what would break a line, a file or the order of letters.

    Line breaks and tabs become spaces; other control characters, those that turn the direction of
    writing, and halves of surrogate pairs become U+FFFD.
    """
    spaced = re.sub(r"\s+", " ", text).strip()
    return "".join(
        "\ufffd"
        if unicodedata.category(one) in ("Cc", "Cs") or unicodedata.bidirectional(one) in _TURNS
        else one
        for one in spaced
    )


def shortened(text: str, width: int) -> str:
    """One line of at most `width` characters."""
    line = one_line(text)
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def _as_svg(draw: Callable[P, Figure]) -> Callable[P, str]:
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


@_as_svg
def task_curves(history: History, task: str, figures: Sequence[str], best_step: int) -> Figure:
    """Loss of one task on the left, its figures on validation on the right, over the steps.

    Args:
        history: of the run.
        task: its name.
        figures: names of validation figures; the first is the main one.
        best_step: where the weights come from.
    """
    figure = Figure(figsize=(WIDE, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set_title(f"{task}: loss")
    steps = [record for record in history.steps if task in record.losses]
    at, losses = _thinned(steps, [record.losses[task] for record in steps])
    if len(at) > 20:
        left.plot(at, losses, color=BLUE, alpha=0.25, linewidth=0.8)
    if at:
        left.plot(at, _smoothed(losses), color=BLUE, label="training, smoothed")
    seen = [record for record in history.validations if task in record.figures]
    for axes, names, colours in ((left, ["loss"], [ORANGE]), (right, figures, [ORANGE, GREEN])):
        for name, colour in zip(names, colours, strict=False):
            points = [
                (one.step, one.figures[task][name]) for one in seen if name in one.figures[task]
            ]
            if points:
                label = (
                    "validation" if name == "loss" else name.replace("_", " ").replace("f1", "F1")
                )
                marker = "o" if len(points) <= 60 else ""
                axes.plot(
                    *zip(*points, strict=True), color=colour, marker=marker, ms=4, label=label
                )
    left.set_ylim(bottom=0)
    right.set_title(f"{task}: validation")
    for axes in (left, right):
        _mark_steps(axes, history, best_step)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="best", fontsize=8)
        else:
            axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center")
    return figure


@_as_svg
def schedule(history: History) -> Figure:
    """The learning rate and, where they change, the weights of the losses, over the steps."""
    names = changing_weights(history)
    figure = Figure(figsize=(WIDE, 2.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.set_title("learning rate of the highest layer")
    at, rates = _thinned(history.steps, [record.learning_rate for record in history.steps])
    left.plot(at, rates, color=BLUE)
    left.yaxis.set_major_formatter("{x:g}")
    left.set_ylim(bottom=0)
    right.set_title("weights of the losses" if names else "rows per second")
    marks = ["-", "--", ":", "-."]
    for index, name in enumerate(names):
        steps = [record for record in history.steps if name in record.weights]
        at, weights = _thinned(steps, [record.weights[name] for record in steps])
        colour = (BLUE, ORANGE, GREEN)[index % 3]
        right.plot(at, weights, color=colour, linestyle=marks[index // 3 % 4], label=name)
    if names:
        right.legend(loc="best", fontsize=8, ncols=1 + len(names) // 6)
    else:
        at, speeds = _thinned(history.steps, [one.rows_per_second for one in history.steps])
        right.plot(at, _smoothed(speeds), color=BLUE)
        right.set_ylim(bottom=0)
    for axes in (left, right):
        _mark_steps(axes, history, None)
    return figure


def changing_weights(history: History) -> list[str]:
    """Tasks whose loss has not the same weight throughout."""
    weights: dict[str, set[float]] = {}
    for record in history.steps:
        for name, weight in record.weights.items():
            weights.setdefault(name, set()).add(round(weight, 6))
    return [name for name, values in weights.items() if len(values) > 1]


@_as_svg
def freezing_timeline(stages: Sequence[StageRecord], epochs: float) -> Figure:
    """Which part of the network is trained when: a row a part, the embeddings at the bottom.

    Args:
        stages: in their order, at least one; all have the same parts.
        epochs: when the training ended.
    """
    parts = stages[0].parts
    figure = Figure(figsize=(WIDE, 0.9 + 0.23 * len(parts)), layout="constrained")
    axes = figure.subplots()
    starts = [stage.epoch for stage in stages]
    end = max(epochs, starts[-1]) or 1
    for start, stop, stage in zip(starts, [*starts[1:], end], stages, strict=True):
        for trained, colour in ((True, BLUE), (False, GREY)):
            rows = [row for row, part in enumerate(stage.parts) if part.trained is trained]
            axes.barh(rows, stop - start, left=start, height=0.72, color=colour)
    for start in starts[1:]:
        axes.axvline(start, color=INK, linewidth=0.9, linestyle=":")
    for trained, colour in (("trained", BLUE), ("frozen", GREY)):
        axes.barh([0], [0], color=colour, label=trained)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8, borderpad=0)
    axes.set_yticks(range(len(parts)), [shortened(part.name, 40) for part in parts])
    for row, part in enumerate(parts):
        axes.annotate(
            short_count(part.parameters),
            (1, row),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set(xlim=(0, end), ylim=(-0.6, len(parts) - 0.4), xlabel="epochs")
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def short_count(count: int) -> str:
    """Such as 512, 1.2 k or 22.7 M."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return str(count)


@_as_svg
def confusion_matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Figure:
    """How often each label, a row, was answered as which, a column; shaded by share of the row.

    Up to `LABELS_WITH_NUMBERS` labels the cells have numbers, up to `LABELS_WITH_NAMES` the axes
    have names; beyond, they have the labels' numbers, from 1.
    """
    cells = np.array(counts, dtype=np.float64)
    shares = cells / np.maximum(1, cells.sum(axis=1, keepdims=True))
    size = len(labels)
    inches = {True: 1.9 + 0.46 * size, False: 6.4}[size <= LABELS_WITH_NUMBERS]
    figure = Figure(figsize=(inches + 0.9, inches), layout="constrained")
    axes = figure.subplots()
    # The root lets a confusion of one row in twenty be seen beside a diagonal near 1.
    norm = PowerNorm(0.5, 0, 1)
    image = axes.imshow(shares, cmap="Blues", norm=norm, interpolation="none")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=25, ticks=[0, 0.05, 0.25, 0.5, 1])
    bar.ax.set_yticklabels(["0", "5 %", "25 %", "50 %", "100 %"], fontsize=7.5)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.grid(visible=False)
    axes.set(xlabel="answered", ylabel="expected")
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    if size <= LABELS_WITH_NAMES:
        names = [_axis_name(label) for label in labels]
        small = 8 if size <= LABELS_WITH_NUMBERS else 6.5
        axes.set_xticks(range(size), names, rotation=90 if size > 6 else 35, fontsize=small)
        if size <= 6:
            for text in axes.get_xticklabels():
                text.set(ha="right", rotation_mode="anchor")
        axes.set_yticks(range(size), names, fontsize=small)
        axes.tick_params(length=0)
    else:
        ticks = [0, *range(19, size, 20)]
        axes.set_xticks(ticks, [str(tick + 1) for tick in ticks])
        axes.set_yticks(ticks, [str(tick + 1) for tick in ticks])
        axes.set(xlabel="number of the label answered", ylabel="number of the label expected")
    if size <= LABELS_WITH_NUMBERS:
        for row, column in np.argwhere(cells > 0):
            colour = "#ffffff" if norm(shares[row, column]) > 0.6 else "#10253c"
            text = _cell(int(cells[row, column]))
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7.5)
    return figure


@_as_svg
def reliability_diagram(bins: Sequence[ReliabilityBin]) -> Figure:
    """How often answers of each confidence are right, and how many of them there are."""
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    confidences = [one.confidence for one in bins]
    top.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1, label="as sure as right")
    top.plot(confidences, [one.accuracy for one in bins], color=BLUE, marker="o", ms=4)
    top.set(ylabel="right", xlim=(0, 1), ylim=(0, 1.03))
    top.legend(loc="lower right", fontsize=8)
    bottom.bar(confidences, [one.count for one in bins], width=0.8 / BINS, color=BLUE)
    bottom.set(xlabel="confidence", ylabel="decisions")
    bottom.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    return figure


def _axis_name(label: str) -> str:
    # Long names often differ at their end only.
    line = one_line(label)
    return line if len(line) <= NAME_WIDTH else f"{line[: NAME_WIDTH - 9]}…{line[-8:]}"


def _cell(count: int) -> str:
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"


def _mark_steps(axes: Any, history: History, best_step: int | None) -> None:
    """Lines where a stage begins and where the best weights are, and the axis of the steps."""
    done = [one.step for one in (*history.steps, *history.validations)]
    last = max([1, best_step or 0, *done])
    axes.set(xlabel="step", xlim=(-0.02 * last, 1.02 * last))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    marks = [(one.step, f"stage {number}") for number, one in enumerate(history.stages, 1)][1:]
    for step, text in marks:
        axes.axvline(step, color=INK, linewidth=0.9, linestyle=":", alpha=0.8)
        _write_along(axes, step, text, 0.98)
    if best_step is not None:
        axes.axvline(best_step, color=INK, linewidth=1.1, linestyle="--")
        _write_along(axes, best_step, "best", 0.03)


def _write_along(axes: Any, step: int, text: str, height: float) -> None:
    """Beside a line, at the top for a height of more than a half, else at the bottom."""
    axes.annotate(
        text,
        (step, height),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-2, 0),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="top" if height > 0.5 else "bottom",
        fontsize=7,
    )


def _thinned(
    records: Sequence[StepRecord], values: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Steps and values, neighbours averaged until there are at most `POINTS`."""
    size = -(-len(values) // POINTS) or 1
    steps = [record.step for record in records]
    cuts = range(0, len(values), size)
    return tuple(  # type: ignore[return-value]
        [float(np.mean(series[cut : cut + size])) for cut in cuts] for series in (steps, values)
    )


def _smoothed(values: Sequence[float]) -> list[float]:
    """The mean over a fortieth of the values around each; fewer at the ends."""
    reach = len(values) // 80
    return [
        float(np.mean(values[max(0, index - reach) : index + reach + 1]))
        for index in range(len(values))
    ]
