"""What `twinhead evaluate` says: tables for people, JSON for programs."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .evaluate_model import FailedRow, ModelEvaluation
from .figures_table import figures_table, print_table
from .run_summary import Evaluation
from .task_metrics import TaskMetrics

# As many as a person reads.
_SHOWN_CONFUSIONS = 10
_SHOWN_ROWS = 5


def print_evaluation(console: Console, measured: ModelEvaluation, *, details: bool) -> None:
    """Print the figures, and with `details` those of each label, and what is mistaken for what."""
    print_table(console, figures_table(measured.evaluations))
    for evaluation in measured.evaluations if details else ():
        if evaluation.dataset is not None:  # it is part of another
            continue
        metrics = evaluation.metrics
        console.print(f"\n[bold]{metrics.task}[/bold], {escape(evaluation.split)}\n")
        print_table(console, _labels_table(metrics))
        if (confusions := _confusions_table(metrics)) is not None:
            console.print()
            print_table(console, confusions)


def lines_of_failed(failed: tuple[FailedRow, ...]) -> Iterator[str]:
    """How many rows have no answer, why, and where the first of them are."""
    if not failed:
        return
    counted = "1 row has" if len(failed) == 1 else f"{len(failed):,} rows have"
    yield f"{counted} no answer, and no part in the figures:"
    for reason, rows in Counter(row.reason for row in failed).most_common():
        origins = [row.origin for row in failed if row.reason == reason]
        more = f" and {rows - _SHOWN_ROWS:,} more" if rows > _SHOWN_ROWS else ""
        yield f"  {reason}: {', '.join(origins[:_SHOWN_ROWS])}{more}"


def as_json(measured: ModelEvaluation, model: str, notes: tuple[str, ...]) -> dict[str, Any]:
    """Everything, as plain dicts, lists and numbers.

    Args:
        measured: the figures.
        model: what was measured: a checkpoint's folder, or a worker's address.
        notes: on the data.
    """
    return {
        "model": model,
        "model_version": measured.version,
        "rows": measured.rows,
        "failed": [{"origin": row.origin, "reason": row.reason} for row in measured.failed],
        "notes": list(notes),
        "evaluations": [_evaluation_json(evaluation) for evaluation in measured.evaluations],
    }


def _evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "split": evaluation.split,
        "dataset": evaluation.dataset,
        **evaluation.metrics.as_json(),
    }


def _labels_table(metrics: TaskMetrics) -> Table:
    table = _table("label", "precision", "recall", "F1", "support")
    for label in metrics.per_label:
        ratios = (label.precision, label.recall, label.f1)
        shown = (f"{ratio:.4f}" for ratio in ratios)
        table.add_row(escape(label.label), *shown, f"{label.support:,}")
    return table


def _confusions_table(metrics: TaskMetrics) -> Table | None:
    """The commonest mistakes; None without any, or for tasks whose mistakes are no pairs."""
    cells = [
        (count, true, predicted)
        for true, row in enumerate(metrics.confusion or ())
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    if not cells:
        return None
    names = metrics.confusion_labels
    table = _table("true", "answered", "words" if metrics.labels != names else "rows")
    table.columns[1].justify = "left"
    for count, true, predicted in sorted(cells, key=lambda cell: -cell[0])[:_SHOWN_CONFUSIONS]:
        table.add_row(escape(names[true]), escape(names[predicted]), f"{count:,}")
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
