"""Figures of tasks as people read them on a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .run_summary import Evaluation
from .task_metrics import leading_figures

# What is shown, if a kind of task has it: what fits beside each other on 80 columns. Reports and
# JSON have the rest.
_SHOWN = {
    "accuracy": "accuracy",
    "exact_match": "exact",
    "micro_f1": "micro F1",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "macro_f1": "macro F1",
    "ece": "ECE",
}
# Wider than any table is: what a table takes when nothing bounds it.
_UNBOUNDED = 10_000
_SPLITS = {"train": "seen"}


def figures_table(evaluations: Sequence[Evaluation]) -> Table:
    """A row for each task and split, and for each data set where a split has several."""
    present = {name for found in evaluations for name in found.metrics.figures}
    names = [name for name in _SHOWN if name in present]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("task", overflow="fold")
    table.add_column("data", no_wrap=True)
    for name in ("rows", *(_SHOWN[name] for name in names)):
        table.add_column(name, justify="right", no_wrap=True)
    for found in sorted(evaluations, key=lambda found: found.metrics.task):
        where = _SPLITS.get(found.split, found.split)
        figures = found.metrics.figures
        table.add_row(
            found.metrics.task,
            escape(f"  {found.dataset}" if found.dataset else where),
            f"{found.metrics.rows:,}",
            *(f"{figures[name]:.4f}" if name in figures else "" for name in names),
        )
    return table


def main_figures(figures: Mapping[str, float]) -> str:
    """The figures of a task that say most, the main one first, in a few characters."""
    return ", ".join(f"{_SHOWN[name]} {figures[name]:.4f}" for name in leading_figures(figures))


def print_table(console: Console, table: Table) -> None:
    """Print a table as wide as it is: a file has no width, and a terminal wraps what is wider."""
    unbounded = console.options.update(max_width=_UNBOUNDED)
    table.width = console.measure(table, options=unbounded).maximum
    console.print(table, crop=False, no_wrap=True, overflow="ignore")
