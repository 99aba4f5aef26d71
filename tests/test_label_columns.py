"""Answers as columns: names, types, values, and what rows without an answer hold."""

import csv
import dataclasses
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import text_answers
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
from twinhead.client.files.output_file import OutputFile
from twinhead.client.files.row_batch import RowBatch
from twinhead.client.files.row_writer import Layout
from twinhead.client.labelling.label_columns import LabelColumns
from twinhead.client.results import read_result

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
    assert list(columns.of_result(result([OK]), ["text"])) == names
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
    assert list(columns.of_result(result([OK, EMPTY]), ["text"] * 2)) == names
    failure = columns.of_failure(1, "worker gone")
    assert list(failure) == names
    assert failure["p_error"].to_pylist() == ["worker gone"]


def values(columns: dict[str, pa.Array]) -> dict[str, list]:
    return {name: column.to_pylist() for name, column in columns.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_without_an_answer_hold_nothing_but_the_error(dtype):
    columns = columns_of(embeddings=True)
    made = columns.of_result(result([OK, EMPTY, CUT, LONG], dtype), ["text"] * 4)
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
    made = columns_of(embeddings=True).of_result(result([status] * 3), ["text"] * 3)
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
    infos = [TaskInfo(each.name, kinds[each.name], each.label_names) for each in answers]
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


def test_with_scores_each_label_of_a_task_of_which_it_is_said_has_a_column():
    columns = LabelColumns.of(text_answers.MODEL, None, embeddings=False, prefix="p_", scores=True)
    assert columns.schema.names == [
        "p_topic",
        "p_topic_score",
        "p_topic_score_World",
        "p_topic_score_[/Sports]",
        "p_topic_score_Sci, Tech",
        "p_urgent",
        "p_urgent_probability",
        "p_tags",
        "p_tags_scores",
        "p_tags_score_a",
        "p_tags_score_b",
        "p_tags_score_c",
        "p_names",
        "p_truncated",
        "p_error",
        "p_model_version",
    ]
    assert {columns.schema.field(f"p_tags_score_{name}").type for name in "abc"} == {pa.float32()}


def test_two_columns_of_one_name_are_refused_with_scores_too():
    labels = ("a", "b")
    tasks = {
        "topic": TaskInfo("topic", "single_label", labels),
        "topic_score_b": TaskInfo("topic_score_b", "binary", labels),
    }
    model = dataclasses.replace(MODEL, tasks=tasks)
    LabelColumns.of(model, None, embeddings=False, prefix="")
    with pytest.raises(InvalidRequestError, match="'topic_score_b'"):
        LabelColumns.of(model, None, embeddings=False, prefix="", scores=True)


def test_a_task_that_the_model_has_not_is_refused_with_those_that_it_has():
    with pytest.raises(InvalidRequestError, match="no task 'mood'; it has topic, tone"):
        columns_of(["tone", "mood"])
    with pytest.raises(InvalidRequestError, match="it has none"):
        LabelColumns.of(dataclasses.replace(MODEL, tasks={}), ["a"], embeddings=False, prefix="")


def test_what_is_asked_for_is_what_the_columns_need():
    plain = columns_of(["tone"]).options(truncate=False)
    assert (plain.tasks, plain.embedding, plain.logits) == (["tone"], None, False)
    assert (plain.truncate, plain.model_version, plain.repeatable) == (False, None, True)
    assert columns_of(embeddings=True).options(truncate=True).embedding == "float32"
    assert columns_of().options(truncate=True, embeddings=True).embedding == "float32"
    assert columns_of([]).options(truncate=True).tasks == []
    assert columns_of().options(truncate=True, model_version="v9").model_version == "v9"


@pytest.mark.parametrize(
    ("kind", "logits"),
    [("single_label", True), ("multi_label", True), ("binary", False), ("token", False)],
)
def test_logits_are_asked_for_only_where_scores_come_of_them(kind, logits):
    columns = LabelColumns([TaskInfo("t", kind, ("a", "b"))], 0, scores=True)
    assert columns.options(truncate=True).logits is logits
    assert LabelColumns(columns.tasks, 0).options(truncate=True).logits is False


def extreme_answer(kind: str, logits: np.ndarray) -> InferResult:
    """With logits, and scores that are not looked at."""
    rows = len(logits)
    nothing = [np.zeros(0, np.int32)] * rows
    answer = (
        SingleLabelAnswer("t", TONE, np.zeros(rows, np.int32), np.zeros(rows, np.float32), logits)
        if kind == "single_label"
        else MultiLabelAnswer("t", TONE, nothing, nothing, logits)
    )
    return InferResult("v", None, {"t": answer}, [OK] * rows, Timing(0, 0, 0))


@pytest.mark.parametrize("temperature", [1e-6, 0.5, 1.0, 100.0])
@pytest.mark.parametrize("kind", ["single_label", "multi_label"])
def test_scores_of_extreme_logits_are_probabilities(kind, temperature):
    logits = np.array(
        [[0, 0, 0], [1e30, 0, -1e30], [-1e30, -1e30, -1e30], [3e4, 3e4, 2e4], [5, -5, 1]],
        np.float32,
    )
    columns = LabelColumns([TaskInfo("t", kind, TONE, (), temperature)], 0, scores=True)
    made = columns.of_result(extreme_answer(kind, logits), ["text"] * 5)
    scores = np.stack([made[f"t_score_{label}"].to_numpy() for label in TONE], axis=1)
    assert np.isfinite(scores).all()
    assert scores.min() >= 0
    assert scores.max() <= 1
    if kind == "single_label":
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(scores[0], 1 / 3, rtol=1e-6)
        assert scores[1].tolist() == [1, 0, 0]
        np.testing.assert_allclose(scores[3, :2], 0.5, atol=1e-6 if temperature < 100 else 1e-3)
    else:
        assert scores[0].tolist() == [0.5] * 3
        assert scores[1].tolist() == [1, 0.5, 0]
        assert scores[2].tolist() == [0, 0, 0]


def test_scores_are_softmax_and_sigmoid_of_logits_over_the_temperature():
    logits = np.random.default_rng(3).normal(size=(50, 3), scale=4).astype(np.float32)
    for temperature in (0.3, 1.0, 2.5):
        for kind in ("single_label", "multi_label"):
            columns = LabelColumns([TaskInfo("t", kind, TONE, (), temperature)], 0, scores=True)
            made = columns.of_result(extreme_answer(kind, logits), ["text"] * 50)
            for row in range(50):
                values = [float(value) / temperature for value in logits[row]]
                for place, label in enumerate(TONE):
                    if kind == "single_label":  # softmax, as a ratio to each of the others
                        expected = 1 / sum(math.exp(other - values[place]) for other in values)
                    else:
                        expected = 1 / (1 + math.exp(-values[place]))
                    assert made[f"t_score_{label}"][row].as_py() == pytest.approx(expected, 1e-5)


def test_scores_of_a_real_worker_are_those_that_it_says_itself(starter_client):
    model = starter_client.model()
    texts = ["The striker scored twice.", "", "Shares fell sharply on Monday.", "word " * 2000, "!"]
    columns = LabelColumns.of(model, None, embeddings=True, prefix="", scores=True)
    result = starter_client.infer(
        texts, columns.options(truncate=True, model_version=model.version)
    )
    made = columns.of_result(result, texts)
    assert [array.type for array in made.values()] == columns.schema.types
    assert made["error"].is_null().to_pylist() == [True, False, True, True, True]
    assert made["truncated"].to_pylist() == [False, None, False, True, False]
    for task in model.tasks.values():
        assert task.kind == "single_label"
        scores = [made[f"{task.name}_score_{label}"] for label in task.label_names]
        assert {column.null_count for column in scores} == {1}
        for row in (0, 2, 3, 4):
            of_labels = [column[row].as_py() for column in scores]
            assert sum(of_labels) == pytest.approx(1, abs=1e-6)
            said = made[f"{task.name}_score"][row].as_py()
            assert max(of_labels) == pytest.approx(said, abs=1e-6)
            label = made[task.name][row].as_py()
            assert task.label_names[of_labels.index(max(of_labels))] == label


@pytest.mark.parametrize("missing", ["labels", "kind", "task"])
def test_an_answer_of_another_model_is_refused(missing):
    other = result([OK])
    tone = other.tasks["tone"]
    changed = {
        "labels": {"tone": dataclasses.replace(tone, label_names=TONE[::-1])},
        "kind": {"tone": BinaryAnswer("tone", TONE, tone.indices, tone.scores, None)},
        "task": {},
    }
    columns = columns_of(["tone"])
    other = dataclasses.replace(other, tasks=changed[missing])
    with pytest.raises(WorkerFailedError, match=r"version v2 has other labels for 'tone'.*--pin"):
        columns.of_result(other, ["text"])


def test_an_answer_without_rows_has_columns_without_rows():
    columns = LabelColumns.of(text_answers.MODEL, None, embeddings=False, prefix="", scores=True)
    made = columns.of_result(read_result(text_answers.respond([])), [])
    assert [(len(column), column.type) for column in made.values()] == [
        (0, kind) for kind in columns.schema.types
    ]


def test_embeddings_that_are_not_numbers_stay_so():
    columns = columns_of([], embeddings=True)
    strange = np.array([[np.nan, np.inf], [-np.inf, -0.0]], np.float32)
    odd = dataclasses.replace(result([OK, OK]), embeddings=strange)
    column = columns.of_result(odd, ["text"] * 2)["embedding"]
    assert column.null_count == 0
    assert column.flatten().to_numpy().tobytes() == strange.tobytes()
