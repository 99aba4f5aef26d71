"""Recipes from TOML: every fault at once with its key, and the settings of the command line."""

import json
import shutil
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from small_bert import TASKS, small_checkpoint
from small_encoders import write_encoder
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import LinearHead, TaskConfig, TaskKind
from twinhead.trainer.errors import RecipeError
from twinhead.trainer.labelled_rows import ReadRows, read_rows
from twinhead.trainer.read_recipe import RECIPES, find_recipe, read_recipe
from twinhead.trainer.recipe import SPLITS, LabelColumn, Recipe

SHIPPED = [
    "bert_cls_mean_binary",
    "bert_cls_ner",
    "bert_mean_alpha",
    "distilbert_alternating",
    "minilm_synchronous",
    "starter",
    "two_labels",
]


@pytest.fixture(autouse=True)
def offline(monkeypatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> str:
    return str(write_encoder(tmp_path_factory.mktemp("encoder"), "bert"))


@pytest.fixture
def toml(tmp_path: Path, encoder: str) -> str:
    """A recipe without faults, with its data beside it."""
    rows = {"text": "a", "label": "x", "spam": "no", "words": ["a"], "tags": ["O"]}
    (tmp_path / "train.jsonl").write_text(json.dumps(rows) + "\n")
    (tmp_path / "more.csv").write_text("text,label\na,y z\n")
    return f"""
[model]
encoder = '{encoder}'

[[model.tasks]]
name = "topic"
labels = ["x", "y z"]

[[model.tasks]]
name = "spam"
kind = "binary"

[[data]]
name = "news"
train = "train.jsonl"
tasks = {{ topic = "label", spam = "spam" }}

[[data]]
name = "more"
train = ["more.csv"]
tasks = {{ topic = "label" }}
"""


@pytest.fixture
def recipe_of(tmp_path: Path, toml: str) -> Callable[..., Recipe]:
    """Read the recipe, with something added to it and settings."""

    def read(*settings: str, added: str = "", folder: Path | None = None) -> Recipe:
        file = tmp_path / "recipe.toml"
        file.write_text(toml + added)
        return read_recipe(file, folder, settings)

    return read


@pytest.fixture
def faults_of(recipe_of: Callable[..., Recipe], tmp_path: Path) -> Callable[..., list[str]]:
    """The faults of the recipe, one a line."""

    def read(*settings: str, added: str = "") -> list[str]:
        with pytest.raises(RecipeError) as caught:
            recipe_of(*settings, added=added)
        first, *lines = str(caught.value).splitlines()
        count = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
        assert first == f"{tmp_path / 'recipe.toml'} has {count}:"
        return [line.strip() for line in lines]

    return read


def told(call: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        call(*arguments)
    return str(caught.value)


# -- what is read --


def test_a_recipe_without_faults_is_read(recipe_of, tmp_path):
    recipe = recipe_of()
    assert [task.name for task in recipe.model.tasks] == ["topic", "spam"]
    assert recipe.data[0].train == (str(tmp_path / "train.jsonl"),)
    assert recipe.training.epochs == 3


def test_paths_start_from_the_recipes_folder_or_the_one_given(recipe_of, tmp_path):
    for name in ("train.jsonl", "more.csv"):
        (tmp_path / "data").mkdir(exist_ok=True)
        shutil.move(tmp_path / name, tmp_path / "data" / name)
    with pytest.raises(RecipeError, match="there is no file"):
        recipe_of()
    recipe = recipe_of(folder=tmp_path / "data")
    assert recipe.data[1].train == (str(tmp_path / "data" / "more.csv"),)


def test_absolute_paths_stay(recipe_of, tmp_path):
    files = [str(tmp_path / "train.jsonl"), str(tmp_path / "more.csv")]
    settings = [f"data.{index}.train={file}" for index, file in enumerate(files)]
    recipe = recipe_of(*settings, folder=tmp_path / "nowhere")
    assert [source.train for source in recipe.data] == [(file,) for file in files]


def test_names_of_splits_of_the_hub_are_no_paths(recipe_of, tmp_path):
    recipe = recipe_of('data=[{name="a",hub="o/n",train="train",tasks={topic="l",spam="s"}}]')
    assert (recipe.data[0].train, recipe.data[0].validation) == (("train",), ())


def test_a_file_that_is_not_there_or_no_toml_is_told(tmp_path):
    file = tmp_path / "recipe.toml"
    assert told(read_recipe, file) == f"{file} cannot be read: No such file or directory"
    file.write_text("[model\n")
    assert told(read_recipe, file).startswith(f"{file} is not valid TOML: ")
    file.write_bytes(b"[model]\nencoder = '\xff'\n")
    assert told(read_recipe, file).startswith(f"{file} is not valid TOML: ")


def test_an_empty_file_lacks_its_sections(tmp_path):
    (tmp_path / "recipe.toml").write_text("")
    assert told(read_recipe, tmp_path / "recipe.toml").splitlines()[1:] == [
        "  model: the section is missing",
        "  data: the section is missing",
    ]


# -- faults --


def test_faults_of_all_sections_are_told_together(faults_of, tmp_path):
    faults = faults_of(
        "model.max_tokens=2",
        "data.news.train=nowhere.jsonl",
        "data.more.limit=0",
        added="""
[sampling]
batch = 3

[loss]
alpha = 2

[freezing]
freeze = ["head:mood"]

[training]
epochs = "three"
seed = -1

[trainings]
epochs = 1
""",
    )
    assert [fault.partition(": ")[0] for fault in faults] == [
        "trainings",
        "model.max_tokens",
        "data.1.limit",
        "sampling.batch",
        "loss.alpha",
        "training.epochs",
        "training.seed",
    ]
    assert faults[0] == "trainings: no such section"
    assert faults[3] == "sampling.batch: Extra inputs are not permitted"


def test_what_stands_between_sound_sections_is_told_beside_faults_of_others(faults_of):
    faults = faults_of(
        added='[freezing]\nfreeze = ["top:9", "head:mood"]\n[training]\nepochs = 0\n'
        '[loss]\nweighting = "fixed"\nweights = { mood = 1 }\n'
    )
    assert faults == [
        "training.epochs: Input should be greater than or equal to 1",
        "freezing.freeze: top:9: the encoder has 2 layers",
        "freezing.freeze: head:mood: the model has no such task, only topic, spam",
        "loss.weights.mood: the model has no such task, only topic, spam",
    ]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        # unknown keys, at every depth
        (["model.encodr=a"], "model.encodr: Extra inputs are not permitted"),
        (["model.tasks.topic.label=x"], "model.tasks.0.label: Extra inputs are not permitted"),
        (["model.tasks.spam.head.kind=mlp", "model.tasks.spam.head.width=3"],
         "model.tasks.1.head.mlp.width: Extra inputs are not permitted"),
        (["data.0.files=a"], "data.0.files: Extra inputs are not permitted"),
        (['data.0.tasks.topic={column="label",sep="|"}'],
         "data.0.tasks.topic.sep: Extra inputs are not permitted"),
        (['freezing.stages=[{freeze=[],epochs=1}]'],
         "freezing.stages.0.epochs: Extra inputs are not permitted"),
        # freezing
        (['freezing.freeze=["below:3"]'], "freezing.freeze: below:3: the encoder has 2 layers"),
        (['freezing.stages=[{freeze=["encoder"]},{freeze=["top:3"]}]'],
         "freezing.stages.1.freeze: top:3: the encoder has 2 layers"),
        (['freezing.stages=[{freeze=["head:tags"]}]'],
         "freezing.stages.0.freeze: head:tags: the model has no such task, only topic, spam"),
        (['freezing.stages=[{freeze=[],epoch=2},{freeze=[],epoch=3}]'],
         "freezing.stages.1.epoch: training has ended by then, as training.epochs is 3"),
        (['freezing.stages=[{freeze=[],epoch=1}]', "training.epochs=1"],
         "freezing.stages.0.epoch: training has ended by then, as training.epochs is 1"),
        (['freezing.stages=[{freeze=[]},{freeze=[],epoch=2}]'],
         "freezing.stages.1.epoch: stage 0 before it has no epoch: it waits until validation "
         "stalls, which may be later than after 2 epochs"),
        # losses
        (["loss.weights={topic=1}"], 'loss.weights: are read only with weighting = "fixed"'),
        (["loss.weights={topic=1}", "loss.weighting=uncertainty"],
         'loss.weights: are read only with weighting = "fixed"'),
        (["loss.class_weights.mood=balanced"],
         "loss.class_weights.mood: the model has no such task, only topic, spam"),
        (["loss.class_weights.topic={x=2,z=1}"],
         "loss.class_weights.topic.z: the task has no such label"),
        (['loss.class_weights.topic={"y z"=-1}'],
         "loss.class_weights.topic.by_label.y z: Input should be greater than 0"),
        (["loss.class_weights.topic=equal"],
         "loss.class_weights.topic.balanced: Input should be 'balanced'"),
        (["model.tasks.topic.kind=multi_label", "loss.class_weights.topic=balanced"],
         "loss.class_weights.topic: balanced is not for multi-label tasks"),
        # labels to choose from
        (['data.0.tasks.topic={column="label",choices=["x"]}'],
         "data.0.tasks.topic.choices: Value error, must be two labels or more, each once"),
        (['data.0.tasks.topic={column="label",choices=["x","x"]}'],
         "data.0.tasks.topic.choices: Value error, must be two labels or more, each once"),
        (['data.0.tasks.topic={column="label",choices=["x","z"]}'],
         "data.0.tasks.topic.choices: topic has no label 'z'"),
        (['data.0.tasks.spam={column="spam",choices=["no","yes"]}'],
         "data.0.tasks.spam.choices: are for single-label tasks, and spam is binary"),
        (["model.tasks.topic.labels=[]", 'data.0.tasks.topic={column="label",choices=["x","z"]}'],
         "data.0.tasks.topic.choices: say the labels of topic, too"),
        (['data.0.tasks.topic={column="label",choices=["x","y z"]}', "loss.label_smoothing=0.1"],
         "data.0.tasks.topic.choices: cannot be had with loss.label_smoothing, which gives each "
         "label a share"),
        # tasks
        (["data.more.tasks.mood=label"],
         "data.1.tasks.mood: the model has no such task, only topic, spam"),
        (['data.0.tasks={topic="label"}'], "model.tasks.1: no data set has labels of spam"),
        (["training.select=mood"],
         "training.select: 'mood' is neither mean nor a task (topic, spam)"),
        (["model.tasks.spam.name=topic"], "model.tasks: Value error, 'topic' stands there twice"),
        (["model.tasks.spam.kind=token"], "data.0.words: must be set, as spam is a token task"),
        # data
        (["data.more.name=news"], "data.1.name: 'news' stands there twice"),
        (["data.more.name=The News"],
         "data.1.name: String should match pattern '^[a-z][a-z0-9_]{0,63}$'"),
        (["data.news.train=[]"], "data.0: Value error, train must be set"),
        (["data.news.revision=v1"],
         "data.0: Value error, revision is read only beside hub; files have none"),
        (["data.news.train=3"], "data.0.train.0: Input should be a valid string"),
        (["data.news.train=2024-01-31"], "data.0.train.0: Input should be a valid string"),
        (['data.news.train=["train.jsonl",3]'], "data.0.train.1: Input should be a valid string"),
        (["data.0.validation_share=1.0"], "data.0.validation_share: Input should be less than 1"),
        # the model
        (["model.encoder="], "model: Value error, encoder or checkpoint must be set"),
        (["model.tasks=[]"], "model: Value error, no task is set: add [[model.tasks]]"),
        (["model.checkpoint=some"], "model: Value error, encoder cannot be set beside checkpoint"),
        (["model.tasks.spam.labels=[1]"], "model.tasks.1.labels.0: Input should be a valid string"),
        (['model.tasks.spam.labels=["a"]'],
         "model.tasks.1.labels: Value error, a binary task has two labels (no, yes), not 1"),
        (["sampling=equal"],
         "sampling: Input should be a valid dictionary or instance of SamplingRecipe"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_key_and_nothing_else_is(faults_of, settings, fault):
    assert faults_of(*settings) == [fault]


@pytest.mark.parametrize("data", ["[]", "{}"])
def test_without_data_sets_there_is_nothing_to_train_with(faults_of, data):
    (fault,) = faults_of(f"data={data}")
    assert fault.startswith("data: ")


def test_alpha_is_for_two_tasks(recipe_of, faults_of):
    assert recipe_of("loss.weighting=alpha").loss.alpha == 0.5
    third = '{name="third"},{name="topic"},{name="spam"}'
    columns = 'data.more.tasks={third="label",topic="label"}'
    assert faults_of("loss.weighting=alpha", f"model.tasks=[{third}]", columns) == [
        "loss.alpha: balances two tasks, but the model has 3"
    ]


def test_labels_that_are_found_in_the_data_are_not_checked_before(recipe_of):
    assert recipe_of("loss.class_weights.spam={maybe=2}").loss.class_weights["spam"] == {"maybe": 2}


def test_an_encoder_that_is_not_found_is_told_with_all_else(recipe_of):
    message = told(recipe_of, "model.encoder=no/such-encoder", "data.more.tasks.mood=label")
    assert "has 2 faults:\n  model.encoder: no encoder 'no/such-encoder' was found; tr" in message
    assert "\n  data.1.tasks.mood: " in message


@pytest.mark.parametrize("config", ["{", "[]"])
def test_an_encoder_whose_config_is_broken_is_told(faults_of, tmp_path, config):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text(config)
    (fault,) = faults_of(f"model.encoder={tmp_path / 'broken'}")
    assert fault.startswith(
        f"model.encoder: {tmp_path / 'broken' / 'config.json'} cannot be read: "
    )


@pytest.mark.parametrize("family", ["distilbert", "modernbert"])
def test_layers_are_counted_whatever_a_family_calls_their_number(faults_of, tmp_path, family):
    folder = write_encoder(tmp_path / family, family)
    layers = 3 if family == "modernbert" else 2
    assert faults_of(f"model.encoder={folder}", 'freezing.freeze=["top:4"]') == [
        f"freezing.freeze: top:4: the encoder has {layers} layers"
    ]


def test_files_and_columns_that_are_not_there_are_told(faults_of, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "rows.txt").write_text("a\n")
    (tmp_path / "odd.csv").write_text("sentence,label\na,x\n")
    here = {name: tmp_path / name for name in ("gone.csv", "empty.jsonl", "rows.txt", "odd.csv")}
    faults = faults_of(
        *(f"data.news.test=[{', '.join(repr(str(path)) for path in here.values())}]",),
        "data.more.words=tokens",
        "data.more.tasks.topic=section",
    )
    odd, train = here["odd.csv"], tmp_path / "more.csv"
    assert faults == [
        f"data.0.test: there is no file {here['gone.csv']}",
        f"data.0.test: {here['empty.jsonl']}: the file is empty",
        f"data.0.test: {here['rows.txt']}: a text file has no labels; it must be JSONL, CSV or "
        "Parquet",
        f"data.0.test: {odd} has no column 'text'; it has sentence, label",
        f"data.0.test: {odd} has no column 'spam'; it has sentence, label",
        f"data.1.train: {train} has no column 'tokens'; it has text, label",
        f"data.1.train: {train} has no column 'section'; it has text, label",
    ]


def test_beside_words_no_text_is_needed(recipe_of, tmp_path):
    (tmp_path / "words.jsonl").write_text('{"words": ["a"], "label": "x"}\n')
    (tmp_path / "recipe.toml").write_text("")
    recipe = recipe_of(f"data.more.train={tmp_path / 'words.jsonl'}", "data.more.words=words")
    assert recipe.data[1].words == "words"


# -- a checkpoint in place of an encoder --


def from_checkpoint(folder: Path, *settings: str) -> Recipe:
    names = [task.name for task in TASKS]
    columns = ", ".join(f'{name} = "{name}"' for name in names)
    (folder / "rows.csv").write_text("text,topic,mood\na,sea,calm\n")
    file = folder / "recipe.toml"
    file.write_text(
        f"[model]\ncheckpoint = '{folder / 'checkpoint'}'\n"
        f'[[data]]\nname = "a"\ntrain = "rows.csv"\ntasks = {{ {columns} }}\n'
    )
    return read_recipe(file, None, settings)


def test_a_checkpoint_stands_alone(tmp_path, encoder):
    fault = told(from_checkpoint, tmp_path)
    assert f"model.checkpoint: {tmp_path / 'checkpoint'} has no twinhead.json" in fault
    small_checkpoint(Path(encoder)).save(tmp_path / "checkpoint")
    assert from_checkpoint(tmp_path).model.checkpoint == str(tmp_path / "checkpoint")
    fault = told(from_checkpoint, tmp_path, "model.max_tokens=12")
    assert "model: Value error, max_tokens cannot be set beside checkpoint" in fault


def test_the_tasks_and_layers_of_a_checkpoint_are_checked(tmp_path, encoder):
    multi = TaskConfig(name="flags", kind=TaskKind.MULTI_LABEL, labels=("p", "q"))
    tags = TaskConfig(name="tags", kind=TaskKind.TOKEN, labels=("O", "X"))
    small_checkpoint(Path(encoder), (*TASKS, multi, tags)).save(tmp_path / "checkpoint")
    found = told(
        from_checkpoint,
        tmp_path,
        "data.a.tasks.colour=topic",
        "data.a.tasks.tags=topic",
        'freezing.freeze=["top:3", "head:color"]',
        'freezing.stages=[{freeze=["below:9"]}]',
        "loss.weighting=alpha",
        'loss.class_weights={ topic = { swamp = 2 }, mood = "balanced", flags = "balanced" }',
        "training.select=mud",
    )
    listed = "topic, mood, flags, tags"
    assert [line.strip() for line in found.splitlines()[1:]] == [
        "freezing.freeze: top:3: the encoder has 2 layers",
        "freezing.stages.0.freeze: below:9: the encoder has 2 layers",
        f"data.0.tasks.colour: the model has no such task, only {listed}",
        "data.0.words: must be set, as tags is a token task",
        f"freezing.freeze: head:color: the model has no such task, only {listed}",
        "loss.alpha: balances two tasks, but the model has 4",
        "loss.class_weights.topic.swamp: the task has no such label",
        "loss.class_weights.flags: balanced is not for multi-label tasks",
        f"training.select: 'mud' is neither mean nor a task ({listed})",
    ]


def test_a_checkpoint_needs_no_rows_of_its_other_tasks(tmp_path, encoder):
    small_checkpoint(Path(encoder)).save(tmp_path / "checkpoint")
    recipe = from_checkpoint(tmp_path, 'data.a.tasks={ mood = "mood" }')
    assert list(recipe.data[0].tasks) == ["mood"]


def test_the_layers_of_a_checkpoint_are_those_of_its_base_or_named_encoder(tmp_path, encoder):
    top = 'freezing.freeze=["top:3"]'
    fault = "freezing.freeze: top:3: the encoder has 2 layers"
    whole = small_checkpoint(Path(encoder))
    whole.save_delta(tmp_path / "checkpoint")
    assert fault in told(from_checkpoint, tmp_path, top)
    shutil.rmtree(tmp_path / "checkpoint")
    whole.save(tmp_path / "base")
    base = Checkpoint.load(tmp_path / "base")
    small_checkpoint(Path(encoder), seed=1).save_delta(tmp_path / "checkpoint", base)
    assert fault in told(from_checkpoint, tmp_path, top)
    # A base that is elsewhere, or leads back: nothing is known of the layers, all else is told.
    shutil.rmtree(tmp_path / "base")
    found = told(from_checkpoint, tmp_path, top, "training.select=mud")
    assert found.splitlines()[1:] == [
        "  training.select: 'mud' is neither mean nor a task (topic, mood)"
    ]
    shutil.copytree(tmp_path / "checkpoint", tmp_path / "base")
    described = json.loads((tmp_path / "base" / "twinhead.json").read_text())
    described["base"]["path"] = "../checkpoint"
    (tmp_path / "base" / "twinhead.json").write_text(json.dumps(described))
    assert from_checkpoint(tmp_path, top).freezing.freeze == ("top:3",)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"format_version": 9}, "has format version 9"),
        ({"model": {"encoder": "a", "max_tokens": 1}}, "model: max_tokens: Input should be"),
        ({"model": None}, "model: Input should be a valid dictionary"),
    ],
)
def test_a_checkpoint_whose_description_will_not_do_is_told_with_all_else(
    tmp_path, encoder, change, fault
):
    small_checkpoint(Path(encoder)).save(tmp_path / "checkpoint")
    file = tmp_path / "checkpoint" / "twinhead.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    lines = told(from_checkpoint, tmp_path, "training.epochs=0").splitlines()[1:]
    assert lines[0].startswith("  training.epochs: ")
    assert lines[1].startswith(f"  model.checkpoint: {file}")
    assert fault in lines[1]
    assert len(lines) == 2


