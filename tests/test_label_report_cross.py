"""The section about two tasks."""

import numpy as np
import pyarrow as pa
from html_page import Page
from small_label_run import TOPIC, URGENT, Run, floats, report_of, tallies_of
from twinhead.client.label_report.cross_table import CrossTable
from twinhead.client.label_report.label_report import LabelReport
from twinhead.client.label_report.label_report_cross import cross_section
from twinhead.client.results import TaskInfo


def section(report, first=0, second=1):
    page = Page(cross_section(report._crosses[0], report._tallies[first], report._tallies[second]))
    return page, page.texts[None]


def test_cells_have_share_and_count():
    run = Run(100)
    report = report_of(run)
    page, _ = section(report)
    (table,) = page.tables
    assert table[0] == ["", "no", "yes", "all"]
    counts = report._crosses[0].counts
    for row, label in zip(table[1:], range(3), strict=True):
        assert row[0] == TOPIC.label_names[label]
        for cell, count in zip(row[1:3], counts[label, :2].tolist(), strict=True):
            share = f"{100 * count / counts[label].sum():.1f}\u00a0%"
            assert cell == f"{share}{count}"
        assert row[3] == str(counts[label].sum())


def made_of(topics, urgent):
    report = LabelReport("x", None, (TOPIC, URGENT))
    rows = len(topics)
    columns = {
        "topic": pa.array(topics),
        "topic_score": floats([1] * rows),
        "urgent": pa.array(urgent),
        "urgent_probability": floats([0.5] * rows),
    }
    report.add(["text"] * rows, columns, None, 0)
    return report


def test_what_stands_out_is_told():
    topics = ["Sports"] * 100 + ["日本 🏅"] * 100
    report = made_of(topics, ["yes"] * 80 + ["no"] * 120)
    _, text = section(report)
    told = "What stands out: of the rows with Sports, 80.0 % have yes; of all rows, 40.0 %."
    assert told in text.replace("\u00a0", " ")


def test_what_is_chance_is_not():
    report = made_of(["Sports", "日本 🏅"] * 100, (["yes"] * 2 + ["no"] * 2) * 50)
    assert "stands out" not in section(report)[1]
    assert "stands out" not in section(made_of(["Sports"], ["yes"]))[1]


def test_many_labels_are_cut():
    task = TaskInfo("many", "single_label", tuple(f"label {number}" for number in range(200)))
    report = LabelReport("x", None, (task, URGENT))
    numbers = np.repeat(np.arange(200), np.arange(200))
    columns = {
        "many": pa.array([f"label {number}" for number in numbers]),
        "many_score": floats([1] * len(numbers)),
        "urgent": pa.array(["yes"] * len(numbers)),
        "urgent_probability": floats([0.5] * len(numbers)),
    }
    report.add(["text"] * len(numbers), columns, None, 0)
    page, text = section(report)
    assert [row[0] for row in page.tables[0][1:]] == [f"label {n}" for n in range(180, 200)]
    assert "179 rarer labels are left out" in text


def test_without_rows_there_is_no_table():
    tallies = tallies_of(Run(0))
    markup = cross_section(CrossTable(TOPIC, URGENT), tallies[0], tallies[1])
    assert "No row has a label of both." in markup
