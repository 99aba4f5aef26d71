"""The section about one task."""

import re

import numpy as np
import pytest
from html_page import Page
from small_label_run import FLAGS, NAMES, TASKS, TOPIC, Run, tallies_of
from twinhead.client.label_report.label_report_task import task_section
from twinhead.client.label_report.task_tally import TaskTally
from twinhead.client.results import TaskInfo


def section(tally):
    page = Page(task_section(tally))
    return page, page.texts[None]


def table_of(page, *head):
    return next(table for table in page.tables if table[0][: len(head)] == list(head))


def test_labels_are_counted():
    run = Run(100)
    page, text = section(tallies_of(run)[0])
    table = table_of(page, "label", "")
    counts = {row[0]: int(row[2]) for row in table[1:]}
    column = run.columns["topic"].to_pylist()
    assert counts == {label: column.count(label) for label in TOPIC.label_names[:3]}
    assert list(counts.values()) == sorted(counts.values(), reverse=True)
    assert "Never given: never." in text
    assert "of the scores are 0.9 or higher" in text


def test_each_label_has_its_histogram():
    tally = tallies_of(Run(100))[0]
    markup = task_section(tally)
    assert len(re.findall(r'aria-label="Scores of', markup)) == 4
    assert "Scores of &lt;/script&gt;&lt;b&gt;" in markup


@pytest.mark.parametrize("place", range(4))
def test_every_kind_has_its_tables(place):
    page, text = section(tallies_of(Run(100))[place])
    assert table_of(page, "row", "text")
    assert "Least certain rows" in text
    assert "Most certain rows" in text
    assert ("in a row" in text) == (TASKS[place] in (FLAGS, NAMES))


def test_labels_in_a_row():
    page, _ = section(tallies_of(Run(100))[2])
    table = table_of(page, "labels", "")
    assert [row[0] for row in table[1:]] == ["0", "1", "2", "3"]
    assert sum(int(row[2]) for row in table[1:]) == 90


def test_entities_by_type():
    _, text = section(tallies_of(Run(100))[3])
    assert "Most frequent entities" in text
    assert "Rome <b>" in text
    assert "Ann 1" in text
    assert "too low" not in text


def test_forgotten_texts_are_told():
    tally = tallies_of(Run(100))[3]
    tally.entity_texts.missed = 3
    assert "counts may be up to 3 too low" in section(tally)[1]


def test_many_labels():
    task = TaskInfo("many", "single_label", tuple(f"label {number}" for number in range(2000)))
    tally = TaskTally(task)
    tally.counts[:1000] = np.arange(1000)
    tally.histogram[:1000, 5] = np.arange(1000)
    tally.labels_per_row[1] = tally.counts.sum()
    page, text = section(tally)
    assert len(table_of(page, "label", "")) == 301
    assert "699 more labels were given" in text
    assert "and 989 more" in text
    assert ("div", "tabindex", "0") in page.attributes
    assert len(task_section(tally)) < 300_000


@pytest.mark.parametrize(
    ("task", "rows", "text"),
    [
        (TOPIC, 0, "No row has an answer."),
        (FLAGS, 7, "None of 7 rows has a label."),
        (TaskInfo("span", "<kind_7>", ()), 0, "does not know: <kind_7>"),
    ],
)
def test_tasks_without_labels(task, rows, text):
    tally = TaskTally(task)
    tally.labels_per_row[0] = rows
    page, found = section(tally)
    assert text in found
    assert not page.tables