# -- settings --


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("training.epochs=7", 7),
        ("training.learning_rate = 2e-4", 2e-4),
        (" training.precision=bf16", "bf16"),
        ('training.precision="bf16"', "bf16"),
        ("freezing.cache=false", False),
        ('freezing.freeze=["top:1", "head:spam"]', ("top:1", "head:spam")),
        ("sampling.policy=equal", "equal"),
        ("loss.class_weights.topic=balanced", "balanced"),
        ('loss.class_weights.topic.x="3"', 3),
        ("model.tasks.topic.pooling=cls", "cls"),
        ("model.tasks.1.pooling=max", "max"),
        ('model.tasks.topic.labels=["Culture", "Science"]', ("Culture", "Science")),
        ('model.tasks.topic.head={kind="linear", dropout=0.25}', LinearHead(dropout=0.25)),
        ("data.news.limit=500", 500),
        ("data.1.limit=500", 500),
        ("data.news.tasks.topic=label", LabelColumn(column="label")),
        ("data.more.tasks.spam.column=label", LabelColumn(column="label")),
    ],
)
def test_settings_replace_and_add_keys(recipe_of, setting, value):
    found: Any = recipe_of(setting)
    key = setting.partition("=")[0].strip().removesuffix(".column")
    for name in key.split("."):
        if isinstance(found, tuple):
            found = next(item for n, item in enumerate(found) if name in (str(n), item.name))
        else:
            found = found[name] if isinstance(found, Mapping) else getattr(found, name)
    assert found == value


