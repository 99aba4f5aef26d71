"""The figures of all tasks on all rows."""

from dataclasses import replace

from html_page import Page
from small_summary import make_summary
from twinhead.trainer.report_figures import figures_section
from twinhead.trainer.summary_texts import SPLIT_TITLES


def test_figures_are_those_of_the_summary():
    summary = make_summary()
    topic = Page(figures_section(summary)).tables[0]
    assert topic[0][:3] == ["rows", "count", "accuracy"]
    assert [row[0] for row in topic[1:4]] == [
        "training sample (seen)",
        "news, train",
        "reviews, train",
    ]
    shown = {row[0]: row[1:3] for row in topic[1:]}
    whole = [
        one for one in summary.evaluations if one.metrics.task == "topic" and one.dataset is None
    ]
    assert len(whole) == 3
    for one in whole:
        figures = [f"{one.metrics.rows}", f"{one.metrics.figures['accuracy']:.3f}"]
        assert shown[SPLIT_TITLES[one.split]] == figures


def test_each_task_begins_with_its_main_figure():
    tables = Page(figures_section(make_summary())).tables
    assert [table[0][2] for table in tables] == ["accuracy", "accuracy", "macro F1", "F1"]
    assert not any("weighted precision" in table[0] for table in tables)


def test_nothing_is_told():
    bare = replace(make_summary(), evaluations=())
    assert figures_section(bare).count("Nothing was measured.") == 4
