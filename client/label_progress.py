"""How far a labelling run is: a bar on a terminal, a line now and then elsewhere."""

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_PLAIN_EVERY_SECONDS = 10.0


class LabelProgress:
    """Shows rows, rows a second and the time left."""

    def __init__(self, console: Console, total: int | None) -> None:
        """Show progress on `console`.

        Args:
            console: standard error.
            total: position at the end of the input, if that is known.
        """
        self._console = console
        self._total = total
        self._started = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.fields[rows]:,} rows"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[rate]:,.0f} rows/s"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("label", total=total, rows=0, rate=0.0)

    def __enter__(self) -> "LabelProgress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, rows: int, position: int) -> None:
        """Tell how many rows are done, and how far the input is."""
        now = time.monotonic()
        rate = rows / max(now - self._started, 1e-9)
        if self._bar is not None:
            completed = position if self._total is not None else 0
            self._bar.update(self._task, completed=completed, rows=rows, rate=rate)
        elif now - self._last_line >= _PLAIN_EVERY_SECONDS:
            self._last_line = now
            share = f", {position / self._total:.0%}" if self._total else ""
            left = ""
            if self._total and position:
                left = f", {(now - self._started) * (self._total - position) / position:.0f} s left"
            self._console.print(f"{rows:,} rows{share}, {rate:,.0f} rows/s{left}", highlight=False)
