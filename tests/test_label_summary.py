"""The counts of a run, and the table at its end."""

import io
import math
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace

import pyarrow as pa
import pytest
import text_answers
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from twinhead.client import TaskInfo
from twinhead.client.labelling import label_summary
from twinhead.client.labelling.label_columns import LabelColumns, reasons
from twinhead.client.labelling.label_summary import LabelSummary
from twinhead.client.results import read_result

LABELS = ("World", "Sports", "[/Business]")
TOPIC = TaskInfo("topic", "single_label", LABELS)
OTHER = TaskInfo("other", "single_label", LABELS)


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that only the test moves."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(label_summary, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def add(
    summary: LabelSummary,
    labels: Sequence[str | None],
    scores: Sequence[float | None],
    why: Sequence[str | None] | None = None,
    truncated: Sequence[bool | None] | None = None,
    version: str | None = "v1",
) -> None:
    """Count rows; those without a label have failed."""
    rows = len(labels)
    why = why or [None] * rows
    columns = {
        "truncated": pa.array(truncated or [None if each else False for each in why], pa.bool_()),
        "error": pa.array([each and f"it is {each}" for each in why], pa.string()),
        "model_version": pa.array([version] * rows, pa.string()),
    }
    for name in ("topic", "other"):
        columns[name] = pa.array(labels, pa.string())
        columns[f"{name}_score"] = pa.array(scores, pa.float32())
    summary.add(columns, pa.array(why, pa.string()))


def add_failure(summary: LabelSummary, rows: int) -> None:
    nothing = [None] * rows
    add(summary, nothing, nothing, ["worker failed"] * rows, version=None)


def add_all(summary: LabelSummary) -> None:
    """Ten rows: four Sports, one World, one Business, two empty, two of a request that failed."""
    add(
        summary,
        ["Sports", None, "Sports", "World"],
        [0.5, None, 0.75, 0.5],
        [None, "empty", None, None],
        [False, None, True, False],
    )
    add(
        summary,
        ["Sports", "Sports", None, "[/Business]"],
        [0.9, 0.65, None, 1.0],
        [None, None, "empty", None],
        [True, False, None, False],
    )
    add_failure(summary, 2)


