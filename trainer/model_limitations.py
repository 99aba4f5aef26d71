"""What a model card says against its model."""

from collections.abc import Iterator, Sequence

from .markdown import escaped, listed
from .run_summary import Evaluation, RunSummary
from .summary_figures import task_evaluations, top_confusions, unseen, whole
from .summary_texts import data_warnings, figure_text, figure_title
from .task_metrics import LabelMetrics

# Of a label with fewer rows, one row more or less moves the recall by 5 points or more.
FEW_ROWS = 20
# Sampling alone makes such a difference between a few hundred seen and unseen rows.
GAP = 0.05
# More are read by nobody; the table of labels has them all.
RARE_LISTED = 10


def limitations(summary: RunSummary) -> Iterator[str]:
    """Sentences, in Markdown: of each task, of the data, and of every such model."""
    for task in summary.config.tasks:
        found = task_evaluations(summary, task.name)
        seen, fair = whole(found, "train"), unseen(found)
        if fair is None:
            yield f"{escaped(task.name)}: nothing was measured on unseen rows."
            continue
        yield from (f"{escaped(task.name)}: {line}" for line in _weaknesses(fair))
        gap = seen.metrics.primary - fair.metrics.primary if seen else 0.0
        if gap >= GAP:
            figure = figure_title(fair.metrics.main_figure)
            yield (
                f"{escaped(task.name)}: {figure} is {gap:.3f} higher on seen rows than on unseen "
                "ones: part of what it learned does not carry over."
            )
    yield from map(escaped, data_warnings(summary.data))
    if not any(one.split == "test" for one in summary.evaluations):
        yield (
            "There were no test rows. The weights were chosen on validation rows, so figures on "
            "these are a little too good."
        )
    yield (
        "Temperatures were fitted on the validation rows that their calibration error is given for."
    )
    yield from map(escaped, summary.recipe.limitations)
    yield "The figures hold for texts like those of the data sets; measure on your own before use."


def _weaknesses(evaluation: Evaluation) -> Iterator[str]:
    metrics = evaluation.metrics
    present = [one for one in metrics.per_label if one.support]
    weakest = sorted(present, key=lambda one: one.f1)[:3]
    if len(present) > 1 and weakest[0].f1 < 1:
        yield "weakest labels: " + ", ".join(
            f"{escaped(one.label)} (F1 {figure_text(one.f1)})" for one in weakest if one.f1 < 1
        )
    if pairs := top_confusions(metrics)[:3]:
        yield "most often mixed up: " + ", ".join(
            f"{escaped(one.expected)} answered as {escaped(one.answered)} ({one.count:,} times)"
            for one in pairs
        )
    if rare := [one for one in metrics.per_label if one.support < FEW_ROWS]:
        yield f"fewer than {FEW_ROWS} unseen examples, so uncertain figures: {_rare(rare)}"


def _rare(labels: Sequence[LabelMetrics]) -> str:
    return escaped(listed([f"{one.label} ({one.support})" for one in labels], RARE_LISTED))
