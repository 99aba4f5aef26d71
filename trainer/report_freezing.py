"""The section of a report about freezing: which part of the network was trained when."""

from collections.abc import Sequence

from ..client.report.page_plots import bar, stacked_bar
from ..client.report.page_table import Column, table
from ..client.report.page_text import escaped, percent
from .history import StageRecord
from .run_summary import RunSummary
from .summary_figures import epochs_done, trained_parameters
from .summary_texts import short_count


def freezing_section(summary: RunSummary) -> str:
    """The parts over the epochs, and the stages."""
    stages = summary.history.stages
    if not stages:
        return "<p>Nothing was recorded.</p>"
    columns = [
        *map(Column, ("stage", "from epoch", "from step")),
        Column("why", "text"),
        Column("frozen by", "text"),
        *map(Column, ("trained", "of all")),
        Column("", "plot"),
    ]
    rows: list[list[str]] = []
    for number, stage in enumerate(stages, 1):
        count, share = trained_parameters(stage)
        rules = escaped(", ".join(stage.rules)) or "nothing is frozen"
        start = [f"{number}", f"{stage.epoch:.3g}", f"{stage.step:,}", escaped(stage.reason), rules]
        rows.append([*start, short_count(count), percent(share, 1), bar(share)])
    return table(columns, rows) + _timeline(stages, epochs_done(summary))


def _timeline(stages: Sequence[StageRecord], epochs: float) -> str:
    """A bar for each part, the embeddings at the bottom; all stages have the same parts."""
    starts = [stage.epoch for stage in stages]
    end = max(epochs, starts[-1]) or 1
    spans = list(zip(starts, [*starts[1:], end], stages, strict=True))
    rows: list[list[str]] = []
    for place, part in reversed(list(enumerate(stages[0].parts))):
        parts = [
            (f"stage {number}, trained", (stop - start) / end, "c0")
            if stage.parts[place].trained
            else (f"stage {number}, frozen", (stop - start) / end, "idle")
            for number, (start, stop, stage) in enumerate(spans, 1)
        ]
        rows.append([escaped(part.name), short_count(part.parameters), stacked_bar(parts)])
    return table(
        [Column("part", "text"), Column("parameters"), Column(f"epochs 0 to {end:.3g}", "plot")],
        rows,
        "labels",
        '<span class="tag c0">trained</span> <span class="tag idle">frozen</span>',
    )
