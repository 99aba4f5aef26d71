"""The section of a report about the data: its splits, their faults and their labels."""

from ..client.report.page_plots import bar
from ..client.report.page_table import Column, table
from ..client.report.page_text import escaped
from .run_summary import RunSummary
from .summary_figures import in_order


def data_section(summary: RunSummary) -> str:
    """All splits, then the labels of each task in them."""
    data = in_order(summary.data)
    columns = [Column("data set", "text"), Column("split", "text")]
    columns += map(Column, ("rows", "duplicates", "conflicts", "leaks"))
    rows = [
        [
            escaped(one.dataset),
            one.split,
            *(f"{count:,}" for count in (one.rows, one.duplicates, one.conflicts, one.leaks)),
        ]
        for one in data
    ]
    return (
        f"{table(columns, rows)}<p><small>Duplicates: rows whose text an earlier row of the split "
        "has. Conflicts: those of them with another label. Leaks: rows whose text is among the "
        "training rows, too (or, for test rows, among the validation rows).</small></p>"
    ) + "".join(_labels(summary, task.name, task.labels) for task in summary.config.tasks)


def _labels(summary: RunSummary, task: str, known: tuple[str, ...]) -> str:
    """The labels of one task in the splits that have any."""
    holding = [one for one in in_order(summary.data) if one.labels.get(task)]
    if not holding:
        return ""
    found = [label for one in holding for label in one.labels[task]]
    labels = dict.fromkeys([*(label for label in known if label in found), *found])
    columns = [Column("label", "text")]
    for one in holding:
        columns += [Column(f"{escaped(one.dataset)}, {one.split}"), Column("", "plot")]
    rows: list[list[str]] = []
    for label in labels:
        row = [escaped(label)]
        for one in holding:
            counts = one.labels[task]
            count = counts.get(label, 0)
            row += [f"{count:,}", bar(count / max(1, *counts.values()))]
        rows.append(row)
    return f"<h3>Labels of {escaped(task)}</h3>{table(columns, rows)}"
