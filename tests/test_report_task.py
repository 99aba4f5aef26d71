"""One task: calibration, labels, confusion, mistakes."""

import re
from dataclasses import replace

import pytest
from html_page import Page
from small_summary import SCRIPT, empty_summary, evaluation_of, make_summary
from twinhead.trainer.report_task import reliability, task_section
from twinhead.trainer.task_metrics import ReliabilityBin


def section(name, summary=None):
    summary = summary or make_summary()
    (task,) = [task for task in summary.config.tasks if task.name == name]
    page = Page(task_section(summary, task))
    return page, page.texts[None]


def table_of(page, *head):
    return next(table for table in page.tables if table[0][: len(head)] == list(head))


def test_the_confusion_matrix_has_its_numbers():
    page, _ = section("topic")
    metrics = evaluation_of(make_summary(), "validation", "topic").metrics
    shown = page.tables[2][1:]
    assert [row[0] for row in shown][:3] == ["Sports", "a|b", SCRIPT]
    for row, counts in zip(shown, metrics.confusion, strict=True):
        cells = [cell.split("%")[-1] for cell in row[1:]]
        assert cells == [str(count or "") for count in counts] + [str(sum(counts))]


def test_labels_have_their_figures_also_on_test_rows():
    page, _ = section("topic")
    table = table_of(page, "label", "precision")
    seen = evaluation_of(make_summary(), "validation", "topic").metrics.per_label
    tested = evaluation_of(make_summary(), "test", "topic").metrics.per_label
    for row, one, other in zip(table[1:], seen, tested, strict=True):
        figures = [f"{value:.3f}" for value in (one.precision, one.recall, one.f1)]
        assert row[1:] == [*figures, "", f"{one.support}", f"{other.f1:.3f}", f"{other.support}"]


def test_of_many_labels_the_confusion_has_those_that_were_mixed_up_most():
    page, text = section("topic", make_summary(tuple(f"intent {n}" for n in range(150))))
    assert "The 20 labels of 150 that were mixed up most." in text
    matrix = table_of(page, "expected ↓ answered →")
    assert len(matrix) == 21
    assert len(table_of(page, "label", "precision")) == 151
    metrics = evaluation_of(
        make_summary(tuple(f"intent {n}" for n in range(150))), "validation", "topic"
    ).metrics
    wrong = {
        name: sum(metrics.confusion[place])
        + sum(row[place] for row in metrics.confusion)
        - 2 * metrics.confusion[place][place]
        for place, name in enumerate(metrics.labels)
    }
    shown = [row[0] for row in matrix[1:]]
    least = min(wrong[name] for name in shown)
    assert all(count <= least for name, count in wrong.items() if name not in shown)


def test_labels_that_do_not_exclude_one_another_have_no_confusion():
    _, text = section("flags")
    assert "Labels do not exclude one another" in text
    assert "mixed up" not in text


def test_mistakes_are_cut():
    page, _ = section("topic")
    table = table_of(page, "text")
    told = f"{SCRIPT} secret sentence 3 very very very"
    assert table[1] == [told, "a|b", SCRIPT, "0.990", "reviews.csv:3"]
    assert len(table[2][0]) <= 600
    assert table[2][0].endswith("…")
    assert "None." in section("entities")[1]
    assert "None were collected." in section("topic", empty_summary())[1]


def test_calibration_is_told_before_and_after():
    summary = make_summary()
    for task in ("topic", "flags", "entities"):
        before = summary.uncalibrated[task].figures["ece"]
        after = evaluation_of(summary, "validation", task).metrics.figures["ece"]
        assert f"{before:.3f}" != f"{after:.3f}"
        shown = section(task)[1]
        assert f"Temperature {summary.temperatures[task]:.3f}, fitted" in shown
        assert f"Before temperature scaling (hollow): ECE {before:.3f}." in shown
        assert f"After (filled): ECE {after:.3f}." in shown


def test_a_temperature_of_one_has_no_before():
    _, shown = section("urgent")
    ece = evaluation_of(make_summary(), "validation", "urgent").metrics.figures["ece"]
    assert f"Temperature 1: scores are as the network gives them. ECE {ece:.3f}." in shown
    assert "before" not in shown.lower().split()


def test_before_and_after_are_of_the_same_rows():
    # Without validation rows the details are of test rows, of which there is no before.
    summary = make_summary()
    kept = tuple(one for one in summary.evaluations if one.split != "validation")
    _, shown = section("topic", replace(summary, evaluations=kept))
    assert "All of this is about test (unseen)" in shown
    assert "Before temperature scaling" not in shown


def test_nothing_is_told():
    _, shown = section("topic", replace(empty_summary(), evaluations=()))
    assert shown.count("Nothing was measured.") == 1


BEFORE = (ReliabilityBin(0.5, 0.4, 6), ReliabilityBin(0.97, 0.8, 60))
AFTER = (ReliabilityBin(0.3, 0.2, 5), ReliabilityBin(0.8, 0.7, 30), ReliabilityBin(0.93, 0.9, 31))


@pytest.mark.parametrize("before", [None, BEFORE])
def test_reliability_before_is_hollow_and_after_is_filled(before):
    metrics = evaluation_of(make_summary(), "validation", "topic").metrics
    after = replace(metrics, reliability=AFTER)
    markup = reliability(after, replace(metrics, reliability=before) if before else None)
    groups = dict(re.findall(r'<g class="([^"]*)">(.*?)</g>', markup))
    assert groups["c0 dots"].count("<circle") == 3
    assert groups.get("c10 dots hollow", "").count("<circle") == len(before or ())
    assert {"before", "after"} <= set(re.split(r"[<>]", markup)) or before is None
    # Bins of a fifteenth: 0.3 is in the fifth, 0.8 on the edge of the thirteenth, 0.93 after it.
    counts = [int(count) for count in re.findall(r"to \d\.\d\d: (\d+) ", markup)]
    assert len(counts) == 15
    assert sum(counts) == 66
    assert (counts[4], counts[13]) == (5, 31)


def test_reliability_of_nothing_is_nothing():
    metrics = evaluation_of(make_summary(), "validation", "topic").metrics
    assert reliability(replace(metrics, reliability=())) == ""
