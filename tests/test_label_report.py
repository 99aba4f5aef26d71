"""The report of a labelling run: what goes in, and the file that comes out."""

import tracemalloc

import numpy as np
import pytest
from small_label_run import (
    DIMENSIONS,
    TASKS,
    TOPIC,
    Run,
    model,
    page_of,
    report_of,
    summary_of,
)
from twinhead.client.errors import FileError
from twinhead.client.label_report.label_report import LabelReport
from twinhead.client.labelling import label_summary
from twinhead.client.labelling.label_columns import LabelColumns


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(label_summary.time, "monotonic", lambda: 1000.0)


def test_the_same_rows_give_the_same_page_in_batches_of_any_size(tmp_path, clock):
    run = Run(9_000)
    summary = summary_of(9_000, run.failed)
    pages = {
        page_of(report_of(run, size=size), tmp_path, summary)[0] for size in (9_000, 4096, 257)
    }
    assert len(pages) == 1


def test_the_prefix_stands_before_the_columns(tmp_path, clock):
    run = Run(50)
    plain = page_of(report_of(run), tmp_path)[0]
    run.columns = {f"p_{name}": column for name, column in run.columns.items()}
    report = LabelReport("input & more.csv", model(), TASKS, "p_")
    run.add_to(report)
    assert page_of(report, tmp_path)[0] == plain
    unseen = LabelReport("x", model(), TASKS)
    run.add_to(unseen)
    assert "No row has an answer." in page_of(unseen, tmp_path)[0]


def test_rows_of_a_batch_that_failed(tmp_path):
    report = LabelReport("x", model(), TASKS)
    columns = LabelColumns(TASKS, DIMENSIONS).of_failure(70, "worker gone")
    report.add(["text"] * 70, columns, np.full((70, DIMENSIONS), np.nan, np.float32), 0)
    report.add(["more"] * 70, columns, None, 70)
    summary = summary_of(140, 140)
    text, page = page_of(report, tmp_path, summary)
    failed = page.tables[-1]
    assert len(failed) == 51
    assert failed[50] == ["50", "text", "worker gone"]
    assert "140 rows have no answer" in text
    assert "There is no map" in text


def test_memory_does_not_grow_with_the_rows():
    run = Run(4096)
    report = LabelReport("x", model(), TASKS)
    sizes = []
    tracemalloc.start()
    try:
        for first in range(0, 30 * 4096, 4096):
            report.add(run.texts, run.columns, run.embeddings, first)
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max(sizes[15:]) < 1.3 * max(sizes[:15])
    assert max(sizes) < 40_000_000


def test_row_numbers_may_be_large(tmp_path):
    run = Run(20, ())
    report = LabelReport("x", model(), (TOPIC,))
    report.add(run.texts, run.columns, run.embeddings, 10**9)
    assert "1,000,000,010" in page_of(report, tmp_path)[0]


def test_an_older_report_is_replaced(tmp_path):
    (tmp_path / "report.html").write_text("old")
    assert page_of(report_of(Run(20)), tmp_path)[0].startswith("<!DOCTYPE html>")
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_places_that_cannot_be_written_to_are_told(tmp_path):
    report = report_of(Run(0))
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "folder", tmp_path / "none" / "report.html"):
        with pytest.raises(FileError, match=place.name):
            report.write(str(place), summary_of(0, 0))
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_a_device_is_not_replaced():
    with pytest.raises(FileError, match="/dev/null: is not a file"):
        report_of(Run(0)).write("/dev/null", summary_of(0, 0))


def test_what_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileError, match="cannot write the report: No space left"):
        report_of(Run(0)).write(str(tmp_path / "report.html"), summary_of(0, 0))
    assert not list(tmp_path.iterdir())
