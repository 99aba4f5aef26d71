"""Answers as columns: names, types, values, and what rows without an answer hold."""

import csv
import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from twinhead.client import (
    BinaryAnswer,
    Entity,
    InferResult,
    InvalidRequestError,
    ModelInfo,
    MultiLabelAnswer,
    SentenceStatus,
    SingleLabelAnswer,
    TaskInfo,
    Timing,
    TokenAnswer,
    WorkerFailedError,
)
from twinhead.client.label_columns import LabelColumns
from twinhead.client.row_batch import RowBatch
from twinhead.client.row_writer import Layout, OutputFile

TOPIC = ("World", "Sports")
TONE = ("bad", "so-so", "good")
MODEL = ModelInfo(
    version="v1",
    encoder="none",
    tasks={
        "topic": TaskInfo("topic", "single_label", TOPIC),
        "tone": TaskInfo("tone", "single_label", TONE),
    },
    embedding_dimensions=2,
    normalize=True,
    engine="none",
    precision="float32",
    device="cpu",
    worker_release="0",
    sentences_per_request=100,
    request_bytes=1000,
    tokens_per_sentence=10,
    characters_per_sentence=100,
)
OK = SentenceStatus("ok", "", truncated=False, tokens=5, tokens_used=5)
CUT = SentenceStatus("ok", "", truncated=True, tokens=50, tokens_used=10)
EMPTY = SentenceStatus("empty", "the sentence is empty", truncated=False, tokens=0, tokens_used=0)
LONG = SentenceStatus("too_long", "the sentence is long", truncated=True, tokens=9, tokens_used=0)


def answer(name: str, labels: tuple[str, ...], fine: list[bool], score: float) -> SingleLabelAnswer:
    return SingleLabelAnswer(
        name=name,
        label_names=labels,
        indices=np.array([1 if ok else -1 for ok in fine], np.int32),
        scores=np.array([score if ok else 0 for ok in fine], np.float32),
        logits=None,
    )


def result(statuses: list[SentenceStatus], dtype: type = np.float32) -> InferResult:
    """Rows with an answer have label 1 of each task; the others what a worker sends for them."""
    fine = [status.ok for status in statuses]
    return InferResult(
        model_version="v2",
        embeddings=np.array([[n, -n] if ok else [0, 0] for n, ok in enumerate(fine)], dtype),
        tasks={
            "tone": answer("tone", TONE, fine, 0.25),
            "topic": answer("topic", TOPIC, fine, 0.75),
        },
        statuses=statuses,
        timing=Timing(0, 0, 0),
    )


def columns_of(tasks: list[str] | None = None, *, embeddings: bool = False, prefix: str = ""):
    return LabelColumns.of(MODEL, tasks, embeddings=embeddings, prefix=prefix)


def test_names_and_types():
    assert columns_of(embeddings=True).schema == pa.schema(
        [
            ("topic", pa.string()),
            ("topic_score", pa.float32()),
            ("tone", pa.string()),
            ("tone_score", pa.float32()),
            ("embedding", pa.list_(pa.float32(), 2)),
            ("truncated", pa.bool_()),
            ("error", pa.string()),
            ("model_version", pa.string()),
        ]
    )
    assert "embedding" not in columns_of().schema.names


@pytest.mark.parametrize(
    ("tasks", "names"),
    [
        (None, ["topic", "topic_score", "tone", "tone_score"]),
        (["tone"], ["tone", "tone_score"]),
        (["tone", "topic", "tone"], ["topic", "topic_score", "tone", "tone_score"]),
        ([], []),
    ],
)
def test_only_chosen_tasks_have_columns_in_the_order_of_the_model(tasks, names):
    columns = columns_of(tasks)
    names = [*names, "truncated", "error", "model_version"]
    assert columns.schema.names == names
    assert list(columns.of_result(result([OK]), ["text"] * len([OK]))) == names
    assert [task.name for task in columns.tasks] == [
        name for name in names if name in ("topic", "tone")
    ]


def model_with(name: str, kind: str = "single_label") -> ModelInfo:
    return dataclasses.replace(MODEL, tasks={**MODEL.tasks, name: TaskInfo(name, kind, TONE)})


@pytest.mark.parametrize("name", ["error", "truncated", "model_version", "topic_score"])
def test_two_columns_of_one_name_are_refused(name):
    model = model_with(name)
    with pytest.raises(InvalidRequestError, match=f"two of the new columns .* called '{name}'"):
        LabelColumns.of(model, None, embeddings=False, prefix="")
    assert LabelColumns.of(model, ["tone"], embeddings=False, prefix="").tasks == [
        model.tasks["tone"]
    ]


def test_a_task_called_embedding_is_refused_only_beside_embeddings():
    model = model_with("embedding")
    with pytest.raises(InvalidRequestError, match="'embedding'"):
        LabelColumns.of(model, None, embeddings=True, prefix="")
    columns = LabelColumns.of(model, None, embeddings=False, prefix="")
    assert "embedding" in [task.name for task in columns.tasks]


