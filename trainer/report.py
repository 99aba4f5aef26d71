"""The report of a run: one HTML file that needs nothing else, without scripts or requests."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2

from ..model.config import TaskConfig, TaskKind
from . import report_plots as plots
from .history import StageRecord
from .metrics import TaskMetrics
from .recipe import Recipe, Weighting
from .run_summary import DataSummary, Evaluation, RunSummary

SPLITS = {
    "train": "training sample (seen)",
    "validation": "validation (unseen)",
    "test": "test (unseen)",
}
KINDS = {
    TaskKind.SINGLE_LABEL: "one label a text",
    TaskKind.BINARY: "yes or no",
    TaskKind.MULTI_LABEL: "any number of labels a text",
    TaskKind.TOKEN: "entities in the text",
}
_TITLES = {
    "f1": "F1",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "weighted_f1": "weighted F1",
    "roc_auc": "ROC AUC",
    "ece": "ECE",
}
# Weighted recall is the accuracy, and weighted precision tells hardly anyone anything.
_LEFT_OUT = ("weighted_precision", "weighted_recall")
# A long text is not read to its end, but makes the file large; so do many of them.
TEXT_WIDTH = 600
MISTAKES = 30
CONFUSIONS = 12


@dataclass(frozen=True)
class Confusion:
    """One label answered as another."""

    expected: str
    answered: str
    count: int
    share: float
    """Of the rows (words) with the expected label."""


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
    tested: dict[str, Any]
    """By label, its figures on the test rows when the details are about others."""
    confusions: list[Confusion]
    curves: str
    matrix: str
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
        "size": plots.short_count,
        "line": plots.one_line,
        "clipped": partial(plots.shortened, width=TEXT_WIDTH),
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
        schedule=plots.schedule(history) if history.steps else "",
        weighting=weighting_text(summary),
        timeline=plots.freezing_timeline(history.stages, epochs) if history.stages else "",
        trained=trained_parameters,
        recipe=recipe_text(summary.recipe),
        splits=SPLITS,
        kinds=KINDS,
        mistakes_shown=MISTAKES,
        numbered_from=plots.LABELS_WITH_NAMES,
    )
    file.write_bytes(page.encode("utf-8", "replace"))


def _task(summary: RunSummary, task: TaskConfig) -> _Task:
    found = evaluations_of(summary, task.name)
    named = {name for one in found for name in one.metrics.figures}
    main = main_figure(task.kind)
    known = [name for one in found for name in one.metrics.figures if name not in _LEFT_OUT]
    columns = [main, *dict.fromkeys(name for name in known if name != main)] if named else []
    shown = whole(found, "validation") or whole(found, "test") or whole(found, "train")
    test = whole(found, "test")
    metrics = shown.metrics if shown else None
    second = "f1" if task.kind is TaskKind.TOKEN else "macro_f1"
    return _Task(
        config=task,
        evaluations=found,
        columns=columns,
        seen=whole(found, "train"),
        unseen=test or whole(found, "validation"),
        shown=shown,
        tested={one.label: one for one in test.metrics.per_label}
        if test and test is not shown
        else {},
        confusions=top_confusions(metrics)[:CONFUSIONS] if metrics else [],
        curves=plots.task_curves(
            summary.history, task.name, list(dict.fromkeys((main, second))), summary.best_step
        ),
        matrix=plots.confusion_matrix(metrics.confusion_labels, metrics.confusion)
        if metrics and metrics.confusion
        else "",
        reliability=plots.reliability_diagram(metrics.reliability)
        if metrics and metrics.reliability
        else "",
    )


def evaluations_of(summary: RunSummary, task: str) -> list[Evaluation]:
    """Those of one task: seen before unseen, all data sets together before each of them."""
    found = [one for one in summary.evaluations if one.metrics.task == task]
    order = list(SPLITS)
    return sorted(found, key=lambda one: (order.index(one.split), one.dataset or ""))


def whole(evaluations: Sequence[Evaluation], split: str) -> Evaluation | None:
    """Of a split's evaluations in order, the first: that of all data sets, where there is one."""
    return next((one for one in evaluations if one.split == split), None)


def main_figure(kind: TaskKind) -> str:
    """Name of the figure that is `TaskMetrics.primary`."""
    return {TaskKind.TOKEN: "f1", TaskKind.MULTI_LABEL: "macro_f1"}.get(kind, "accuracy")


