"""What a recipe may hold: defaults, bounds, short forms, and what does not fit together."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from twinhead.model.config import ModelConfig, TaskConfig, describe_faults
from twinhead.trainer.recipe import (
    DataRecipe,
    FreezingRecipe,
    LabelColumn,
    LossRecipe,
    ModelRecipe,
    Recipe,
    SamplingRecipe,
    Stage,
    TaskRecipe,
    TrainingRecipe,
)

SECTIONS = [
    TaskRecipe,
    ModelRecipe,
    LabelColumn,
    DataRecipe,
    SamplingRecipe,
    LossRecipe,
    Stage,
    FreezingRecipe,
    TrainingRecipe,
    Recipe,
]
DATA = {"name": "news", "train": "a.csv", "tasks": {"topic": "label"}}
SMALLEST = {"model": {"encoder": "bert", "tasks": [{"name": "topic"}]}, "data": [DATA]}


def faults(section: type[BaseModel], data: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        section.model_validate(data)
    return describe_faults(caught.value)


def test_model_and_data_are_all_that_must_be_there():
    recipe = Recipe.model_validate(SMALLEST)
    assert recipe.sampling == SamplingRecipe()
    assert recipe.freezing.freeze == ()
    assert faults(Recipe, {}) == ["model: Field required", "data: Field required"]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_says_what_it_is(section):
    missing = [name for name, field in section.model_fields.items() if not field.description]
    assert missing == []


@pytest.mark.parametrize("section", SECTIONS)
def test_no_unknown_key_is_ignored_and_nothing_changes_later(section):
    assert section.model_config["extra"] == "forbid"
    assert section.model_config["frozen"]


def test_a_recipe_survives_json():
    full = {
        **SMALLEST,
        "loss": {
            "weighting": "fixed",
            "weights": {"topic": 2},
            "class_weights": {"topic": {"a": 3}, "mood": "balanced"},
        },
        "freezing": {"freeze": ["encoder"], "stages": [{"freeze": ["top:2"], "epoch": 1}]},
    }
    recipe = Recipe.model_validate(full)
    assert Recipe.model_validate(json.loads(recipe.model_dump_json())).loss == recipe.loss
    assert recipe.loss.class_weights == {"topic": {"a": 3.0}, "mood": "balanced"}


# -- tasks --


@pytest.mark.parametrize("kind", ["single_label", "binary", "multi_label", "token"])
def test_labels_may_be_left_to_the_data(kind):
    for given in ({}, {"labels": []}):
        assert TaskRecipe.model_validate({"name": "topic", "kind": kind, **given}).labels == ()


@pytest.mark.parametrize(
    ("kind", "labels", "fault"),
    [
        ("binary", ["a", "b", "c"], "a binary task has two labels (no, yes), not 3"),
        ("single_label", ["a"], "a single_label task needs two labels or more"),
        ("token", ["O"], "a token task needs two labels or more"),
        ("single_label", ["a", "b", "a"], "'a' stands there twice"),
    ],
)
def test_labels_that_are_given_are_checked(kind, labels, fault):
    found = faults(TaskRecipe, {"name": "topic", "kind": kind, "labels": labels})
    assert found == [f"labels: Value error, {fault}"]


def test_a_task_of_a_recipe_may_say_all_that_a_models_may():
    assert set(TaskRecipe.model_fields) == set(TaskConfig.model_fields)
    task = {"name": "topic", "labels": ["a", "b"], "head": {"kind": "mlp"}, "pooling": "cls_mean"}
    dumped = TaskRecipe.model_validate(task).model_dump()
    assert TaskConfig.model_validate(dumped) == TaskConfig.model_validate(task)


# -- the model --


def test_a_model_begins_with_an_encoder_or_a_checkpoint():
    tasks = [{"name": "topic"}]
    assert ModelRecipe.model_validate({"checkpoint": "a"}).tasks == ()
    assert faults(ModelRecipe, {"tasks": tasks}) == [
        "Value error, encoder or checkpoint must be set"
    ]
    assert faults(ModelRecipe, {"encoder": "a"}) == [
        "Value error, no task is set: add [[model.tasks]]"
    ]
    for other in ({"encoder": "a"}, {"tasks": tasks}, {"max_tokens": 9}, {"revision": "main"}):
        (fault,) = faults(ModelRecipe, {"checkpoint": "a", **other})
        assert fault == f"Value error, {next(iter(other))} cannot be set beside checkpoint"


def test_a_model_of_a_recipe_may_say_all_that_a_model_may():
    assert set(ModelRecipe.model_fields) == {*ModelConfig.model_fields, "checkpoint"}


def test_temperatures_are_not_set():
    (fault,) = faults(ModelRecipe, {"encoder": "a", "tasks": [{"name": "a", "temperature": 2}]})
    assert fault == (
        "tasks.0.temperature: Value error, is fitted on validation rows, and cannot be set"
    )


def test_tasks_are_named_once():
    tasks = [{"name": "topic"}, {"name": "mood"}, {"name": "topic"}]
    (fault,) = faults(ModelRecipe, {"encoder": "a", "tasks": tasks})
    assert fault == "tasks: Value error, 'topic' stands there twice"


# -- data --


def test_files_are_one_or_a_list():
    data = DataRecipe.model_validate({**DATA, "validation": ["a.csv", "b.csv"]})
    assert (data.train, data.validation, data.test) == (("a.csv",), ("a.csv", "b.csv"), ())


def test_a_label_is_the_name_of_its_column_or_more():
    tasks = {"topic": "label", "mood": {"column": "m", "map": {"0": "sad"}, "separator": ";"}}
    data = DataRecipe.model_validate({**DATA, "tasks": tasks})
    assert data.tasks["topic"] == LabelColumn(column="label")
    assert data.tasks["mood"].map == {"0": "sad"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"train": []}, "Value error, train must be set"),
        ({"train": ""}, "train.0: String should have at least 1 character"),
        ({"tasks": {}}, "tasks: Dictionary should have at least 1 item after validation, not 0"),
        ({"tasks": {"topic": ""}}, "tasks.topic.column: String should have at least 1 character"),
        ({"validation_share": 0}, "validation_share: Input should be greater than 0"),
        ({"limit": 0}, "limit: Input should be greater than or equal to 1"),
        ({"hub": ""}, "hub: String should have at least 1 character"),
        ({"revision": "v1"}, "Value error, revision is read only beside hub; files have none"),
    ],
)
def test_what_a_data_set_lacks_is_told(change, fault):
    assert faults(DataRecipe, {**DATA, **change}) == [fault]


# -- losses --


@pytest.mark.parametrize(
    ("weights", "fault"),
    [
        ("balance", "class_weights.topic.balanced: Input should be 'balanced'"),
        ({"a": 0}, "class_weights.topic.by_label.a: Input should be greater than 0"),
        (["a"], "class_weights.topic.by_label: Input should be a valid mapping"),
    ],
)
def test_a_fault_of_class_weights_is_told_once(weights, fault):
    (found,) = faults(LossRecipe, {"class_weights": {"topic": weights}})
    assert found.replace("dictionary", "mapping") == fault


# -- freezing --


@pytest.mark.parametrize(
    "rule", ["all", "encoder", "head:topic", "head:a_2", "below:0", "below:12", "top:2"]
)
def test_rules_of_freezing(rule):
    assert FreezingRecipe(freeze=(rule,)).freeze == (rule,)


@pytest.mark.parametrize(
    "rule", ["none", "heads", "head:", "head:Topic", "below", "below:-1", "top:1.5", "top:2 ", ""]
)
def test_what_is_no_rule_is_refused(rule):
    (fault,) = faults(FreezingRecipe, {"freeze": [rule]})
    assert fault.startswith("freeze.0: ")


def stages(*epochs: int | None) -> dict[str, Any]:
    return {"stages": [{"freeze": [], "epoch": epoch} for epoch in epochs]}


@pytest.mark.parametrize("epochs", [(), (1,), (1, 2, 5), (None, None), (1, None)])
def test_stages_follow_each_other(epochs):
    recipe = FreezingRecipe.model_validate(stages(*epochs))
    assert tuple(stage.epoch for stage in recipe.stages) == epochs


@pytest.mark.parametrize("epochs", [(2, 1), (1, 1), (3, None, 2)])
def test_stages_that_go_back_are_refused(epochs):
    (fault,) = faults(FreezingRecipe, stages(*epochs))
    assert fault == "stages: Value error, the stages are not in the order of their epochs"


# -- bounds --


@pytest.mark.parametrize(
    ("section", "key", "lowest", "below"),
    [
        (SamplingRecipe, "batch_size", 1, 0),
        (SamplingRecipe, "accumulate", 1, 0),
        (SamplingRecipe, "temperature", 1, 0.99),
        (LossRecipe, "alpha", 0, -0.01),
        (LossRecipe, "label_smoothing", 0, -0.01),
        (FreezingRecipe, "stalled_after", 1, 0),
        (TrainingRecipe, "epochs", 1, 0),
        (TrainingRecipe, "seed", 0, -1),
        (TrainingRecipe, "learning_rate", 1e-9, 0),
        (TrainingRecipe, "layer_decay", 1e-9, 0),
        (TrainingRecipe, "weight_decay", 0, -0.01),
        (TrainingRecipe, "warmup", 0, -0.01),
        (TrainingRecipe, "clip_norm", 0, -1),
        (TrainingRecipe, "validate_every", 1, 0),
        (TrainingRecipe, "patience", 1, 0),
    ],
)
def test_numbers_have_lower_bounds(section, key, lowest, below):
    assert getattr(section.model_validate({key: lowest}), key) == lowest
    (fault,) = faults(section, {key: below})
    assert fault.startswith(f"{key}: Input should be greater than ")


@pytest.mark.parametrize(
    ("section", "key", "highest", "above"),
    [
        (SamplingRecipe, "accumulate", 1024, 1025),
        (LossRecipe, "alpha", 1, 1.01),
        (LossRecipe, "label_smoothing", 0.99, 1),
        (TrainingRecipe, "seed", 2**31 - 1, 2**31),
        (TrainingRecipe, "learning_rate", 1, 1.01),
        (TrainingRecipe, "layer_decay", 1, 1.01),
        (TrainingRecipe, "warmup", 1, 1.01),
    ],
)
def test_numbers_have_upper_bounds(section, key, highest, above):
    assert getattr(section.model_validate({key: highest}), key) == highest
    (fault,) = faults(section, {key: above})
    assert fault.startswith(f"{key}: Input should be less than ")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    ("section", "key"),
    [
        (TrainingRecipe, "learning_rate"),
        (TrainingRecipe, "clip_norm"),
        (TrainingRecipe, "save_minutes"),
        (FreezingRecipe, "cache_gigabytes"),
    ],
)
def test_what_is_not_finite_is_refused(section, key, number):
    (fault,) = faults(section, {key: number})
    assert fault.startswith(f"{key}: ")
