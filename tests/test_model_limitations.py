"""What a card says against its model."""

from dataclasses import replace

from small_summary import empty_summary, evaluation_of, make_summary
from twinhead.trainer.markdown import escaped
from twinhead.trainer.model_limitations import FEW_ROWS, limitations
from twinhead.trainer.task_metrics import LabelMetrics


def told_of(summary):
    return list(limitations(summary))


def with_metrics(summary, split, **changes):
    """The summary with other metrics of its first task on all rows of a split."""
    chosen = evaluation_of(summary, split, "topic")
    return replace(
        summary,
        evaluations=tuple(
            replace(one, metrics=replace(one.metrics, **changes)) if one is chosen else one
            for one in summary.evaluations
        ),
    )


def test_a_full_run():
    summary = make_summary()
    told = "\n".join(told_of(summary))
    metrics = evaluation_of(summary, "test", "topic").metrics
    weakest = min(metrics.per_label, key=lambda one: one.f1)
    assert f"topic: weakest labels: {escaped(weakest.label)} (F1 {weakest.f1:.3f})" in told
    assert "urgent: most often mixed up: no answered as yes" in told
    assert "17 of 200 rows have a text that is among the training or validation rows" in told
    assert "no test rows" not in told


def test_a_gap_is_told_by_the_main_figure():
    summary = make_summary()
    seen = evaluation_of(summary, "train", "topic").metrics.figures

    def gap(difference):
        figures = {**seen, "accuracy": seen["accuracy"] - difference}
        told = told_of(with_metrics(summary, "test", figures=figures))
        return [line for line in told if line.startswith("topic: accuracy is")]

    (line,) = gap(0.07)
    assert "topic: accuracy is 0.070 higher on seen rows than on unseen ones" in line
    assert gap(0.04) == []


def test_rare_labels_are_few_and_named():
    rare = tuple(LabelMetrics(f"l_{n}", 1, 1, 1, FEW_ROWS - 1) for n in range(12))
    common = LabelMetrics("common", 1, 1, 1, FEW_ROWS)
    told = told_of(with_metrics(make_summary(), "test", per_label=(common, *rare)))
    (line,) = [line for line in told if "topic: fewer than" in line]
    assert r"l\_0 (19), l\_1 (19)" in line
    assert line.endswith(r"l\_9 (19) and 2 more")
    assert "common" not in line


def test_next_to_nothing():
    told = told_of(empty_summary())
    assert any(line.startswith("There were no test rows.") for line in told)
    told = told_of(replace(empty_summary(), evaluations=()))
    assert told[0] == "topic: nothing was measured on unseen rows."
