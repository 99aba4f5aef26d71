"""The report of a run: one HTML file that needs nothing else, without scripts or requests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jinja2

from ..model.config import TaskConfig
from . import report_curves as curves
from . import report_plots as plots
from .recipe_text import recipe_text
from .run_summary import DataSummary, Evaluation, RunSummary
from .summary_figures import (
    Confusion,
    epochs_done,
    in_order,
    task_evaluations,
    top_confusions,
    trained_parameters,
    unseen,
    whole,
)
from .summary_texts import (
    KIND_TITLES,
    SPLIT_TITLES,
    data_warnings,
    duration,
    figure_text,
    figure_title,
    one_line,
    percent_text,
    short_count,
    shortened,
    weighting_text,
)
from .task_metrics import LabelMetrics, TaskMetrics

# Weighted recall is the accuracy, and weighted precision tells hardly anyone anything.
_LEFT_OUT = ("weighted_precision", "weighted_recall")
# A long text is not read to its end, but makes the file large; so do many of them.
TEXT_WIDTH = 600
MISTAKES = 30
CONFUSIONS = 12


@dataclass(frozen=True)
class _Task:
    """What the page shows of one task."""

    config: TaskConfig
    evaluations: list[Evaluation]
    columns: list[str]
    """Names of figures."""
    seen: Evaluation | None
    unseen: Evaluation | None
    """Of the test rows if there are any, else of the validation rows."""
    shown: Evaluation | None
    """What the details are about."""
    tested: Mapping[str, LabelMetrics]
    """By label, its figures on the test rows when the details are about others."""
    confusions: list[Confusion]
    curves: str
    matrix: str
    uncalibrated: TaskMetrics | None
    """The same rows before temperature scaling, where that changed anything."""
    reliability: str


def write_report(summary: RunSummary, file: Path) -> None:
    """Write the report of a finished run; the same run gives the same bytes.

    Args:
        summary: what the run tells. Its texts and label names may hold anything.
        file: to write, or to write again.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": figure_text,
        "title": figure_title,
        "percent": percent_text,
        "count": lambda count: f"{count:,}",
        "size": short_count,
        "line": one_line,
        "clipped": partial(shortened, width=TEXT_WIDTH),
    }
    history, epochs = summary.history, epochs_done(summary)
    page = environment.get_template("report.html.j2").render(
        summary=summary,
        tasks=[_task(summary, task) for task in summary.config.tasks],
        epochs=epochs,
        duration=duration(summary.seconds),
        train_rows=sum(one.rows for one in summary.data if one.split == "train"),
        data=in_order(summary.data),
        distributions=list(_distributions(summary)),
        warnings=list(data_warnings(summary.data)),
        schedule=curves.schedule(history) if history.steps else "",
        weighting=weighting_text(summary),
        timeline=plots.freezing_timeline(history.stages, epochs) if history.stages else "",
        trained=trained_parameters,
        recipe=recipe_text(summary.recipe),
        splits=SPLIT_TITLES,
        kinds=KIND_TITLES,
        mistakes_shown=MISTAKES,
        numbered_from=plots.LABELS_WITH_NAMES,
    )
    file.write_bytes(page.encode("utf-8", "replace"))


def _task(summary: RunSummary, task: TaskConfig) -> _Task:
    found = task_evaluations(summary, task.name)
    shown = whole(found, "validation") or whole(found, "test") or whole(found, "train")
    metrics = shown.metrics if shown else None
    test = whole(found, "test")
    before = None
    # Where the details are not about validation, these would be other rows before than after.
    if summary.temperatures.get(task.name, 1.0) != 1.0 and shown and shown.split == "validation":
        before = summary.uncalibrated.get(task.name)
    return _Task(
        config=task,
        evaluations=found,
        columns=_columns(found),
        seen=whole(found, "train"),
        unseen=unseen(found),
        shown=shown,
        tested={one.label: one for one in test.metrics.per_label}
        if test and test is not shown
        else {},
        confusions=top_confusions(metrics)[:CONFUSIONS] if metrics else [],
        curves=curves.task_curves(summary.history, task.name, summary.best_step),
        matrix=plots.confusion_matrix(metrics.confusion_labels, metrics.confusion)
        if metrics and metrics.confusion
        else "",
        uncalibrated=before,
        reliability=plots.reliability_diagram(
            metrics.reliability, before.reliability if before else ()
        )
        if metrics and metrics.reliability
        else "",
    )


def _columns(found: Sequence[Evaluation]) -> list[str]:
    """Names of figures, the main one first."""
    main = [one.metrics.main_figure for one in found[:1]]
    named = [name for one in found for name in one.metrics.figures if name not in _LEFT_OUT]
    return list(dict.fromkeys([*main, *named]))


def _distributions(summary: RunSummary) -> Iterator[tuple[str, list[DataSummary], list[str]]]:
    """Of each task its name, the splits with its labels, and the labels."""
    for task in summary.config.tasks:
        holding = [one for one in in_order(summary.data) if one.labels.get(task.name)]
        found = [label for one in holding for label in one.labels[task.name]]
        first = [label for label in task.labels if label in found]
        if holding:
            yield task.name, holding, list(dict.fromkeys([*first, *found]))
