"""The report of a run: one HTML file that needs nothing else, without scripts or requests."""

from collections.abc import Iterator
from pathlib import Path

from ..client.report.page import Section, cards, facts, note, render_page
from ..client.report.page_plots import bar
from ..client.report.page_table import Column, table
from ..client.report.page_text import KIND_TITLES, duration, escaped, escaped_lines
from ..model.config import TaskConfig
from .recipe_text import recipe_text
from .report_curves import training_section
from .report_data import data_section
from .report_figures import figures_section
from .report_freezing import freezing_section
from .report_task import task_section
from .run_summary import RunSummary
from .summary_figures import baseline, epochs_done, likely_range, task_evaluations, unseen, whole
from .summary_texts import (
    SPLIT_TITLES,
    data_warnings,
    figure_text,
    figure_title,
)


def write_report(summary: RunSummary, file: Path) -> None:
    """Write the report of a finished run; the same run gives the same bytes.

    Args:
        summary: what the run tells. Its texts and label names may hold anything.
        file: to write, or to write again.
    """
    warnings = [escaped(warning, 400) for warning in data_warnings(summary.data)]
    if not summary.improved:
        warnings.append("Validation is no better than with what training began with.")
    shown = cards(card for task in summary.config.tasks for card in _card(summary, task))
    page = render_page(
        summary.title,
        "report of a training run",
        facts(_facts(summary)) + shown + note(warnings),
        list(_sections(summary)),
    )
    file.write_text(page, encoding="utf-8")


def _facts(summary: RunSummary) -> Iterator[tuple[str, str]]:
    training = summary.recipe.training
    rows = sum(one.rows for one in summary.data if one.split == "train")
    yield "training rows", f"<b>{rows:,}</b>"
    yield "epochs", f"<b>{epochs_done(summary):.4g}</b> of {training.epochs}"
    yield "time", f"<b>{duration(summary.seconds)}</b>"
    yield "best weights", f"<b>step {summary.best_step:,}</b>"
    yield "encoder", escaped(summary.config.encoder)
    yield "tasks", escaped(", ".join(task.name for task in summary.config.tasks)) or "none"
    freezing = summary.recipe.freezing.freeze
    yield "frozen by", escaped(", ".join(freezing)) or "nothing"
    yield "model version", f"<code>{escaped(summary.version)}</code>"


def _card(summary: RunSummary, task: TaskConfig) -> Iterator[str]:
    """The main figure of a task, and what to hold it against."""
    found = task_evaluations(summary, task.name)
    seen = whole(found, "train")
    best = unseen(found) or seen
    if best is None:
        return
    metrics = best.metrics
    lines = [(SPLIT_TITLES[best.split], f"{metrics.rows:,} rows")]
    least, value = baseline(metrics), metrics.primary
    if metrics.main_figure == "accuracy":
        low, high = likely_range(value, metrics.rows)
        lines += [("95 % interval", f"{low:.2f} to {high:.2f}")]
    if least is not None:
        lines += [("always the most frequent label (the line)", figure_text(least))]
    if seen and seen is not best:
        lines += [("rows it was trained on", figure_text(seen.metrics.primary))]
    if metrics.main_figure != "macro_f1" and "macro_f1" in metrics.figures:
        lines += [("macro F1", figure_text(metrics.figures["macro_f1"]))]
    lines += [("calibration error (ECE)", figure_text(metrics.figures.get("ece")))]
    items = "".join(f"<li><span>{name}</span><b>{text}</b></li>" for name, text in lines)
    yield (
        f'<h3><a href="#task-{task.name}">{escaped(task.name)}</a></h3>'
        f'<small>{KIND_TITLES[task.kind]}</small><span class="figure">{figure_text(value)} '
        f"<small>{figure_title(metrics.main_figure)}</small></span>{bar(value, beside=least)}"
        f"<ul>{items}</ul>"
    )


def _sections(summary: RunSummary) -> Iterator[Section]:
    yield Section("figures", "Figures", figures_section(summary))
    yield Section("training", "Training", training_section(summary))
    for task in summary.config.tasks:
        yield Section(f"task-{task.name}", task.name, task_section(summary, task))
    yield Section("freezing", "What was frozen when", freezing_section(summary))
    yield Section("data", "Data", data_section(summary))
    recipe = escaped_lines(recipe_text(summary.recipe))
    yield Section("recipe", "Recipe", f'<p class="soft">Defaults included.</p><pre>{recipe}</pre>')
    rows = [[escaped(name), escaped(text)] for name, text in sorted(summary.environment.items())]
    environment = table([Column("what", "text"), Column("value", "text")], rows)
    yield Section("environment", "Environment", environment)