def test_a_task_of_an_unknown_kind_is_refused():
    model = model_with("span", "kind_7")
    with pytest.raises(WorkerFailedError, match=r"the task 'span' is of a kind .* --task"):
        LabelColumns.of(model, None, embeddings=False, prefix="")
    assert LabelColumns.of(model, ["tone"], embeddings=False, prefix="").tasks == [
        model.tasks["tone"]
    ]


def test_the_prefix_is_before_every_name():
    columns = columns_of(embeddings=True, prefix="p_")
    names = ["p_" + name for name in columns_of(embeddings=True).schema.names]
    assert columns.schema.names == names
    assert list(columns.of_result(result([OK, EMPTY]), ["text"] * len([OK, EMPTY]))) == names
    failure = columns.of_failure(1, "worker gone")
    assert list(failure) == names
    assert failure["p_error"].to_pylist() == ["worker gone"]


def values(columns: dict[str, pa.Array]) -> dict[str, list]:
    return {name: column.to_pylist() for name, column in columns.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_without_an_answer_hold_nothing_but_the_error(dtype):
    columns = columns_of(embeddings=True)
    made = columns.of_result(
        result([OK, EMPTY, CUT, LONG], dtype), ["text"] * len([OK, EMPTY, CUT, LONG])
    )
    assert values(made) == {
        "topic": ["Sports", None, "Sports", None],
        "topic_score": [0.75, None, 0.75, None],
        "tone": ["so-so", None, "so-so", None],
        "tone_score": [0.25, None, 0.25, None],
        "embedding": [[0, 0], None, [2, -2], None],
        "truncated": [False, None, True, None],
        "error": [None, "the sentence is empty", None, "the sentence is long"],
        "model_version": ["v2"] * 4,
    }
    assert [column.type for column in made.values()] == columns.schema.types


@pytest.mark.parametrize("status", [OK, EMPTY])
def test_all_rows_alike(status):
    made = columns_of(embeddings=True).of_result(result([status] * 3), ["text"] * len([status] * 3))
    expected = 0 if status.ok else 3
    for name in ("topic", "topic_score", "embedding", "truncated"):
        assert made[name].null_count == expected
    assert made["error"].null_count == 3 - expected


def test_a_batch_without_an_answer_holds_nothing_but_the_error():
    columns = columns_of(embeddings=True)
    made = columns.of_failure(2, "worker gone")
    expected = {name: [None, None] for name in columns.schema.names}
    assert values(made) == {**expected, "error": ["worker gone"] * 2}
    assert [column.type for column in made.values()] == columns.schema.types


def test_every_kind_of_task_has_its_columns(tmp_path):
    texts = ["Ann likes tea", "no answer"]
    answers = [
        BinaryAnswer("yes", ("no", "yes"), np.array([1, -1]), np.array([0.75, 0]), None),
        MultiLabelAnswer(
            "many",
            ("a", "b"),
            [np.array([1, 0]), np.zeros(0, int)],
            [np.array([0.9, 0.8], np.float32), np.zeros(0, np.float32)],
            None,
        ),
        TokenAnswer("ner", ("O", "B-PER", "I-PER"), [[Entity("PER", 0, 3, 0.5)], []], None),
    ]
    kinds = {"yes": "binary", "many": "multi_label", "ner": "token"}
    infos = [TaskInfo(name, kind, ("x", "y")) for name, kind in kinds.items()]
    columns = LabelColumns(infos, 0)
    made = columns.of_result(
        InferResult("v", None, {each.name: each for each in answers}, [OK, EMPTY], Timing(0, 0, 0)),
        texts,
    )
    found = {name: made[name].to_pylist() for name in columns.schema.names}
    assert found["yes"] == ["yes", None]
    assert found["yes_probability"] == [0.75, None]
    assert found["many"] == [["b", "a"], None]
    assert found["many_scores"] == [pytest.approx([0.9, 0.8]), None]
    entity = {"text": "Ann", "label": "PER", "start": 0, "end": 3, "score": 0.5}
    assert found["ner"] == [[entity], None]
    assert [made[name].type for name in made] == columns.schema.types
    failed = columns.of_failure(2, "why")
    assert failed["ner"].to_pylist() == [None, None]
    # And each can be written in every format.
    layout = Layout(["text"], None, columns.schema)
    rows = RowBatch(1, texts, [{"text": text} for text in texts], 0)
    for kind in ("csv", "jsonl", "parquet"):
        output = OutputFile(str(tmp_path / f"out.{kind}"), None)
        output.begin(layout)
        output.write(rows, made)
        output.complete()
    line = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert line["ner"] == [entity]
    assert line["many_scores"] == [0.9, 0.8]
    with (tmp_path / "out.csv").open(newline="") as file:
        cells = next(csv.DictReader(file))
    assert json.loads(cells["ner"]) == [entity]
    assert json.loads(cells["many"]) == ["b", "a"]
    assert pq.read_table(tmp_path / "out.parquet")["ner"].to_pylist() == [[entity], None]
