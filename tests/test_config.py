"""The description of a model: what is accepted, and how its faults are told."""

import json
from typing import Any

import pytest
from pydantic import ValidationError
from twinhead.model.config import (
    Activation,
    LinearHead,
    MlpHead,
    ModelConfig,
    Pooling,
    TaskConfig,
    TaskKind,
)
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
        LinearHead(dropout=0.0),
    )
    assert task.normalize is False
    assert task.thresholds == ()
    assert task.temperature == 1
    assert config.revision is None


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
    ("key", "value"),
    [
        ("kind", "regression"),
        ("pooling", "median"),
        ("head", "mlp"),
        ("head", {}),
        ("head", {"hidden_size": 5}),
        ("head", {"kind": "mlp_9"}),
    ],
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


# --- kinds, heads and thresholds


def task_faults(**changes: Any) -> list[str]:
    return faults_of({"encoder": "x", "tasks": [{**MOOD, **changes}]})


def test_everything_that_can_be_said():
    """A JSON round trip of a model in which no setting has its default."""
    config = ModelConfig(
        encoder="x",
        revision="v1",
        max_tokens=12,
        normalize=False,
        embedding_pooling=Pooling.CLS_MEAN,
        tasks=(
            TaskConfig(
                name="a",
                kind=TaskKind.BINARY,
                labels=("no", "yes"),
                pooling=Pooling.MAX,
                normalize=True,
                head=MlpHead(
                    hidden_size=7,
                    activation=Activation.RELU,
                    dropout=0.25,
                    layer_norm=True,
                    residual=True,
                ),
                thresholds=(0.75,),
                temperature=1.5,
            ),
            TaskConfig(name="b", kind=TaskKind.TOKEN, labels=("O", "B-PER", "I-PER")),
        ),
    )
    text = json.dumps(config.model_dump(mode="json"))
    assert ModelConfig.parse(json.loads(text)) == config
    for model in (ModelConfig, TaskConfig, MlpHead, LinearHead):
        assert all(
            field.description for name, field in model.model_fields.items() if name != "kind"
        )


@pytest.mark.parametrize(
    ("kind", "labels", "logits", "thresholds"),
    [
        ("single_label", ["a", "b", "c"], 3, ()),
        ("binary", ["no", "yes"], 1, (0.5,)),
        ("multi_label", ["a", "b", "c"], 3, (0.5, 0.5, 0.5)),
        ("multi_label", ["a"], 1, (0.5,)),
        ("token", ["O", "B-PER", "I-PER"], 3, ()),
    ],
)
def test_logits_and_thresholds_of_each_kind(kind, labels, logits, thresholds):
    task = TaskConfig.model_validate({"name": "t", "kind": kind, "labels": labels})
    assert task.logits == logits
    assert task.effective_thresholds == thresholds


@pytest.mark.parametrize(
    ("kind", "given"), [("binary", (0.0,)), ("binary", (1.0,)), ("multi_label", (0.2, 0.9))]
)
def test_thresholds_that_are_given(kind, given):
    task = TaskConfig.model_validate({**MOOD, "kind": kind, "thresholds": given})
    assert task.effective_thresholds == given


@pytest.mark.parametrize(
    ("kind", "given", "place"),
    [
        ("binary", [0.5, 0.5], "tasks.0.thresholds"),
        ("multi_label", [0.5], "tasks.0.thresholds"),
        ("multi_label", [0.5, 0.5, 0.5], "tasks.0.thresholds"),
        ("single_label", [0.5, 0.5], "tasks.0.thresholds"),
        ("token", [0.5], "tasks.0.thresholds"),
        ("binary", [1.1], "tasks.0.thresholds.0"),
        ("multi_label", [0.5, -0.1], "tasks.0.thresholds.1"),
        ("binary", [float("nan")], "tasks.0.thresholds.0"),
        ("binary", [float("inf")], "tasks.0.thresholds.0"),
        ("binary", 0.5, "tasks.0.thresholds"),
    ],
)
def test_thresholds_that_are_refused(kind, given, place):
    (fault,) = task_faults(kind=kind, thresholds=given)
    assert fault.startswith(f"{place}: ")


@pytest.mark.parametrize("temperature", [1e-6, 0.3, 1, 100])
@pytest.mark.parametrize("kind", TaskKind)
def test_temperatures_that_are_given(kind, temperature):
    task = TaskConfig.model_validate({**MOOD, "kind": kind, "temperature": temperature})
    assert task.temperature == temperature


@pytest.mark.parametrize(
    "temperature", [0, -1, 1e-300, 100.1, float("nan"), float("inf"), float("-inf"), "warm", None]
)
def test_temperatures_that_are_refused(temperature):
    (fault,) = task_faults(temperature=temperature)
    assert fault.startswith("tasks.0.temperature: ")


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("binary", ["yes"]),
        ("binary", ["no", "yes", "perhaps"]),
        ("single_label", ["one"]),
        ("token", ["O"]),
        ("multi_label", []),
        ("multi_label", ["a", "a"]),
    ],
)
def test_numbers_of_labels_that_a_kind_does_not_have(kind, labels):
    (fault,) = task_faults(kind=kind, labels=labels)
    assert fault.startswith("tasks.0.labels: ")


@pytest.mark.parametrize("pooling", ["cls", "cls_mean", "max"])
def test_a_token_task_has_no_pooling(pooling):
    (fault,) = task_faults(kind="token", pooling=pooling)
    assert fault.startswith("tasks.0.pooling: ")
    assert "every token" in fault


def test_faults_of_what_belongs_together_are_told_with_the_others():
    faults = faults_of(
        {
            "encoder": "",
            "tasks": [
                {"name": "A", "kind": "binary", "labels": ["x"], "colour": "red"},
                {"name": "b", "kind": "token", "labels": ["O"], "pooling": "max"},
                {"name": "c", "kind": "binary", "labels": ["no", "yes"], "thresholds": [1, 0]},
                {"name": "D", "kind": "colour", "labels": ["one"], "thresholds": [0.5]},
            ],
        }
    )
    assert sorted(fault.partition(":")[0] for fault in faults) == [
        "encoder",
        "tasks.0.colour",
        "tasks.0.labels",
        "tasks.0.name",
        "tasks.1.labels",
        "tasks.1.pooling",
        "tasks.2.thresholds",
        "tasks.3.kind",
        "tasks.3.name",
    ]


@pytest.mark.parametrize(
    ("head", "key"),
    [
        ({"kind": "linear", "hidden_size": 4}, "hidden_size"),
        ({"kind": "linear", "dropout": 1}, "dropout"),
        ({"kind": "linear", "dropout": -0.1}, "dropout"),
        ({"kind": "mlp", "dropout": float("nan")}, "dropout"),
        ({"kind": "mlp", "hidden_size": 0}, "hidden_size"),
        ({"kind": "mlp", "hidden_size": 65_537}, "hidden_size"),
        ({"kind": "mlp", "activation": "sine"}, "activation"),
        ({"kind": "mlp", "layer_norm": "perhaps"}, "layer_norm"),
        ({"kind": "mlp", "colour": "red"}, "colour"),
    ],
)
def test_heads_that_are_refused(head, key):
    (fault,) = task_faults(head=head)
    assert fault.startswith(f"tasks.0.head.{head['kind']}.{key}: ")


def test_defaults_of_an_mlp():
    task = TaskConfig.model_validate({**MOOD, "head": {"kind": "mlp"}})
    assert task.head == MlpHead(
        hidden_size=None, activation=Activation.GELU, dropout=0.1, layer_norm=False, residual=False
    )
