"""The curves of a report: what changed over the steps of a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .history import History, StepRecord
from .report_svg import BLUE, GREEN, INK, ORANGE, WIDE, as_svg
from .summary_texts import figure_title
from .task_metrics import leading_figures

# More points than pixels are not seen; they only make the file large.
POINTS = 1000


@as_svg
def task_curves(history: History, task: str, best_step: int) -> Figure:
    """Loss of one task on the left, its leading figures on validation on the right, over the steps.

    Args:
        history: of the run.
        task: its name.
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
    figures = leading_figures({name for record in seen for name in record.figures[task]})
    for axes, names, colours in ((left, ["loss"], [ORANGE]), (right, figures, [ORANGE, GREEN])):
        for name, colour in zip(names, colours, strict=False):
            points = [
                (one.step, one.figures[task][name]) for one in seen if name in one.figures[task]
            ]
            if points:
                label = "validation" if name == "loss" else figure_title(name)
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


@as_svg
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
