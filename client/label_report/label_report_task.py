"""The section about one task: its labels, how sure they are, and rows that stand out."""

import numpy as np

from ..report.page_plots import bar, histogram, label_colours
from ..report.page_table import Column, table
from ..report.page_text import KIND_TITLES, counted, escaped, percent
from .label_report_rows import extreme_table
from .task_tally import SCORE_BINS, TaskTally

_LABELS_SHOWN = 300
_HISTOGRAMS = 24
_ENTITY_TYPES = 12
_TEXTS_OF_A_TYPE = 12


def task_section(tally: TaskTally) -> str:
    """All about one task."""
    kind = tally.task.kind
    if kind not in KIND_TITLES:
        return f"<p>A task of a kind that this report does not know: {escaped(kind)}.</p>"
    labels = "entity types" if kind == "token" else "labels"
    head = (
        f'<p class="soft">{KIND_TITLES[kind].capitalize()}; '
        f"{len(tally.task.label_names):,} {labels}.</p>"
    )
    if not tally.counts.any():
        nothing = f"None of {counted(tally.rows, 'row')} has a label." if tally.rows else ""
        return f"{head}<p>{nothing or 'No row has an answer.'}</p>"
    parts = [head, '<div class="pair"><div>', _label_table(tally)]
    if kind in ("multi_label", "token"):
        parts.append(_per_row_table(tally))
    parts += ["</div><div>", _confidence(tally), "</div></div>"]
    if kind == "token":
        parts.append(_entity_texts(tally))
    parts += [
        extreme_table(tally, tally.least.rows, "Least certain rows", shown=True),
        extreme_table(tally, tally.most.rows, "Most certain rows", shown=False),
    ]
    return "".join(parts)


def _label_table(tally: TaskTally) -> str:
    ranked, colours, means = tally.ranked(), label_colours(tally.counts), tally.mean_scores
    total, most = int(tally.counts.sum()), int(tally.counts.max())
    what = "entities" if tally.task.kind == "token" else "rows"
    columns = [
        Column("label", "text"),
        Column("", "plot"),
        *map(Column, (what, "share", "mean score")),
    ]
    rows = [
        [
            f'<span class="tag c{colours[label]}">{escaped(tally.name(label))}</span>',
            bar(int(tally.counts[label]) / most, f"c{colours[label]}"),
            f"{int(tally.counts[label]):,}",
            percent(int(tally.counts[label]), total),
            f"{means[label]:.2f}",
        ]
        for label in ranked[:_LABELS_SHOWN]
    ]
    notes = ""
    if rest := ranked[_LABELS_SHOWN:]:
        given = int(tally.counts[rest].sum())
        notes += f"<p>{len(rest):,} more labels were given {given:,} times in all.</p>"
    if never := np.flatnonzero(tally.counts[:-1] == 0).tolist():
        named = ", ".join(escaped(tally.name(label), 40) for label in never[:12])
        more = f" and {len(never) - 12:,} more" if len(never) > 12 else ""
        notes += f'<p class="soft">Never given: {named}{more}.</p>'
    return f"<h3>Labels</h3>{table(columns, rows, 'labels')}{notes}"


def _per_row_table(tally: TaskTally) -> str:
    counts = tally.labels_per_row.tolist()
    what = "Entities" if tally.task.kind == "token" else "Labels"
    last = max(number for number, count in enumerate(counts) if count)
    columns = [Column(what.lower()), Column("", "plot"), Column("rows"), Column("share")]
    rows = [
        [
            f"{number}{' or more' if number == len(counts) - 1 else ''}",
            bar(count / max(counts)),
            f"{count:,}",
            percent(count, tally.rows),
        ]
        for number, count in enumerate(counts[: last + 1])
    ]
    return f"<h3>{what} in a row</h3>{table(columns, rows, 'labels')}"


def _confidence(tally: TaskTally) -> str:
    whole = tally.histogram.sum(0)
    total = int(whole.sum())
    high, low = int(whole[SCORE_BINS * 9 // 10 :].sum()), int(whole[: SCORE_BINS // 2].sum())
    colours = label_colours(tally.counts)
    ranked = tally.ranked()
    each = "".join(
        f"<div><h4>{escaped(tally.name(label))}</h4>"
        + histogram(
            tally.histogram[label].tolist(), f"Scores of {tally.name(label)}", f"c{colours[label]}"
        )
        + "</div>"
        for label in ranked[:_HISTOGRAMS]
    )
    title = "By label" if len(ranked) <= _HISTOGRAMS else f"The {_HISTOGRAMS} most frequent labels"
    return (
        f"<h3>How sure the model is</h3>{histogram(whole.tolist(), 'Scores of all labels')}"
        f"<p>{percent(high, total)} of the scores are 0.9 or higher, "
        f"{percent(low, total)} are below 0.5.</p>"
        f'<details><summary>{title}</summary><div class="small">{each}</div></details>'
    )


def _entity_texts(tally: TaskTally) -> str:
    lists = ""
    for label in tally.ranked()[:_ENTITY_TYPES]:
        items = "".join(
            f'<li><span dir="auto">{escaped(text)}</span><small>{count:,}</small></li>'
            for text, count in tally.entity_texts.top(label, _TEXTS_OF_A_TYPE)
        )
        lists += f'<div><h4>{escaped(tally.name(label))}</h4><ol class="texts">{items}</ol></div>'
    missed = tally.entity_texts.missed
    note = ""
    if missed:
        note = (
            '<p class="soft">There were more texts than could be remembered: counts may be up to '
            f"{missed:,} too low.</p>"
        )
    return f'<h3>Most frequent entities</h3>{note}<div class="small">{lists}</div>'
