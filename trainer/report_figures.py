"""The section of a report with the figures of all tasks on all rows."""

from collections.abc import Iterator, Sequence

from ..client.report.page_table import Column, table
from ..client.report.page_text import escaped
from .run_summary import Evaluation, RunSummary
from .summary_figures import task_evaluations
from .summary_texts import SPLIT_TITLES, figure_text, figure_title

# Weighted recall is the accuracy, and weighted precision tells hardly anyone anything.
_LEFT_OUT = ("weighted_precision", "weighted_recall")


def figures_section(summary: RunSummary) -> str:
    """A table for each task."""
    tables = ""
    for task in summary.config.tasks:
        found = task_evaluations(summary, task.name)
        measured = _table(found) if found else "<p>Nothing was measured.</p>"
        tables += f"<h3>{escaped(task.name)}</h3>{measured}"
    return (
        '<p class="soft">The training sample shows what was learned, the unseen rows what it is '
        "good for. The best weights were chosen on the validation rows, so test rows, where there "
        "are any, are the fairer judge. Indented rows: each data set by itself.</p>"
        f"{tables}<p><small>Macro: the mean over labels. Loss: mean negative log-likelihood. ECE: "
        "expected calibration error, how far confidence and accuracy are apart. Accuracy, loss and "
        "ECE of a token task are of words, its other figures of whole entities.</small></p>"
    )


def _table(found: Sequence[Evaluation]) -> str:
    names = [name for one in found for name in one.metrics.figures if name not in _LEFT_OUT]
    main, *others = dict.fromkeys([found[0].metrics.main_figure, *names])
    columns = [Column("rows", "text"), Column("count"), Column(figure_title(main), "main")]
    columns += [Column(figure_title(name)) for name in others]

    def rows() -> Iterator[list[str]]:
        for one in found:
            place = SPLIT_TITLES[one.split]
            if one.dataset is not None:
                place = f'<span class="part">{escaped(one.dataset)}, {one.split}</span>'
            figures = [figure_text(one.metrics.figures.get(name)) for name in (main, *others)]
            yield [place, f"{one.metrics.rows:,}", *figures]

    return table(columns, rows())
