"""Progress: plain lines now and then, and a bar on a terminal."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from twinhead.client import label_progress
from twinhead.client.label_progress import LabelProgress


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that only the test moves."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(label_progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def console_of(**options: object) -> Console:
    return Console(file=io.StringIO(), width=100, **options)


def test_elsewhere_than_on_a_terminal_there_is_a_plain_line_now_and_then(clock):
    console = console_of()
    with LabelProgress(console, total=40_000) as progress:
        for second in range(1, 36):
            clock.now = 100.0 + second
            progress.update(rows=100 * second, position=1000 * second)
    assert console.file.getvalue().splitlines() == [
        "1,000 rows, 25%, 100 rows/s, 30 s left",
        "2,000 rows, 50%, 100 rows/s, 20 s left",
        "3,000 rows, 75%, 100 rows/s, 10 s left",
    ]


def test_without_a_known_size_there_is_neither_a_share_nor_a_time_left(clock):
    console = console_of()
    with LabelProgress(console, total=None) as progress:
        clock.now += 20
        progress.update(rows=5000, position=0)
    assert console.file.getvalue() == "5,000 rows, 250 rows/s\n"


def test_at_the_very_beginning_nothing_is_divided_by_nothing(clock):
    console = console_of()
    with LabelProgress(console, total=100) as progress:
        progress.update(rows=5, position=0)
        clock.now += 10
        progress.update(rows=5, position=0)
    assert console.file.getvalue() == "5 rows, 0%, 0 rows/s\n"


@pytest.mark.parametrize(("total", "share"), [(2000, "25%"), (None, None)])
def test_on_a_terminal_there_is_a_bar_that_vanishes(clock, total, share):
    console = console_of(force_terminal=True, force_interactive=True, color_system=None)
    with LabelProgress(console, total) as progress:
        clock.now += 2
        progress.update(rows=1234, position=500)
    shown = console.file.getvalue()
    assert "1,234 rows" in shown
    assert "617 rows/s" in shown
    if share:
        assert share in shown
    erase_line = "\x1b[2K"
    assert shown.rstrip().endswith(erase_line)


def test_an_error_in_the_middle_ends_the_bar(clock):
    console = console_of(force_terminal=True, force_interactive=True)
    with pytest.raises(ValueError, match="boom"), LabelProgress(console, 10):
        raise ValueError("boom")
    show_cursor = "\x1b[?25h"
    assert show_cursor in console.file.getvalue()