def rendered(summary: LabelSummary, destination: str = "out.csv", width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
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
    summary = LabelSummary([TOPIC])
    assert (summary.rows, summary.labelled) == (0, 0)
    add_all(summary)
    assert (summary.rows, summary.labelled, summary.truncated) == (10, 6, 2)
    assert summary.failed == {"empty": 2, "worker failed": 2}
    assert summary.versions == {"v1": 8}
    assert summary.labels == {"topic": {"Sports": 4, "World": 1, "[/Business]": 1}}


def test_the_rendered_summary_has_the_numbers(clock):
    summary = LabelSummary([TOPIC])
    add_all(summary)
    add_failure(summary, 1240)
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
    assert "earlier" not in text


def test_rows_a_second_are_those_that_this_run_has_answered(clock):
    summary = LabelSummary([TOPIC])
    add(summary, ["World"] * 1000, [0.5] * 1000)
    summary.before = 900
    clock.now += 10
    (head, *_) = rendered(summary).splitlines()
    assert head == (
        "1,000 rows in 10.0 s (10 rows/s, 900 answered by an earlier run) written to out.csv"
    )
    summary.before = 1000
    assert "(0 rows/s, 1,000 answered by an earlier run)" in rendered(summary)


def test_every_task_has_its_rows(clock):
    summary = LabelSummary([TOPIC, OTHER])
    add_all(summary)
    first_cells = [row[0] for row in table_of(rendered(summary))]
    assert first_cells == ["topic", "", "", "other", "", ""]


def test_a_reason_of_two_words_is_readable():
    summary = LabelSummary([TOPIC])
    add(summary, [None], [None], ["too long"])
    assert "1 rows have no label: 1 too long" in rendered(summary)


def test_what_did_not_happen_is_not_told():
    summary = LabelSummary([TOPIC])
    add(summary, ["Sports"], [0.5])
    text = rendered(summary)
    for word in ("no label", "cut", "changed", "earlier"):
        assert word not in text


@pytest.mark.parametrize("tasks", [[TOPIC], []])
def test_without_labels_there_is_no_table(tasks):
    summary = LabelSummary(tasks)
    add(summary, [None] * len(tasks), [None] * len(tasks), ["empty"] * len(tasks))
    assert "share" not in rendered(summary)


def test_a_run_without_rows():
    text = rendered(LabelSummary([TOPIC, OTHER]))
    assert text.startswith("0 rows in 0.0 s (0 rows/s)")
    assert len(text.splitlines()) == 1


def test_without_tasks_rows_are_counted():
    summary = LabelSummary([])
    add(summary, ["Sports"] * 2, [0.5] * 2)
    assert (summary.rows, summary.labelled) == (2, 2)
    assert table_of(rendered(summary)) == []


def test_a_model_that_changed_on_the_way_is_told():
    summary = LabelSummary([TOPIC])
    for version, rows in (("v1", 3), ("v2", 1), ("v1", 2)):
        add(summary, ["Sports"] * rows, [0.5] * rows, version=version)
    text = rendered(summary)
    assert "the model changed on the way: 5 rows by v1, 1 rows by v2" in text
    assert "model version v1, v2" in text


def test_rows_that_have_an_answer_and_no_label_make_no_table_of_nothing():
    tags = text_answers.TASKS["tags"]
    columns = {
        "tags": pa.array([[], []], pa.list_(pa.string())),
        "tags_scores": pa.array([[], []], pa.list_(pa.float32())),
        "truncated": pa.array([False, False]),
        "model_version": pa.array(["v1", "v1"]),
    }
    summary = LabelSummary([tags])
    summary.add(columns, pa.nulls(2, pa.string()))
    assert (summary.rows, summary.labelled, summary.labels) == (2, 2, {"tags": {}})
    assert table_of(rendered(summary)) == []


TEXTS = st.text(alphabet="abAÜ 1", max_size=9) | st.sampled_from(
    ["", "long one", "\0", "Ann of NASA"]
)


@settings(max_examples=60)
@given(st.lists(st.lists(TEXTS, max_size=12), max_size=5), st.sampled_from(["", "p_"]))
def test_counts_and_mean_scores_are_those_of_a_plain_count(batches, prefix):
    tasks = list(text_answers.TASKS.values())
    columns = LabelColumns(tasks, 0, prefix)
    summary = LabelSummary(tasks, prefix)
    given = {name: [] for name in text_answers.TASKS}
    failed: Counter[str] = Counter()
    truncated = 0
    for texts in batches:
        result = read_result(text_answers.respond(texts))
        made = columns.of_result(result, texts)
        # As they come out of a larger table.
        padded = {name: pa.concat_arrays([each, each]) for name, each in made.items()}
        summary.add({name: each[len(texts) :] for name, each in padded.items()}, reasons(result))
        for text in texts:
            row = text_answers.expected_row(text)
            why = text_answers.failure(text)
            failed.update([why] if why else [])
            truncated += bool(row["truncated"])
            if not why:
                yes = row["urgent_probability"]
                given["topic"].append((row["topic"], row["topic_score"]))
                given["urgent"].append((row["urgent"], yes if row["urgent"] == "yes" else 1 - yes))
                given["tags"] += zip(row["tags"], row["tags_scores"], strict=True)
                given["names"] += [(each["label"], each["score"]) for each in row["names"]]
    assert summary.rows == sum(map(len, batches))
    assert summary.failed == failed
    assert summary.truncated == truncated
    assert summary.versions == Counter({"v1": summary.rows} if summary.rows else {})
    for task, pairs in given.items():
        counts = Counter(label for label, _ in pairs)
        assert summary.labels[task] == counts
        rows = [row[1:] for row in rows_of_task(summary, task)]
        assert [row[0] for row in rows] == [
            label for label, _ in summary.labels[task].most_common()
        ]
        for label, count, share, mean in rows:
            scores = [score for name, score in pairs if name == label]
            assert int(count) == len(scores) == counts[label]
            assert float(share.rstrip("%")) == pytest.approx(
                100 * len(scores) / len(pairs), abs=0.051
            )
            assert float(mean) == pytest.approx(math.fsum(scores) / len(scores), abs=0.0051)


def rows_of_task(summary: LabelSummary, task: str) -> list[list[str]]:
    """The rows of the table that are about one task."""
    name, found = "", []
    for row in table_of(rendered(summary)):
        name = row[0] or name
        found += [row] if name == task else []
    return found


@pytest.mark.parametrize("width", [20, 40, 80])
def test_on_a_narrow_terminal_it_is_told_without_fault(width):
    summary = LabelSummary([TOPIC])
    add_all(summary)
    lines = rendered(summary, "a/rather/long/path.csv", width).splitlines()
    assert max(map(len, lines)) <= width
    assert "10 rows" in " ".join(lines)