def test_settings_are_taken_in_their_order(recipe_of):
    assert recipe_of("training.epochs=1", "training.epochs=2").training.epochs == 2


def test_a_value_may_hold_equals_signs_and_be_no_toml(recipe_of, tmp_path):
    (tmp_path / "a=b#c.csv").write_text("text,label\na,x\n")
    recipe = recipe_of(f"data.more.train={tmp_path / 'a=b#c.csv'}")
    assert recipe.data[1].train == (str(tmp_path / "a=b#c.csv"),)


def test_paths_in_settings_start_from_the_current_folder(recipe_of, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    for name in ("one.csv", "two.csv"):
        (here / name).write_text("text,label\na,x\n")
    monkeypatch.chdir(here)
    recipe = recipe_of(
        "data.more.train=one.csv",
        'data.more.validation=["one.csv", "two.csv"]',
        "data.1.test=two.csv",
        "data.news.validation=[]",
    )
    more = recipe.data[1]
    assert more.train == (str(here / "one.csv"),)
    assert more.validation == (str(here / "one.csv"), str(here / "two.csv"))
    assert more.test == (str(here / "two.csv"),)
    assert recipe.data[0].validation == ()


@pytest.mark.parametrize("hub_first", [True, False])
def test_splits_of_the_hub_in_settings_are_no_paths(recipe_of, hub_first):
    settings = ["data.more.hub=owner/name", "data.more.train=train"]
    recipe = recipe_of(*(settings if hub_first else settings[::-1]))
    assert recipe.data[1].train == ("train",)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.epochs", "'training.epochs' is not of the form section.key=value"),
        ("=3", "'=3' is not of the form section.key=value"),
        ("training.=3", "'training.=3' is not of the form section.key=value"),
        ("data.train=a", "'data.train=a': say which item, by its number or name"),
        ("data.2.train=a", "'data.2.train=a': there is no item 2"),
        ("data.reviews.train=a", "'data.reviews.train=a': there is no item reviews"),
        ("model.encoder.name=a", "'model.encoder.name=a': encoder has no keys"),
    ],
)
def test_a_setting_that_fits_nowhere_is_told(recipe_of, setting, message):
    assert told(recipe_of, setting) == message