def figure_title(name: str) -> str:
    """A figure's name for people."""
    return _TITLES.get(name, name.replace("_", " "))


def figure_text(value: float | None) -> str:
    """Three decimals, or a dash for what is not there or not finite."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def percent_text(share: float) -> str:
    """One decimal; what is more than nothing does not look like nothing."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def top_confusions(metrics: TaskMetrics) -> list[Confusion]:
    """All pairs of labels that were mixed up, the most frequent first."""
    found: list[Confusion] = []
    for row, counts in enumerate(metrics.confusion or ()):
        names, total = metrics.confusion_labels, sum(counts)
        found += [
            Confusion(names[row], names[column], count, count / total)
            for column, count in enumerate(counts)
            if count and column != row
        ]
    return sorted(found, key=lambda one: (-one.count, -one.share))


def data_warnings(data: Sequence[DataSummary]) -> Iterator[str]:
    """A sentence for each split with leaks or conflicts."""
    for one in in_order(data):
        place = f"{one.dataset}, {one.split}"
        if one.leaks:
            yield (
                f"{place}: {_of_rows(one.leaks, one.rows)} a text that is among the training rows, "
                "too. Figures on these rows look better than they are."
            )
        if one.conflicts:
            yield (
                f"{place}: {_of_rows(one.conflicts, one.rows)} the text of an earlier row and "
                "another label. At least one of the two labels is wrong."
            )


def in_order(data: Sequence[DataSummary]) -> list[DataSummary]:
    """By data set, as they come, and in it by split."""
    names = list(dict.fromkeys(one.dataset for one in data))
    splits = list(SPLITS)
    return sorted(data, key=lambda one: (names.index(one.dataset), splits.index(one.split)))


def _of_rows(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} rows {'has' if count == 1 else 'have'}"


def _distributions(summary: RunSummary) -> Iterator[tuple[str, list[DataSummary], list[str]]]:
    """Of each task its name, the splits with its labels, and the labels."""
    for task in summary.config.tasks:
        holding = [one for one in in_order(summary.data) if one.labels.get(task.name)]
        found = [label for one in holding for label in one.labels[task.name]]
        first = [label for label in task.labels if label in found]
        if holding:
            yield task.name, holding, list(dict.fromkeys([*first, *found]))


def epochs_done(summary: RunSummary) -> float:
    """Epochs that the training went on for."""
    history = summary.history
    records = (*history.steps, *history.validations, *history.stages)
    return max((record.epoch for record in records), default=0.0)


def duration(seconds: float) -> str:
    """Such as 12 s, 3 min 20 s or 2 h 05 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def trained_parameters(stage: StageRecord) -> tuple[int, float]:
    """How many parameters a stage trains, and their share of all."""
    trained = sum(part.parameters for part in stage.parts if part.trained)
    return trained, trained / max(1, sum(part.parameters for part in stage.parts))


def weighting_text(summary: RunSummary) -> str:
    """How the losses became one."""
    loss, tasks = summary.recipe.loss, [task.name for task in summary.config.tasks]
    match loss.weighting:
        case Weighting.SUM:
            return "plain sum"
        case Weighting.ALPHA:
            return f"{loss.alpha:g} · {tasks[0]} + {1 - loss.alpha:g} · {tasks[-1]}"
        case Weighting.FIXED:
            listed = ", ".join(f"{name} {loss.weights.get(name, 1.0):g}" for name in tasks)
            return f"fixed weights ({listed})"
        case Weighting.UNCERTAINTY:
            return "learned uncertainty (Kendall, Gal & Cipolla 2018)"


def recipe_text(recipe: Recipe) -> str:
    """The whole recipe with its defaults, as TOML."""
    data = recipe.model_dump(mode="json", exclude_none=True)
    if recipe.model.checkpoint is not None:  # beside which no other key may stand
        data["model"] = {"checkpoint": recipe.model.checkpoint}
    return "\n".join(line for key, value in data.items() for line in _table(key, value)).strip()


def _table(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _lines(f"[[{path}]]", path, item)
    else:
        yield from _lines(f"[{path}]", path, value)


def _lines(heading: str, path: str, table: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n{heading}"
    later: list[str] = []
    for key, value in table.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            later += _table(f"{path}.{key}", value)
        else:
            yield f"{_key(key)} = {_value(value)}"
    yield from later


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    # TOML's strings are JSON's, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)
