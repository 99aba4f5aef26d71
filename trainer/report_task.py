"""The section of a report about one task: how sure, what was mixed up, and single mistakes."""

from collections.abc import Mapping, Sequence

from ..client.report.page_chart import Line, line_chart
from ..client.report.page_plots import bar, histogram
from ..client.report.page_table import LABELS, Column, heat_table, table
from ..client.report.page_text import KIND_TITLES, escaped, percent
from ..model.config import TaskConfig, TaskKind
from .reliability import BINS
from .run_summary import Evaluation, Mistake, RunSummary
from .summary_figures import task_evaluations, top_confusions, whole
from .summary_texts import SPLIT_TITLES, figure_text
from .task_metrics import LabelMetrics, TaskMetrics

# A long text is not read to its end, but makes the file large; so do many of them.
TEXT_WIDTH = 600
MISTAKES = 30
_CONFUSIONS = 12


def task_section(summary: RunSummary, task: TaskConfig) -> str:
    """All about one task on the validation rows, or those that there are."""
    found = task_evaluations(summary, task.name)
    shown = whole(found, "validation") or whole(found, "test") or whole(found, "train")
    body = "<p>Nothing was measured.</p>"
    if shown is not None:
        metrics, test = shown.metrics, whole(found, "test")
        tested = {}
        if test and test is not shown:
            tested = {one.label: one for one in test.metrics.per_label}
        labels = "entity types" if task.kind is TaskKind.TOKEN else "labels"
        left, right = _labels(metrics, tested) + _mixed_up(metrics), _calibration(summary, shown)
        body = (
            f'<p class="soft">{KIND_TITLES[task.kind].capitalize()}; {len(metrics.labels):,} '
            f"{labels}. All of this is about {SPLIT_TITLES[shown.split]}: {metrics.rows:,} rows."
            f'</p><div class="pair"><div>{left}</div><div>{right}</div></div>{_confusion(metrics)}'
        )
    return body + _mistakes(summary.mistakes.get(task.name))


def _labels(metrics: TaskMetrics, tested: Mapping[str, LabelMetrics]) -> str:
    what = "entities" if metrics.kind is TaskKind.TOKEN else "rows"
    columns = [Column("label", "text"), *map(Column, ("precision", "recall"))]
    columns += [Column("F1", "main"), Column("", "plot"), Column(what)]
    if tested:
        columns += [Column("F1, test"), Column("in test")]
    rows: list[list[str]] = []
    for one in metrics.per_label:
        ratios = map(figure_text, (one.precision, one.recall, one.f1))
        row = [escaped(one.label), *ratios, bar(one.f1), f"{one.support:,}"]
        other = tested.get(one.label)
        if tested:
            row += [figure_text(other.f1), f"{other.support:,}"] if other else ["-", "-"]
        rows.append(row)
    return f"<h3>Each label</h3>{table(columns, rows, 'labels')}"


def _calibration(summary: RunSummary, shown: Evaluation) -> str:
    metrics, temperature = shown.metrics, summary.temperatures.get(shown.metrics.task, 1.0)
    told, before = "Temperature 1: scores are as the network gives them.", None
    if temperature != 1.0:
        told = (
            f"Temperature {figure_text(temperature)}, fitted on the validation rows. The logits "
            "are divided by it before they become scores."
        )
        # Where this is not about validation, these would be other rows before than after.
        if shown.split == "validation":
            before = summary.uncalibrated.get(metrics.task)
    ece = f"ECE {figure_text(metrics.figures.get('ece'))}."
    if before is not None:
        was = figure_text(before.figures.get("ece"))
        ece = f"Before temperature scaling (hollow): ECE {was}. After (filled): {ece}"
    return f"<h3>Calibration</h3><p>{told} {ece}</p>{reliability(metrics, before)}"


