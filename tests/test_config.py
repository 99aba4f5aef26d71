"""The description of a model: what is accepted, and how its faults are told."""

import json
from typing import Any

import pytest
from pydantic import ValidationError
from twinhead.model.config import HeadKind, ModelConfig, Pooling, TaskConfig, TaskKind
from twinhead.model.errors import ConfigError, ModelError

TOPIC = {"name": "topic", "labels": ["sea", "land", "sky"]}
MOOD = {"name": "mood", "labels": ["calm", "wild"]}


def faults_of(data: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        ModelConfig.parse(data)
    return str(caught.value).splitlines()


def test_defaults():
    config = ModelConfig.parse({"encoder": "all-MiniLM-L6-v2", "tasks": [TOPIC]})
    assert config.max_tokens == 256
    assert config.normalize is True
    assert config.embedding_pooling is Pooling.MEAN
    task = config.tasks[0]
    assert (task.kind, task.pooling, task.head) == (
        TaskKind.SINGLE_LABEL,
        Pooling.MEAN,
        HeadKind.LINEAR,
    )


def test_a_model_needs_no_task():
    assert ModelConfig.parse({"encoder": "x"}).tasks == ()


def test_json_round_trip():
    config = ModelConfig.parse(
        {
            "encoder": "some/encoder",
            "max_tokens": 77,
            "normalize": False,
            "tasks": [{"name": "langue", "labels": ["français", "日本語", " "]}, MOOD],
        }
    )
    assert ModelConfig.parse(json.loads(json.dumps(config.model_dump(mode="json")))) == config


def test_labels_keep_their_order():
    labels = ["z", "a", "m", "Z"]
    config = ModelConfig.parse({"encoder": "x", "tasks": [{"name": "t", "labels": labels}]})
    assert list(config.tasks[0].labels) == labels


def test_every_fault_is_told_at_once():
    faults = faults_of(
        {
            "encoder": "",
            "max_tokens": 2,
            "normalize": "perhaps",
            "colour": "red",
            "tasks": [
                {"name": "Topic!", "labels": ["one"]},
                {"name": "mood", "labels": ["calm", "calm"], "head": "tail", "size": 3},
            ],
        }
    )
    assert sorted(fault.partition(":")[0] for fault in faults) == [
        "colour",
        "encoder",
        "max_tokens",
        "normalize",
        "tasks.0.labels",
        "tasks.0.name",
        "tasks.1.head",
        "tasks.1.labels",
        "tasks.1.size",
    ]


def test_a_repeated_task_is_told_with_the_other_faults():
    faults = faults_of({"encoder": "x", "max_tokens": 0, "tasks": [MOOD, TOPIC, MOOD]})
    assert sorted(fault.partition(":")[0] for fault in faults) == ["max_tokens", "tasks"]
    assert any("'mood'" in fault for fault in faults)


def test_a_repeated_label_is_named():
    (fault,) = faults_of({"encoder": "x", "tasks": [{"name": "t", "labels": ["a", "b", "a"]}]})
    assert fault.startswith("tasks.0.labels: ")
    assert "'a'" in fault


def test_labels_that_differ_in_case_are_different():
    ModelConfig.parse({"encoder": "x", "tasks": [{"name": "t", "labels": ["a", "A"]}]})


@pytest.mark.parametrize("data", [None, [], "encoder", 3, True])
def test_what_is_not_an_object_is_refused(data):
    assert len(faults_of(data)) == 1


def test_a_config_error_is_a_model_error():
    assert issubclass(ConfigError, ModelError)


@pytest.mark.parametrize("name", ["a", "topic", "topic_2", "a" * 64, "type", "values"])
def test_task_names(name):
    assert ModelConfig.parse({"encoder": "x", "tasks": [{**MOOD, "name": name}]}).task(name)


@pytest.mark.parametrize(
    "name", ["", "Topic", "2topic", "_topic", "to-pic", "to.pic", "thème", "a" * 65, "topic\n", 3]
)
def test_task_names_that_are_refused(name):
    (fault,) = faults_of({"encoder": "x", "tasks": [{**MOOD, "name": name}]})
    assert fault.startswith("tasks.0.name: ")


@pytest.mark.parametrize(
    ("labels", "place"),
    [
        ([], "tasks.0.labels"),
        (["one"], "tasks.0.labels"),
        ("ab", "tasks.0.labels"),
        (None, "tasks.0.labels"),
        ([f"label {n}" for n in range(10_001)], "tasks.0.labels"),
        (["a", "b", ""], "tasks.0.labels.2"),
        (["a", "b", "c" * 201], "tasks.0.labels.2"),
        (["a", "b", 3], "tasks.0.labels.2"),
        (["a", "b", None], "tasks.0.labels.2"),
        (["a", "b", "\ud800"], "tasks.0.labels.2"),  # could not be written as UTF-8
    ],
)
def test_labels_that_are_refused(labels, place):
    (fault,) = faults_of({"encoder": "x", "tasks": [{"name": "t", "labels": labels}]})
    assert fault.startswith(f"{place}: ")


@pytest.mark.parametrize("labels", [["a", "b" * 200], [f"label {n}" for n in range(10_000)]])
def test_labels_at_the_bounds(labels):
    config = ModelConfig.parse({"encoder": "x", "tasks": [{"name": "t", "labels": labels}]})
    assert config.tasks[0].labels == tuple(labels)


@pytest.mark.parametrize("max_tokens", [3, 8192])
def test_max_tokens_at_the_bounds(max_tokens):
    config = ModelConfig.parse({"encoder": "x", "max_tokens": max_tokens})
    assert config.max_tokens == max_tokens


@pytest.mark.parametrize("max_tokens", [2, 0, -1, 8193, 3.5, None, "many"])
def test_max_tokens_that_are_refused(max_tokens):
    (fault,) = faults_of({"encoder": "x", "max_tokens": max_tokens})
    assert fault.startswith("max_tokens: ")


@pytest.mark.parametrize(
    ("key", "value"), [("kind", "regression"), ("pooling", "median"), ("head", "mlp_9")]
)
def test_kinds_that_do_not_exist_are_refused(key, value):
    (fault,) = faults_of({"encoder": "x", "tasks": [{**MOOD, key: value}]})
    assert fault.startswith(f"tasks.0.{key}: ")


def test_the_number_of_tasks_is_bounded():
    tasks = [{**MOOD, "name": f"t{n}"} for n in range(65)]
    assert len(ModelConfig.parse({"encoder": "x", "tasks": tasks[:64]}).tasks) == 64
    (fault,) = faults_of({"encoder": "x", "tasks": tasks})
    assert fault.startswith("tasks: ")


def test_task_by_name():
    config = ModelConfig.parse({"encoder": "x", "tasks": [TOPIC, MOOD]})
    assert config.task("mood") == TaskConfig(name="mood", labels=("calm", "wild"))
    assert config.task("topic").labels == ("sea", "land", "sky")
    with pytest.raises(KeyError, match="weather"):
        config.task("weather")


def test_a_config_cannot_be_changed():
    config = ModelConfig.parse({"encoder": "x", "tasks": [TOPIC]})
    with pytest.raises(ValidationError, match="frozen"):
        config.max_tokens = 5
    with pytest.raises(ValidationError, match="frozen"):
        config.tasks[0].name = "other"