# -- the recipes that are shipped --


def test_a_recipe_is_found_by_file_and_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_recipe("starter") == RECIPES / "starter.toml"
    Path("starter").write_text("")
    assert find_recipe("starter") == Path("starter")
    message = told(find_recipe, "startr")
    assert message == (
        f"there is no file startr, and no recipe of that name; there are {', '.join(SHIPPED)}"
    )
    Path("rows.csv.gz").write_text("")
    assert told(find_recipe, "rows.csv.gz").startswith("rows.csv.gz holds rows; what is needed is ")


def test_the_list_of_recipes_is_complete():
    assert sorted(file.stem for file in RECIPES.glob("*.toml")) == SHIPPED
    described = (RECIPES / "README.md").read_text()
    assert [name for name in SHIPPED if f"`{name}`" not in described] == []


@pytest.fixture(scope="session")
def deep_encoder(tmp_path_factory) -> str:
    """As many layers as the largest encoder of the recipes, as far as a recipe's check looks."""
    folder = tmp_path_factory.mktemp("deep")
    (folder / "config.json").write_text('{"num_hidden_layers": 6}')
    return str(folder)


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "starter"])
def test_a_shipped_recipe_has_no_faults_and_rows_of_every_label(name, deep_encoder):
    recipe = read_recipe(find_recipe(name), None, [f"model.encoder={deep_encoder}"])
    tasks = {task.name: task for task in recipe.model.tasks}
    for source in recipe.data:
        assert set(source.tasks) <= set(tasks)
        read = {split: read_rows(source, split, tasks) for split in SPLITS}
        for split in ("train", "validation") if source.validation else ("train",):
            assert (read[split].without_text, read[split].without_label) == (0, 0)
            for name in source.tasks:
                assert labels_of(read[split], name) == set(tasks[name].labels), split


