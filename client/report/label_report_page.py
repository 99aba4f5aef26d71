"""The report of a labelling run as one HTML page that needs nothing else."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..results import ModelInfo
from .cross_table import CrossTable
from .label_report_cross import cross_section
from .label_report_map import map_section
from .label_report_rows import FailedRow, failed_section
from .label_report_task import KIND_TITLES, task_section
from .page_plots import label_colours, stacked_bar
from .page_text import counted, duration, escaped, percent
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
    """The page.

    Whatever texts hold, nothing of them runs: they are escaped, and the policy lets no script run
    but the page's own, by its digest.
    """
    folder = Path(__file__).parent
    style = (folder / "label_report.css").read_text(encoding="utf-8")
    script = (folder / "label_report.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    title = escaped(content.source, 200)
    sections = _sections(content)
    links = "".join(f'<a href="#{identity}">{name}</a>' for identity, name, _ in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title} · labels</title>\n<style>{style}</style>\n<script>{script}</script>\n"
        f'</head>\n<body>\n<header>\n<h1 dir="auto">{title}</h1>\n'
        f'<p class="soft">Report of a labelling run</p>\n{_facts(content)}\n</header>\n'
        f'<nav aria-label="Sections">{links}</nav>\n{_alarm(content)}{_cards(content)}\n<main>\n'
        + "\n".join(section for _, _, section in sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def _sections(content: ReportContent) -> list[tuple[str, str, str]]:
    """Id, name and markup of each section."""
    answered = content.rows - content.failed
    sections = [("map", "Map", map_section(content.sample, answered, content.tallies))]
    by_name = {tally.task.name: tally for tally in content.tallies}
    for number, tally in enumerate(content.tallies):
        identity = f"task-{number}"
        sections.append((identity, escaped(tally.task.name), task_section(tally, identity)))
    for number, cross in enumerate(content.crosses):
        identity = f"pair-{number}"
        name = f"{escaped(cross.first.name)} &times; {escaped(cross.second.name)}"
        pair = by_name[cross.first.name], by_name[cross.second.name]
        sections.append((identity, name, cross_section(cross, *pair, identity)))
    if content.failed:
        failed = failed_section(content.failed, content.rows, content.reasons, content.failed_rows)
        sections.append(("failed", "Without an answer", failed))
    return sections


def _facts(content: ReportContent) -> str:
    rows, labelled = content.rows, content.rows - content.failed
    versions = sorted(content.versions.items(), key=lambda item: (-item[1], item[0]))
    version = ", ".join(
        f"<code>{escaped(name)}</code>" + (f" ({counted(count, 'row')})" if versions[1:] else "")
        for name, count in versions
    )
    tasks = ", ".join(escaped(tally.task.name) for tally in content.tallies)
    facts = [
        ("rows", f"<b>{rows:,}</b>"),
        (
            "with an answer",
            f"<b>{labelled:,}</b> {percent(labelled, rows)}" if rows else "<b>0</b>",
        ),
        ("without an answer", f"<b>{content.failed:,}</b>"),
        ("cut, being too long", f"<b>{content.truncated:,}</b>"),
        ("rows a second", f"<b>{content.rows_per_second:,.0f}</b> in {duration(content.seconds)}"),
        ("model version", version or f"<code>{escaped(content.model.version)}</code>"),
        ("encoder", escaped(content.model.encoder)),
        ("tasks", tasks or "none"),
    ]
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{items}</dl>'


def _alarm(content: ReportContent) -> str:
    """What a reader should not overlook."""
    notes: list[str] = []
    if not content.rows:
        notes.append("The input has no rows.")
    if content.failed:
        share = percent(content.failed, content.rows)
        notes.append(
            f'<a href="#failed">{counted(content.failed, "row has", "rows have")} no answer</a> '
            f"({share} of all)."
        )
    if len(content.versions) > 1:
        notes.append(
            "The model changed on the way: not all rows were labelled by the same version."
        )
    return f'<div class="alarm" role="note">{" ".join(notes)}</div>\n' if notes else ""


def _cards(content: ReportContent) -> str:
    """The labels of each task at a glance."""
    cards = ""
    for number, tally in enumerate(content.tallies):
        if not tally.counts.any():
            continue
        colours, total, ranked = (
            label_colours(tally.counts),
            int(tally.counts.sum()),
            tally.ranked(),
        )
        parts = [
            (tally.name(label), int(tally.counts[label]) / total, f"c{colours[label]}")
            for label in ranked
        ]
        items = "".join(
            f'<li><i class="{colour}"></i><span>{escaped(name)}</span>'
            f"<b>{percent(share, 1)}</b></li>"
            for name, share, colour in parts[:_LABELS_OF_A_CARD]
        )
        more = len(ranked) - _LABELS_OF_A_CARD
        rest = f"<li><small>and {counted(more, 'more label')}</small></li>" if more > 0 else ""
        cards += (
            f'<div class="card"><h3><a href="#task-{number}">{escaped(tally.task.name)}</a></h3>'
            f"<small>{KIND_TITLES[tally.task.kind]}</small>{stacked_bar(parts[:50])}"
            f"<ul>{items}{rest}</ul></div>"
        )
    return f'<div class="cards">{cards}</div>' if cards else ""


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
