"""The section of a report with the curves: what changed over the steps of a run."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..client.report.page_chart import Line, Mark, line_chart
from ..client.report.page_text import escaped
from .history import History
from .run_summary import RunSummary
from .summary_texts import figure_title, weighting_text
from .task_metrics import leading_figures

# More points than pixels are not seen; they only make the file large.
POINTS = 400
# Colours, as long as tasks have different ones.
_COLOURS = 10


def training_section(summary: RunSummary) -> str:
    """Curves of each task, the learning rate, and what else changed."""
    history = summary.history
    tasks = "".join(
        task_curves(history, task.name, summary.best_step) for task in summary.config.tasks
    )
    return (
        '<p class="soft">Dashed line: the step of the best weights. Dotted lines: a stage of '
        f"freezing begins.</p>{tasks}{schedule(history) if history.steps else ''}"
        + "".join(f"<p>{escaped(note, 400)}</p>" for note in _notes(summary))
    )


def _notes(summary: RunSummary) -> Iterator[str]:
    yield f"Losses become one by: {weighting_text(summary)}."
    if summary.cache:
        yield summary.cache
    if summary.kept_embeddings is not None:
        yield (
            "Mean cosine of the validation rows' embeddings to those before training: "
            f"{summary.kept_embeddings:.3f}."
        )
    if summary.rounded:
        yield f"Weights rounded to half precision: {', '.join(summary.rounded)}."


def task_curves(history: History, task: str, best_step: int) -> str:
    """Loss of one task on the left, its leading figures on validation on the right, over the steps.

    Args:
        history: of the run.
        task: its name.
        best_step: where the weights come from.
    """
    losses = [(one.step, one.losses[task]) for one in history.steps if task in one.losses]
    seen = [one for one in history.validations if task in one.figures]

    def validation(name: str) -> list[tuple[float, float]]:
        return [(one.step, one.figures[task][name]) for one in seen if name in one.figures[task]]

    thin = _thinned(losses)
    lines = [
        Line("", thin if len(thin) > 20 else [], "c0 faint"),
        Line("training, smoothed", _smoothed(thin), "c0"),
        Line("validation", validation("loss"), "c1 dots"),
    ]
    figures = leading_figures({name for one in seen for name in one.figures[task]})
    leading = [
        Line(figure_title(name), validation(name), f"c{colour} dots")
        for colour, name in enumerate(figures, 1)
    ]
    steps, marks = _steps(history), _marks(history, best_step)
    left = line_chart(f"{task}: loss", lines, "step", x=steps, y_from=0, marks=marks)
    right = line_chart(f"{task}: validation", leading, "step", x=steps, marks=marks)
    return f'<div class="pair">{left}{right}</div>'


def schedule(history: History) -> str:
    """The learning rate and, where they change, the weights of the losses, over the steps."""
    steps, marks = _steps(history), _marks(history, None)
    rates = [(one.step, one.learning_rate) for one in history.steps]
    left = line_chart(
        "Learning rate of the highest layer",
        [Line("", _thinned(rates), "c0")],
        "step",
        x=steps,
        y_from=0,
        marks=marks,
    )
    speeds = [(one.step, one.rows_per_second) for one in history.steps]
    title, lines = "Rows per second", [Line("", _smoothed(_thinned(speeds)), "c0")]
    if names := changing_weights(history):
        title = "Weights of the losses"
        lines = [
            Line(
                name,
                _thinned([(o.step, o.weights[name]) for o in history.steps if name in o.weights]),
                f"c{number % _COLOURS}",
            )
            for number, name in enumerate(names)
        ]
    right = line_chart(title, lines, "step", x=steps, y_from=None if names else 0, marks=marks)
    return f'<div class="pair">{left}{right}</div>'


def changing_weights(history: History) -> list[str]:
    """Tasks whose loss has not the same weight throughout."""
    weights: dict[str, set[float]] = {}
    for record in history.steps:
        for name, weight in record.weights.items():
            weights.setdefault(name, set()).add(round(weight, 6))
    return [name for name, values in weights.items() if len(values) > 1]


def _steps(history: History) -> tuple[float, float]:
    return 0, max([1, *(one.step for one in (*history.steps, *history.validations))])


def _marks(history: History, best_step: int | None) -> list[Mark]:
    stages = [Mark(one.step, f"stage {number}") for number, one in enumerate(history.stages, 1)][1:]
    return stages if best_step is None else [*stages, Mark(best_step, "best", "dashed")]


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points, neighbours averaged until there are at most `POINTS`."""
    size = -(-len(points) // POINTS) or 1
    parts = [points[cut : cut + size] for cut in range(0, len(points), size)]
    return [(float(at), float(value)) for at, value in (np.mean(part, axis=0) for part in parts)]


def _smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The mean over a fortieth of the values around each; fewer at the ends."""
    reach = len(points) // 80
    return [
        (at, float(np.mean([one[1] for one in points[max(0, place - reach) : place + reach + 1]])))
        for place, (at, _) in enumerate(points)
    ]
