"""What people and programs are shown of an evaluation."""

import io
import json

import numpy as np
import pytest
from rich.console import Console
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer.evaluate_model import FailedRow, ModelEvaluation
from twinhead.trainer.evaluation_output import as_json, lines_of_failed, print_evaluation
from twinhead.trainer.metrics import measure
from twinhead.trainer.run_summary import Evaluation
from twinhead.trainer.token_metrics import measure_tokens

TOPIC = TaskConfig(name="topic", labels=("[sea]", "land", "sky"))
TAGS = TaskConfig(name="tags", kind=TaskKind.MULTI_LABEL, labels=("a", "b"))
NAMES = TaskConfig(name="names", kind=TaskKind.TOKEN, labels=("O", "B-PER", "I-PER"))
LONG_NAME = "a file with [a] rather long name.jsonl"


def one_hot(indices: list[int], size: int) -> np.ndarray:
    return (5 * np.eye(size)[indices]).astype(np.float32)


@pytest.fixture
def measured() -> ModelEvaluation:
    topic = measure(TOPIC, one_hot([0, 1, 1, 1], 3), np.array([0, 0, 0, 2]))
    part = measure(TOPIC, one_hot([0], 3), np.array([0]))
    tags = measure(TAGS, np.array([[3.0, -3.0]], dtype=np.float32), np.array([[1, 0]]))
    names = measure_tokens(NAMES, [one_hot([1, 0, 0], 3)], [np.array([1, 2, 0])])
    return ModelEvaluation(
        "0123456789abcdef",
        5,
        (
            Evaluation(LONG_NAME, None, topic),
            Evaluation(LONG_NAME, "news", part),
            Evaluation(LONG_NAME, None, tags),
            Evaluation("test", None, names),
        ),
        (FailedRow("in.jsonl:3", "empty"),),
    )


def printed(measured: ModelEvaluation, *, details: bool, width: int = 40) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_evaluation(console, measured, details=details)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [20, 80])
def test_nothing_is_cut_off_on_a_narrow_console(measured, width):
    lines = printed(measured, details=False, width=width)
    assert len(lines) == 5
    assert "…" not in "".join(lines)
    (line,) = [line for line in lines if LONG_NAME in line and line.startswith("topic")]
    assert "0.2500" in line


def test_details_show_labels_and_confusions(measured):
    lines = [line.split() for line in printed(measured, details=True)]
    assert ["[sea]", "1.0000", "0.3333", "0.5000", "3"] in lines
    assert lines[lines.index(["true", "answered", "rows"]) + 1 :][:2] == [
        ["[sea]", "land", "2"],
        ["sky", "land", "1"],
    ]
    # Of a token task words are mistaken for each other.
    assert lines[lines.index(["true", "answered", "words"]) + 1] == ["PER", "O", "1"]
    assert sum(line[:1] == ["label"] for line in lines) == 3  # none of the part


def test_json_holds_everything(measured):
    data = as_json(measured, "folder", ("a note",))
    text = json.dumps(data, allow_nan=False)
    assert json.loads(text) == data
    assert data["model_version"] == "0123456789abcdef"
    assert (data["model"], data["rows"], data["notes"]) == ("folder", 5, ["a note"])
    assert data["failed"] == [{"origin": "in.jsonl:3", "reason": "empty"}]
    first, part, *_ = data["evaluations"]
    assert (first["split"], first["dataset"], first["task"]) == (LONG_NAME, None, "topic")
    assert first["confusion"] == [[1, 2, 0], [0, 0, 0], [0, 1, 0]]
    assert part["dataset"] == "news"


def test_failed_rows_are_counted_and_named():
    assert list(lines_of_failed(())) == []
    assert list(lines_of_failed((FailedRow("a:1", "empty"),))) == [
        "1 row has no answer, and no part in the figures:",
        "  empty: a:1",
    ]
    many = [FailedRow(f"a:{number}", "empty") for number in range(7)]
    assert list(lines_of_failed((FailedRow("b:1", "lost"), *many))) == [
        "8 rows have no answer, and no part in the figures:",
        "  empty: a:0, a:1, a:2, a:3, a:4 and 2 more",
        "  lost: b:1",
    ]
