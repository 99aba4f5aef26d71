"""Progress: plain lines now and then, and a live view on a terminal."""

import io
import re
import threading
import time
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from twinhead.client import TaskInfo
from twinhead.client.labelling import label_progress
from twinhead.client.labelling.label_progress import LabelProgress
from twinhead.client.labelling.label_summary import LabelSummary

TASKS = [
    TaskInfo("topic", "single_label", ("World", "[/Sports]")),
    TaskInfo("tags", "multi_label", tuple("abcdefgh")),
]


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that only the test moves."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(label_progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def console_of(**options: object) -> Console:
    return Console(**{"file": io.StringIO(), "width": 100} | options)


def terminal() -> Console:
    return console_of(force_terminal=True, force_interactive=True, color_system=None)


def lines_of(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()


def summary_of(topics: list[str | None], tags: list[list[str]]) -> LabelSummary:
    summary = LabelSummary(TASKS)
    why = pa.array([None if topic else "empty" for topic in topics], pa.string())
    summary.add(
        {
            "topic": pa.array(topics, pa.string()),
            "topic_score": pa.array([topic and 0.5 for topic in topics], pa.float32()),
            "tags": pa.array(tags, pa.list_(pa.string())),
            "tags_scores": pa.array([[0.5] * len(each) for each in tags], pa.list_(pa.float32())),
            "truncated": pa.array([topic and False for topic in topics], pa.bool_()),
            "model_version": pa.array(["v1"] * len(topics)),
        },
        why,
    )
    return summary


def test_elsewhere_than_on_a_terminal_there_is_a_plain_line_now_and_then(clock):
    console = console_of()
    with LabelProgress(console, total=40_000) as progress:
        for second in range(1, 36):
            clock.now = 100.0 + second
            progress.read(100 * second, 1000 * second)
            progress.advance(100)
    assert lines_of(console) == [
        "1,000 rows, 25%, 100 rows/s, 0:30 left",
        "2,000 rows, 50%, 100 rows/s, 0:20 left",
        "3,000 rows, 75%, 100 rows/s, 0:10 left",
    ]


def test_without_a_known_size_there_is_neither_a_share_nor_a_time_left(clock):
    for total in (None, 0):
        console = console_of()
        with LabelProgress(console, total) as progress:
            clock.now += 20
            progress.read(5000, 0)
            progress.advance(5000)
        assert lines_of(console) == ["5,000 rows, 250 rows/s"]


def test_at_the_very_beginning_nothing_is_divided_by_nothing(clock):
    console = console_of()
    with LabelProgress(console, total=100) as progress:
        progress.advance(0)
        progress.read(5, 0)
        progress.advance(5)
        clock.now += 10
        progress.advance(0)
    assert lines_of(console) == ["5 rows, 0%, 0 rows/s"]


def test_before_anything_is_read_there_is_no_share(clock):
    console = console_of()
    with LabelProgress(console, total=100) as progress:
        clock.now += 10
        progress.advance(0)
    assert lines_of(console) == ["0 rows, 0 rows/s"]


def test_what_is_read_ahead_is_not_told_as_done(clock):
    console = console_of()
    with LabelProgress(console, total=1000) as progress:
        progress.read(100, 1000)
        clock.now += 10
        progress.advance(25)
    assert lines_of(console) == ["25 rows, 25%, 2 rows/s, 0:30 left"]


def test_the_pace_is_that_of_the_last_seconds(clock):
    console = console_of()
    with LabelProgress(console, None) as progress:
        for second in range(1, 61):
            clock.now = 100.0 + second
            progress.advance(1000 if second <= 30 else 10)
    assert [line.split(", ")[1] for line in lines_of(console)] == [
        *["1,000 rows/s"] * 3,
        *["10 rows/s"] * 3,
    ]


def test_rows_of_an_earlier_run_are_told_and_are_no_pace(clock):
    console = console_of()
    with LabelProgress(console, total=1024) as progress:
        progress.read(1024, 1024)
        clock.now += 10
        progress.advance(512, before=True)
        clock.now += 10
        progress.advance(160)
    assert lines_of(console) == [
        "512 rows (512 of an earlier run), 50%, 0 rows/s",
        "672 rows (512 of an earlier run), 66%, 8 rows/s, 0:44 left",
    ]


def test_hours_are_told_as_hours(clock):
    console = console_of()
    with LabelProgress(console, total=1_000_000) as progress:
        progress.read(100, 1000)
        clock.now += 10
        progress.advance(100)
    assert lines_of(console) == ["100 rows, 0%, 10 rows/s, 2:46:30 left"]


def test_rows_that_failed_are_told(clock):
    console = console_of()
    with LabelProgress(console, None) as progress:
        progress.written(summary_of(["World", None, None], [["a"], [], []]))
        clock.now += 10
        progress.advance(3)
    assert lines_of(console) == ["3 rows, 0 rows/s, 2 failed"]


def test_a_plain_line_is_one_line_however_long(clock):
    console = console_of(width=40)
    with LabelProgress(console, total=100_000_000) as progress:
        progress.read(2_000_000, 60_000_000)
        progress.advance(1_000_000, before=True)
        clock.now += 10
        progress.written(summary_of([None], [[]]))
        progress.advance(234_567)
    assert lines_of(console) == [
        "1,234,567 rows (1,000,000 of an earlier run), 37%, 23,457 rows/s, 1:29 left, 1 failed"
    ]


@settings(max_examples=200)
@given(
    st.integers(0, 10**12) | st.none(),
    st.lists(
        st.tuples(
            st.floats(0, 4000),  # seconds
            st.integers(0, 10**6),  # rows read
            st.integers(0, 10**9),  # and how far
            st.integers(0, 10**6),  # rows answered
            st.booleans(),
        ),
        max_size=30,
    ),
)
def test_whatever_happens_figures_are_possible(total, steps):
    clock = SimpleNamespace(now=1e6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
        console = console_of()
        read = position = answered = most = 0
        with LabelProgress(console, total) as progress:
            for seconds, rows, far, done, before in steps:
                clock.now += seconds
                read, position = read + rows, position + far
                progress.read(read, position)
                done = min(done, read - answered)
                answered += done
                progress.advance(done, before=before)
                most += done * (not before)
    line_form = re.compile(
        r"[\d,]+ rows( \([\d,]+ of an earlier run\))?(, (?P<share>\d+)%)?, (?P<pace>[\d,]+) rows/s"
        r"(, \d+(:\d\d)?:\d\d left)?"
    )
    for line in lines_of(console):
        found = line_form.fullmatch(line)
        assert found, line
        assert 0 <= int(found["share"] or 0) <= 100
        # Lines are ten seconds apart, marks of the pace at most.
        assert int(found["pace"].replace(",", "")) <= most


def test_a_pace_is_not_told_of_the_first_moment(clock):
    console = terminal()
    with LabelProgress(console, 1000) as progress:
        clock.now += 1e-6
        progress.read(1000, 1000)
        progress.advance(256)
    assert "0 rows/s" in console.file.getvalue()
    assert "256 rows, 26%, 0 rows/s" in console.file.getvalue()


@pytest.mark.parametrize(("total", "share"), [(2000, "25%"), (None, None), (0, None)])
def test_on_a_terminal_there_is_a_bar_that_vanishes(clock, total, share):
    console = terminal()
    with LabelProgress(console, total) as progress:
        progress.read(1234, 500)
        clock.now += 2
        progress.advance(1234)
    shown = console.file.getvalue()
    assert "1,234 rows" in shown
    assert "617 rows/s" in shown
    assert ("%" in shown) is (share is not None)
    assert share is None or share in shown
    assert "━" in shown
    erase_line = "\x1b[2K"
    assert shown.rstrip().endswith(erase_line)


def test_on_a_terminal_labels_so_far_are_shown_most_frequent_first(clock):
    console = terminal()
    with LabelProgress(console, None) as progress:
        progress.written(
            summary_of(["World", "[/Sports]", "[/Sports]"], [["a"], list("abcdefg"), []])
        )
    shown = console.file.getvalue()
    assert "topic: [/Sports] 67%, World 33%" in shown
    assert "tags: a 25%, b 12%, c 12%, d 12%, e 12%, 2 more" in shown


def test_labels_are_shown_from_the_first_batch_on(clock):
    console = terminal()
    with LabelProgress(console, None) as progress:
        progress.written(summary_of([None], [[]]))
    shown = console.file.getvalue()
    assert "topic: none yet" in shown
    assert "1 failed" in shown


def test_the_view_of_a_terminal_moves_on_by_itself():
    console = terminal()
    shown = threading.Event()

    class Watched(io.StringIO):
        def write(self, text: str) -> int:
            if "1,234 rows" in text:
                shown.set()
            return super().write(text)

    console.file = Watched()
    with LabelProgress(console, 2000) as progress:
        progress.read(2000, 2000)
        progress.advance(1234)
        assert shown.wait(60)


def test_an_error_in_the_middle_ends_the_bar(clock):
    console = console_of(force_terminal=True, force_interactive=True)
    with pytest.raises(ValueError, match="boom"), LabelProgress(console, 10):
        raise ValueError("boom")
    show_cursor = "\x1b[?25h"
    assert show_cursor in console.file.getvalue()


def test_rows_may_be_told_by_how_many_are_done():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with LabelProgress(console, 200) as progress:
        progress.done(50)
        progress.done(100)
        assert "100 rows, 50%" in str(progress._line(time.monotonic()))
