"""How a training run goes, on the terminal: a bar there, plain lines elsewhere."""

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from .figures_table import main_figures
from .history import Record, StageRecord, StepRecord, ValidationRecord
from .run_summary import DataSummary
from .train_recipe import Observer

_PLAIN_EVERY_SECONDS = 10.0
_SHOWN_LABELS = 6


class TrainProgress(Observer):
    """Writes to a console, standard error most often."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = self._per_epoch = 0
        self._timed_from: tuple[int, float] | None = None
        self._last_line = 0.0
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def data(self, summaries: Sequence[DataSummary], notes: Sequence[str]) -> None:
        """Show what was read."""
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in ("data", "split"):
            table.add_column(column)
        table.add_column("rows", justify="right")
        table.add_column("labels")
        for summary in summaries:
            labels = "; ".join(
                f"{task}: {_counts(counts)}" for task, counts in summary.labels.items()
            )
            table.add_row(
                escape(summary.dataset), summary.split, f"{summary.rows:,}", escape(labels)
            )
        self._console.print(table)
        for note in notes:
            self._print(f"note: {escape(note)}")
        for summary in summaries:
            where = f"{summary.dataset} {summary.split}"
            if summary.duplicates:
                other = f", {summary.conflicts:,} of them with another label"
                self._print(
                    f"note: {escape(where)}: {summary.duplicates:,} rows repeat a text"
                    + (other if summary.conflicts else "")
                )
            if summary.leaks:
                test = summary.split == "test"
                among = "training or validation rows" if test else "training rows"
                self._print(
                    f"[yellow]warning:[/yellow] {escape(where)}: {summary.leaks:,} rows are among "
                    f"the {among}, too: figures on them are too good"
                )

    def steps(self, total: int, per_epoch: int, resumed_at: int) -> None:
        """Start the bar."""
        self._total, self._per_epoch = total, per_epoch
        if resumed_at:
            self._print(f"resumed after step {resumed_at:,} of {total:,}")
        if self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[detail]}"),
                console=self._console,
                transient=True,
                expand=True,
            )
            self._task = self._bar.add_task("", total=total, completed=resumed_at, detail="")
            self._bar.start()

    def progress(self, what: str, done: int, total: int) -> None:
        """Show work between steps."""
        if self._bar is not None:
            shown = f"{what}: {done:,} of {total:,} rows"
            self._bar.update(self._task, description=shown, completed=done, total=total, detail="")
        elif time.monotonic() - self._last_line >= _PLAIN_EVERY_SECONDS and done < total:
            self._last_line = time.monotonic()
            self._print(f"{what}: {done:,} of {total:,} rows")

    def record(self, record: Record) -> None:
        """Show a record."""
        match record:
            case StageRecord():
                self._show_stage(record)
            case StepRecord():
                self._show_step(record)
            case ValidationRecord():
                self._show_validation(record)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()

    def _show_stage(self, record: StageRecord) -> None:
        rules = ", ".join(record.rules) or "nothing"
        total = sum(part.parameters for part in record.parts)
        trained = sum(part.parameters for part in record.parts if part.trained)
        self._print(f"[bold]{record.reason}[/bold]: frozen: {escape(rules)}")
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("part")
        table.add_column("parameters", justify="right")
        table.add_column("trains")
        for part in record.parts:
            table.add_row(
                escape(part.name), f"{part.parameters:,}", "yes" if part.trained else "frozen"
            )
        table.add_row("all", f"{total:,}", f"{trained:,} ({trained / total:.2%})")
        self._console.print(table)

    def _show_step(self, record: StepRecord) -> None:
        losses = "  ".join(f"{task} {loss:.4f}" for task, loss in record.losses.items())
        detail = f"{losses}  {record.rows_per_second:,.0f} rows/s"
        if self._timed_from is None:
            # Until then the frozen layers were computed, too, for which no later step waits.
            self._timed_from = record.step, time.monotonic()
        else:
            first, since = self._timed_from
            elapsed = time.monotonic() - since
            left = elapsed * (self._total - record.step) / max(1, record.step - first)
            detail += f"  {_clock(left)} left"
        epoch = f"epoch {record.epoch:.2f} of {self._total / self._per_epoch:.0f}"
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=f"{epoch}, step {record.step:,}",
                completed=record.step,
                total=self._total,
                detail=escape(detail),
            )
        elif time.monotonic() - self._last_line >= _PLAIN_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self._print(f"{epoch}, step {record.step:,}: {escape(detail)}")

    def _show_validation(self, record: ValidationRecord) -> None:
        figures = "  ".join(
            f"{task} {main_figures(values)}" for task, values in record.figures.items()
        )
        best = "  [green]best[/green]" if record.best else ""
        self._print(
            f"epoch {record.epoch:.2f}, {_clock(record.seconds)}: validation "
            f"{escape(figures)}{best}"
        )

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


def _counts(counts: Mapping[str, int]) -> str:
    items = list(counts.items())
    shown = ", ".join(f"{label} {count:,}" for label, count in items[:_SHOWN_LABELS])
    more = len(items) - _SHOWN_LABELS
    return f"{shown}, {more} more" if more > 0 else shown


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
