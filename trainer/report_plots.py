"""The plots of a report that are not over steps: freezing, confusion and calibration."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .history import StageRecord
from .reliability import BINS
from .report_svg import BLUE, GREY, INK, SOFT, WIDE, as_svg
from .summary_texts import one_line, short_count, shortened
from .task_metrics import ReliabilityBin

# Cells with more labels than this are too small for numbers, and the axes for names.
LABELS_WITH_NUMBERS = 16
LABELS_WITH_NAMES = 40
# Letters of a label name on an axis.
NAME_WIDTH = 22


@as_svg
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


@as_svg
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


@as_svg
def reliability_diagram(
    after: Sequence[ReliabilityBin], before: Sequence[ReliabilityBin] = ()
) -> Figure:
    """How often answers of each confidence are right, and how many of them there are.

    Args:
        after: with the temperature; filled.
        before: of the same rows without it, where it changes anything; hollow.
    """
    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    top.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1, label="as sure as right")
    for bins, name, colour, inside, above in (
        (before, "before", SOFT, "none", 2),
        (after, "after", BLUE, BLUE, 1),
    ):
        confidences, counts = [one.confidence for one in bins], [one.count for one in bins]
        bar = {"width": 0.8 / BINS, "color": inside, "edgecolor": colour, "zorder": above}
        bottom.bar(confidences, counts, **bar)
        if bins:
            rights, label = [one.accuracy for one in bins], name if before else None
            top.plot(confidences, rights, color=colour, marker="o", ms=4, mfc=inside, label=label)
    top.set(ylabel="right", xlim=(0, 1), ylim=(0, 1.03))
    top.legend(loc="lower right", fontsize=8)
    bottom.set(xlabel="confidence", ylabel="decisions")
    bottom.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    return figure


def _axis_name(label: str) -> str:
    # Long names often differ at their end only.
    line = one_line(label)
    return line if len(line) <= NAME_WIDTH else f"{line[: NAME_WIDTH - 9]}…{line[-8:]}"


def _cell(count: int) -> str:
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"
