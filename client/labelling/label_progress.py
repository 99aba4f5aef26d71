"""How far a labelling run is: a live view on a terminal, a line now and then elsewhere."""

import time
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from .label_summary import LabelSummary

_PLAIN_EVERY_SECONDS = 10.0
# The pace that is shown is that of the last seconds: it falls at once when a worker goes away.
_PACE_SECONDS = 5.0
# Before that, it says nothing.
_PACE_AFTER_SECONDS = 0.1
_LABELS_SHOWN = 5
_BAR_WIDTH = 30


class LabelProgress:
    """Shows rows, rows a second, the time left, and how often each label was given so far."""

    def __init__(self, console: Console, total: int | None) -> None:
        """Show progress on `console`.

        Args:
            console: standard error.
            total: position at the end of the input, if that is known.
        """
        self._console = console
        self._total = total
        self._started = self._last_line = time.monotonic()
        self._marks = [(self._started, 0)]
        self._answered = 0
        self._before = 0
        self._read = (0, 0)
        self._summary: LabelSummary | None = None
        self._live = (
            Live(
                get_renderable=self._render,
                console=console,
                refresh_per_second=8,
                transient=True,
            )
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def read(self, rows: int, position: int) -> None:
        """Note how many rows of the input are read, and how far that is."""
        self._read = (rows, position)

    def advance(self, rows: int, *, before: bool = False) -> None:
        """Note that rows were answered; `before`: by an earlier run."""
        self._answered += rows
        self._before += rows if before else 0
        now = time.monotonic()
        self._mark(now)
        if self._live is None and now - self._last_line >= _PLAIN_EVERY_SECONDS:
            self._last_line = now
            self._console.print(self._line(now), highlight=False, soft_wrap=True)

    def done(self, rows: int) -> None:
        """Note that so many rows are read and answered, where the total is counted in rows."""
        self.read(rows, rows)
        self.advance(rows - self._answered)

    def written(self, summary: LabelSummary) -> None:
        """Note what is counted so far."""
        self._summary = summary

    def _render(self) -> Group:
        now = time.monotonic()
        share = self._share()
        bar = ProgressBar(
            total=None if share is None else 1.0,
            completed=share or 0.0,
            width=_BAR_WIDTH,
            pulse=share is None,
        )
        lines = [bar, self._line(now)]
        if self._summary is not None:
            lines += [_labels_so_far(task, counts) for task, counts in self._summary.labels.items()]
        return Group(*lines)

    def _line(self, now: float) -> Text:
        parts = [f"{self._answered:,} rows"]
        if self._before:
            parts[0] += f" ({self._before:,} of an earlier run)"
        share = self._share()
        if share is not None:
            parts.append(f"{share:.0%}")
        pace = self._pace(now)
        parts.append(f"{pace:,.0f} rows/s")
        if share and pace:
            left = self._answered / share - self._answered
            parts.append(f"{_duration(left / pace)} left")
        if self._summary is not None and self._summary.failed:
            parts.append(f"{self._summary.failed.total():,} failed")
        return Text(", ".join(parts))

    def _share(self) -> float | None:
        """Part of the input that is answered, by the size of the rows read so far."""
        rows, position = self._read
        if not self._total or not rows:
            return None
        return min(1.0, self._answered / rows * position / self._total)

    def _pace(self, now: float) -> float:
        """Rows a second of late, those of earlier runs left out."""
        self._mark(now)
        then, count = self._marks[0]
        seconds = now - then
        done = self._answered - self._before - count
        return done / seconds if seconds >= _PACE_AFTER_SECONDS else 0.0

    def _mark(self, now: float) -> None:
        if now - self._marks[-1][0] >= _PACE_SECONDS / 5:
            self._marks = [*self._marks[-5:], (now, self._answered - self._before)]


def _labels_so_far(task: str, counts: "dict[str, int]") -> Text:
    total = sum(counts.values())
    shown = sorted(counts.items(), key=lambda item: -item[1])
    parts = [f"{label} {count / total:.0%}" for label, count in shown[:_LABELS_SHOWN]]
    more = len(shown) - _LABELS_SHOWN
    if more > 0:
        parts.append(f"{more} more")
    return Text(f"{task}: {', '.join(parts) or 'none yet'}", style="dim")


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