def reliability(after: TaskMetrics, before: TaskMetrics | None = None) -> str:
    """How often answers of each confidence are right, and how many of them there are.

    Args:
        after: with the temperature; filled.
        before: of the same rows without it, where it changes anything; hollow.
    """
    if not after.reliability:
        return ""
    lines = [Line("as sure as right", [(0, 0), (1, 1)], "even")]
    for name, metrics, kind in (
        ("before", before, "c10 dots hollow"),
        ("after" if before else "", after, "c0 dots"),
    ):
        if metrics is not None:
            points = [(one.confidence, one.accuracy) for one in metrics.reliability]
            lines.append(Line(name, points, kind))
    counts = [0] * BINS
    for one in after.reliability:
        counts[min(int(one.confidence * BINS), BINS - 1)] += one.count
    return (
        line_chart("Right, by confidence", lines, "confidence", x=(0, 1), y=(0, 1))
        + "<h4>Decisions, by confidence</h4>"
        + histogram(counts, f"Decisions of {after.task} by confidence")
        + "<p><small>Below the dotted line the model is surer than it is right.</small></p>"
    )


def _confusion(metrics: TaskMetrics) -> str:
    if metrics.confusion is None:
        why = "There are too many labels to tell what was mixed up."
        if metrics.kind is TaskKind.MULTI_LABEL:
            why = "Labels do not exclude one another here, so there is no confusion matrix."
        return f"<h3>Confusion</h3><p>{why}</p>"
    counts, names = metrics.confusion, metrics.confusion_labels
    wrong = [
        sum(counts[label]) + sum(row[label] for row in counts) - 2 * counts[label][label]
        for label in range(len(names))
    ]
    ranked = sorted(range(len(names)), key=lambda label: -wrong[label])
    places = sorted(ranked[:LABELS])
    cut = ""
    if len(names) > LABELS:
        cut = f" The {LABELS} labels of {len(names):,} that were mixed up most."
    what = "words" if metrics.kind is TaskKind.TOKEN else "rows"
    shown = [names[place] for place in places]
    cells = [[counts[row][column] for column in places] for row in places]
    totals = [sum(counts[row]) for row in places]
    return (
        f'<h3>Confusion</h3><p class="soft">Counts are {what}; percentages and shades: share of '
        f"the expected label.{cut}</p>"
        + heat_table(f"Confusion of {metrics.task}", shown, shown, cells, totals, confusion=True)
    )


def _mixed_up(metrics: TaskMetrics) -> str:
    if metrics.confusion is None:
        return ""
    found = top_confusions(metrics)[:_CONFUSIONS]
    if not found:
        return "<p>Nothing was mixed up.</p>"
    columns = [Column("expected", "text"), Column("answered", "text")]
    columns += [Column("count"), Column("of expected")]
    rows = [
        [escaped(one.expected), escaped(one.answered), f"{one.count:,}", percent(one.share, 1)]
        for one in found
    ]
    return f"<h3>Most often mixed up</h3>{table(columns, rows)}"


def _mistakes(mistakes: Sequence[Mistake] | None) -> str:
    title = "<h3>Most confident mistakes</h3>"
    if not mistakes:
        return f"{title}<p>{'None were collected.' if mistakes is None else 'None.'}</p>"
    some = f" {MISTAKES} of {len(mistakes):,}." if len(mistakes) > MISTAKES else ""
    columns = [Column("text", "text"), Column("expected", "text given")]
    columns += [Column("answered", "text given"), Column("confidence"), Column("from", "text")]
    rows = [
        [
            escaped(one.text, TEXT_WIDTH),
            escaped(one.expected),
            escaped(one.answered),
            figure_text(one.confidence),
            f"<small>{escaped(one.origin)}</small>",
        ]
        for one in mistakes[:MISTAKES]
    ]
    return (
        f'{title}<p class="soft">Validation rows that the model is sure about, and wrong; some of '
        f"them may have a wrong label.{some}</p>{table(columns, rows, 'rows')}"
    )
