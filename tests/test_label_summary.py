"""The counts of a run, and the table at its end."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from twinhead.client import InferResult, SentenceStatus, SingleLabelAnswer, Timing, label_summary
from twinhead.client.label_summary import LabelSummary

LABELS = ("World", "Sports", "[/Business]")


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that only the test moves."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(label_summary, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def status(code: str = "ok", truncated: bool = False) -> SentenceStatus:
    return SentenceStatus(code, "" if code == "ok" else "why", truncated, 5, 5)


def result(
    statuses: list[SentenceStatus], indices: list[int], scores: list[float], version: str = "v1"
) -> InferResult:
    answer = SingleLabelAnswer(
        name="topic",
        label_names=LABELS,
        indices=np.array(indices, np.int32),
        scores=np.array(scores, np.float32),
        logits=None,
    )
    other = SingleLabelAnswer("other", LABELS, answer.indices, answer.scores, None)
    tasks = {"topic": answer, "other": other}
    return InferResult(version, None, tasks, statuses, Timing(0, 0, 0))


def add_all(summary: LabelSummary) -> None:
    """Ten rows: four Sports, one World, one Business, two empty, two of a batch that failed."""
    summary.add(
        result(
            [status(), status("empty"), status(truncated=True), status()],
            [1, -1, 1, 0],
            [0.5, 0.0, 0.75, 0.5],
        )
    )
    summary.add(
        result(
            [status(truncated=True), status(), status("empty"), status()],
            [1, 1, -1, 2],
            [0.9, 0.65, 0.0, 1.0],
        )
    )
    summary.add_failure(2, "worker failed")


def rendered(summary: LabelSummary, destination: str = "out.csv") -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(summary.render(destination), highlight=False)
    return console.file.getvalue()


def table_of(text: str) -> list[list[str]]:
    """The cells of the table's rows."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in text.splitlines()
        if line.startswith("│")
    ]


def test_counts():
    summary = LabelSummary(["topic"])
    assert (summary.rows, summary.labelled) == (0, 0)
    add_all(summary)
    assert (summary.rows, summary.labelled, summary.truncated) == (10, 6, 2)
    assert summary.failed == {"empty": 2, "worker failed": 2}
    assert summary.versions == {"v1": 8}
    assert summary.labels == {"topic": {"Sports": 4, "World": 1, "[/Business]": 1}}


def test_the_rendered_summary_has_the_numbers(clock):
    summary = LabelSummary(["topic"])
    add_all(summary)
    summary.add_failure(1240, "worker failed")
    clock.now += 2.5
    assert summary.seconds == 2.5
    text = rendered(summary, "labels [1].csv")
    head, failed, cut, *_ = text.splitlines()
    assert head == "1,250 rows in 2.5 s (500 rows/s) written to labels [1].csv"
    assert failed == "1,244 rows have no label: 1,242 worker failed, 2 empty"
    assert cut == "2 rows were longer than the model reads, and cut"
    assert table_of(text) == [
        ["topic", "Sports", "4", "66.7%", "0.70"],
        ["", "World", "1", "16.7%", "0.50"],
        ["", "[/Business]", "1", "16.7%", "1.00"],
    ]
    assert "model version v1" in text
    assert "changed" not in text


def test_every_task_has_its_rows(clock):
    summary = LabelSummary(["topic", "other"])
    add_all(summary)
    first_cells = [row[0] for row in table_of(rendered(summary))]
    assert first_cells == ["topic", "", "", "other", "", ""]


def test_a_reason_of_two_words_is_readable():
    summary = LabelSummary(["topic"])
    summary.add(result([status("too_long")], [-1], [0.0]))
    assert "1 rows have no label: 1 too long" in rendered(summary)


def test_what_did_not_happen_is_not_told():
    summary = LabelSummary(["topic"])
    summary.add(result([status()], [1], [0.5]))
    text = rendered(summary)
    for word in ("no label", "cut", "changed"):
        assert word not in text


@pytest.mark.parametrize("tasks", [["topic"], []])
def test_without_labels_there_is_no_table(tasks):
    summary = LabelSummary(tasks)
    summary.add(result([status("empty")], [-1], [0.0]) if tasks else result([], [], []))
    assert "share" not in rendered(summary)


def test_without_tasks_rows_are_counted():
    summary = LabelSummary([])
    summary.add(result([status(), status()], [1, 1], [0.5, 0.5]))
    assert (summary.rows, summary.labelled) == (2, 2)
    assert table_of(rendered(summary)) == []


def test_a_model_that_changed_on_the_way_is_told():
    summary = LabelSummary(["topic"])
    for version, rows in (("v1", 3), ("v2", 1), ("v1", 2)):
        summary.add(result([status()] * rows, [1] * rows, [0.5] * rows, version))
    text = rendered(summary)
    assert "the model changed on the way: 5 rows by v1, 1 rows by v2" in text
    assert "model version v1, v2" in text
