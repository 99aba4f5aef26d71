"""Tables of single rows: those that stand out, and those without an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..report.page_plots import label_colours
from ..report.page_table import Column, table
from ..report.page_text import TEXT_WIDTH, counted, escaped, percent
from .extreme_rows import ExtremeRow
from .task_answers import Given
from .task_tally import TaskTally


@dataclass(frozen=True)
class FailedRow:
    """A row without an answer."""

    row: int
    text: str
    reason: str


def extreme_table(tally: TaskTally, rows: Sequence[ExtremeRow], title: str, *, shown: bool) -> str:
    """The rows that a task is least, or most, certain about; unfolded when `shown`."""
    columns = [
        Column("row"),
        Column("text", "text"),
        Column("label", "text given"),
        Column("score"),
    ]
    body = [
        [
            f"{one.row + 1:,}",
            _text(one.text),
            " ".join(_given(tally, each, with_score=len(one.given) > 1) for each in one.given),
            f"{one.score:.3f}",
        ]
        for one in rows
    ]
    note = ""
    if tally.task.kind in ("multi_label", "token"):
        what = "entity" if tally.task.kind == "token" else "label"
        note = f'<p class="soft">The score of a row is that of its least certain {what}.</p>'
    return (
        f"<details{' open' if shown else ''}><summary>{title}</summary>{note}"
        f"{table(columns, body, 'rows')}</details>"
    )


def failed_section(
    failed: int, rows: int, reasons: Mapping[str, int], shown: Sequence[FailedRow]
) -> str:
    """Rows without an answer."""
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    by_reason = table(
        [Column("reason", "text"), Column("rows"), Column("of all")],
        [[escaped(reason), f"{count:,}", percent(count, rows)] for reason, count in ranked],
    )
    single = table(
        [Column("row"), Column("text", "text"), Column("reason", "text")],
        [[f"{one.row + 1:,}", _text(one.text), escaped(one.reason, TEXT_WIDTH)] for one in shown],
        "rows",
        f"The first {len(shown)} of them" if failed > len(shown) else "All of them",
    )
    return (
        f"<p>{counted(failed, 'row')} of {rows:,} ({percent(failed, rows)}).</p>"
        f"{by_reason if ranked else ''}{single}"
    )


def _given(tally: TaskTally, given: Given, *, with_score: bool) -> str:
    colour = f"c{label_colours(tally.counts)[given.label]}"
    entity = f"{escaped(given.text)} · " if given.text else ""
    score = f" {given.score:.2f}" if with_score else ""
    return f'<span class="tag {colour}">{entity}{escaped(tally.name(given.label))}{score}</span>'


def _text(text: str) -> str:
    return escaped(text, TEXT_WIDTH) if text.strip() else "<em>(empty)</em>"