def labels_of(read: ReadRows, task: str) -> set[str]:
    found = [row.labels[task] for row in read.rows if task in row.labels]
    return {part for label in found for part in ([label] if isinstance(label, str) else label)}


def test_the_starters_recipe_reads_data_that_lies_elsewhere(tmp_path, deep_encoder):
    settings = [f"model.encoder={deep_encoder}", "data.news.limit=2000"]
    assert "there is no file" in told(read_recipe, find_recipe("starter"), tmp_path, settings)
    tables = tomllib.loads(find_recipe("starter").read_text())
    for source in tables["data"]:
        for split in ("train", "validation"):
            file = tmp_path / source[split]
            file.parent.mkdir(exist_ok=True)
            file.write_text('{"text": "a", "label": "positive", "sentiment": "positive"}\n')
    recipe = read_recipe(find_recipe("starter"), tmp_path, settings)
    assert recipe.data[0].train == (str(tmp_path / "ag_news_clean/train.jsonl"),)
    assert recipe.data[0].limit == 2000


def test_the_readmes_example_of_ones_own_data_works(tmp_path, monkeypatch, deep_encoder):
    monkeypatch.chdir(tmp_path)
    Path("news.csv").write_text("headline,section\na,Culture\n")
    Path("opinions.csv").write_text("text,label\na,Positive\n")
    recipe = read_recipe(
        find_recipe("minilm_synchronous"),
        tmp_path,
        [
            f"model.encoder={deep_encoder}",
            "data.topics.train=news.csv",
            "data.topics.validation=[]",
            "data.topics.text=headline",
            "data.topics.tasks.topic=section",
            'model.tasks.topic.labels=["Culture", "Science"]',
            "data.sentiments.train=opinions.csv",
            "data.sentiments.validation=[]",
        ],
    )
    assert recipe.data[0].train == (str(tmp_path / "news.csv"),)
    assert recipe.model.tasks[0].labels == ("Culture", "Science")
