"""The report of a labelling run as a page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..report.page import Section, cards, facts, note, render_page
from ..report.page_plots import label_colours, stacked_bar
from ..report.page_text import KIND_TITLES, counted, duration, escaped, percent
from ..results import ModelInfo
from .cross_table import CrossTable
from .label_report_cross import cross_section
from .label_report_map import map_section
from .label_report_rows import FailedRow, failed_section
from .label_report_task import task_section
from .row_sample import SampledRow
from .task_tally import TaskTally

_LABELS_OF_A_CARD = 5


@dataclass(frozen=True)
class ReportContent:
    """What the page tells."""

    source: str
    model: ModelInfo
    rows: int
    failed: int
    truncated: int
    versions: Mapping[str, int]
    """Rows by the version that answered."""
    tallies: Sequence[TaskTally]
    crosses: Sequence[CrossTable]
    sample: Sequence[SampledRow]
    failed_rows: Sequence[FailedRow]
    """The first of them."""
    reasons: Mapping[str, int]
    """Failed rows by reason."""
    seconds: float
    rows_per_second: float


def render_report(content: ReportContent) -> str:
    """The page."""
    folder = Path(__file__).parent
    return render_page(
        content.source,
        "report of a labelling run",
        facts(_facts(content)) + note(list(_notes(content))) + cards(_cards(content)),
        list(_sections(content)),
        style=(folder / "label_report.css").read_text(encoding="utf-8"),
        script=(folder / "label_report.js").read_text(encoding="utf-8"),
    )


def _sections(content: ReportContent) -> Iterator[Section]:
    answered = content.rows - content.failed
    yield Section("map", "Map", map_section(content.sample, answered, content.tallies))
    by_name = {tally.task.name: tally for tally in content.tallies}
    for number, tally in enumerate(content.tallies):
        yield Section(f"task-{number}", tally.task.name, task_section(tally))
    for number, cross in enumerate(content.crosses):
        pair = by_name[cross.first.name], by_name[cross.second.name]
        name = f"{cross.first.name} \N{MULTIPLICATION SIGN} {cross.second.name}"
        yield Section(f"pair-{number}", name, cross_section(cross, *pair))
    if content.failed:
        failed = failed_section(content.failed, content.rows, content.reasons, content.failed_rows)
        yield Section("failed", "Rows without an answer", failed)


def _facts(content: ReportContent) -> Iterator[tuple[str, str]]:
    rows, labelled = content.rows, content.rows - content.failed
    yield "rows", f"<b>{rows:,}</b>"
    yield "with an answer", f"<b>{labelled:,}</b>" + (f" {percent(labelled, rows)}" if rows else "")
    yield "without an answer", f"<b>{content.failed:,}</b>"
    yield "cut, being too long", f"<b>{content.truncated:,}</b>"
    pace = f"<b>{content.rows_per_second:,.0f}</b> in {duration(content.seconds)}"
    yield "rows a second", pace
    versions = sorted(content.versions.items(), key=lambda item: (-item[1], item[0]))
    version = ", ".join(
        f"<code>{escaped(name)}</code>" + (f" ({counted(count, 'row')})" if versions[1:] else "")
        for name, count in versions
    )
    yield "model version", version or f"<code>{escaped(content.model.version)}</code>"
    yield "encoder", escaped(content.model.encoder)
    yield "tasks", ", ".join(escaped(tally.task.name) for tally in content.tallies) or "none"


def _notes(content: ReportContent) -> Iterator[str]:
    """What a reader should not overlook."""
    if not content.rows:
        yield "The input has no rows."
    if content.failed:
        share = percent(content.failed, content.rows)
        rows = counted(content.failed, "row has", "rows have")
        yield f'<a href="#failed">{rows} no answer</a> ({share} of all).'
    if len(content.versions) > 1:
        yield "The model changed on the way: not all rows were labelled by the same version."


def _cards(content: ReportContent) -> Iterator[str]:
    """The labels of each task at a glance."""
    for number, tally in enumerate(content.tallies):
        if not tally.counts.any():
            continue
        colours, ranked = label_colours(tally.counts), tally.ranked()
        total = int(tally.counts.sum())
        parts = [
            (tally.name(label), int(tally.counts[label]) / total, f"c{colours[label]}")
            for label in ranked
        ]
        items = "".join(
            f'<li><i class="dot {colour}"></i><span>{escaped(name)}</span>'
            f"<b>{percent(share, 1)}</b></li>"
            for name, share, colour in parts[:_LABELS_OF_A_CARD]
        )
        more = len(ranked) - _LABELS_OF_A_CARD
        rest = f"<li><small>and {counted(more, 'more label')}</small></li>" if more > 0 else ""
        yield (
            f'<h3><a href="#task-{number}">{escaped(tally.task.name)}</a></h3>'
            f"<small>{KIND_TITLES[tally.task.kind]}</small>{stacked_bar(parts[:50])}"
            f"<ul>{items}{rest}</ul>"
        )
