"""Tables of single rows: those that stand out, and those without an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .extreme_rows import ExtremeRow
from .page_plots import label_colours
from .page_text import TEXT_WIDTH, counted, escaped, percent
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
    body = ""
    for one in rows:
        given = " ".join(_given(tally, each, with_score=len(one.given) > 1) for each in one.given)
        body += (
            f'<tr><td>{one.row + 1:,}</td><td class="text" dir="auto">{_text(one.text)}</td>'
            f'<td class="text given">{given}</td><td>{one.score:.3f}</td></tr>'
        )
    note = ""
    if tally.task.kind in ("multi_label", "token"):
        what = "entity" if tally.task.kind == "token" else "label"
        note = f'<p class="soft">The score of a row is that of its least certain {what}.</p>'
    return (
        f'<details{" open" if shown else ""}><summary>{title}</summary>{note}<div class="wide">'
        '<table class="rows"><thead><tr><th>row</th><th class="text">text</th>'
        '<th class="text">label</th><th>score</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div></details>"
    )


def failed_section(
    failed: int, rows: int, reasons: Mapping[str, int], shown: Sequence[FailedRow]
) -> str:
    """Rows without an answer."""
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    listed = "".join(
        f'<tr><td class="text">{escaped(reason)}</td><td>{count:,}</td>'
        f"<td>{percent(count, rows)}</td></tr>"
        for reason, count in ranked
    )
    table = (
        '<table><thead><tr><th class="text">reason</th><th>rows</th><th>of all</th></tr></thead>'
        f"<tbody>{listed}</tbody></table>"
    )
    body = "".join(
        f'<tr><td>{one.row + 1:,}</td><td class="text" dir="auto">{_text(one.text)}</td>'
        f'<td class="text">{escaped(one.reason, TEXT_WIDTH)}</td></tr>'
        for one in shown
    )
    first = f"The first {len(shown)} of them" if failed > len(shown) else "All of them"
    return (
        '<section id="failed"><h2>Rows without an answer</h2>'
        f"<p>{counted(failed, 'row')} of {rows:,} ({percent(failed, rows)}).</p>"
        f'{table if ranked else ""}<div class="wide"><table class="rows"><caption>{first}</caption>'
        '<thead><tr><th>row</th><th class="text">text</th><th class="text">reason</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _given(tally: TaskTally, given: Given, *, with_score: bool) -> str:
    colour = f"c{label_colours(tally.counts)[given.label]}"
    entity = f"{escaped(given.text)} · " if given.text else ""
    score = f" {given.score:.2f}" if with_score else ""
    return f'<span class="tag {colour}">{entity}{escaped(tally.name(given.label))}{score}</span>'


def _text(text: str) -> str:
    return escaped(text, TEXT_WIDTH) if text.strip() else "<em>(empty)</em>"
