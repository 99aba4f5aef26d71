"""The report's map of embeddings: the sample in two dimensions, for the page's script to draw."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..report.page_plots import label_colours
from ..report.page_text import counted, escaped, one_line, percent, script_json
from .embedding_map import embedding_map
from .row_sample import SampledRow
from .task_tally import TaskTally

# Coordinates are whole numbers up to this: a quarter of a pixel on a wide screen.
_STEPS = 4_000


def map_section(sample: Sequence[SampledRow], rows: int, tallies: Sequence[TaskTally]) -> str:
    """The map with its controls and data.

    Args:
        sample: rows with embeddings.
        rows: how many rows have an answer.
        tallies: of all tasks; points can be coloured by those that have labels.
    """
    if not sample:
        return "<p>There is no map: no row has an embedding.</p>"
    found = embedding_map(np.stack([one.embedding for one in sample]))
    points = np.rint(found.points * (_STEPS / (np.abs(found.points).max() or 1))).astype(int)
    coloured = [tally for tally in tallies if tally.counts.any()]
    data = {
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
        "row": [one.row + 1 for one in sample],
        "text": [one_line(one.text) for one in sample],
        "tasks": [_task_data(tally, sample) for tally in coloured],
    }
    all_rows = len(sample) == rows
    of_rows = "each row" if all_rows else f"a random sample of {len(sample):,} of {rows:,} rows"
    options = "".join(f"<option>{escaped(tally.task.name)}</option>" for tally in coloured)
    chooser = f"<label>colour by <select>{options}</select></label>" if coloured else ""
    extra = ""
    if any(tally.task.kind in ("multi_label", "token") for tally in coloured):
        extra = " A row with many labels has the colour of the first."
    shares = [percent(share, 1) for share in found.shares]
    return (
        f'<p class="soft">{counted(len(sample), "point")}: {of_rows}, placed by their '
        "embeddings, so that near points are often alike. Point at one to read it; tap or click "
        f"to hold it.{extra}</p>"
        '<noscript><p class="alarm">The map is drawn by a script, and scripts are off.</p>'
        "</noscript>"
        f'<div id="map-frame"><div class="controls">{chooser}'
        '<label>find <input type="search" placeholder="words in the text"></label><output></output>'
        '</div><div class="map"><div class="stage"><canvas tabindex="0" role="application" '
        'aria-label="Map of the embeddings. Arrow keys go from point to point, plus and minus '
        'zoom, zero shows all."></canvas><div class="tip" role="status" hidden></div>'
        '<div class="zoom">'
        '<button type="button" value="1.5" aria-label="zoom in">+</button>'
        '<button type="button" value="0.667" aria-label="zoom out">&minus;</button>'
        '<button type="button" value="0">all</button></div></div>'
        '<div class="legend" role="group" aria-label="Labels to show"></div></div></div>'
        f"<p><small>Principal component analysis: across {shares[0]}, up {shares[1]} of the "
        f"variance of {counted(sample[0].embedding.size, 'dimension')}. Points far apart here are "
        "different; points close together may still differ in what two directions cannot show."
        "</small></p>"
        f'<script type="application/json" id="map-data">{script_json(data)}</script>'
    )


def _task_data(tally: TaskTally, sample: Sequence[SampledRow]) -> dict[str, Any]:
    given = [one.given.get(tally.task.name, []) for one in sample]
    counts = Counter(each.label for labels in given for each in labels)
    colours = label_colours(tally.counts)
    # Coloured ones in the order of the task, then the others, the most frequent first.
    labels = sorted(counts, key=lambda label: (colours[label], -counts[label], label))
    places = {label: place for place, label in enumerate(labels)}
    return {
        "name": one_line(tally.task.name),
        "labels": [one_line(tally.name(label), 80) for label in labels],
        "colours": [colours[label] for label in labels],
        "given": [
            [
                [places[each.label], round(1000 * each.score)]
                + ([one_line(each.text, 80)] if each.text else [])
                for each in labels
            ]
            for labels in given
        ],
    }
