"""Recipes from TOML, with every fault told at once."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..client.errors import FileError
from ..client.files.file_formats import INPUT_FORMATS, format_of
from ..model.checkpoint import read_description
from ..model.config import ModelConfig, TaskConfig, TaskKind
from ..model.encoder import find_encoder
from ..model.errors import CheckpointError, ConfigError, EncoderNotFoundError, ModelError
from .errors import RecipeError
from .labelled_rows import columns_of
from .recipe import SPLITS, DataRecipe, LabelColumn, ModelRecipe, Recipe, Weighting

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class _Start:
    """What is known of the model to begin with, before it is loaded."""

    tasks: Mapping[str, TaskConfig]
    """The tasks by name; those of an encoder's recipe may have no labels yet."""
    layers: int | None
    """Of the encoder; None where that cannot be told."""
    trained: bool
    """Whether its heads are: it is a checkpoint."""


def find_recipe(name: str) -> Path:
    """A recipe's file, or the one of that name that Twinhead brings along.

    Raises:
        RecipeError: there is neither, or it is a file of rows.
    """
    if Path(name).is_file():
        if format_of(name) in INPUT_FORMATS:
            raise RecipeError(
                f"{name} holds rows; what is needed is a recipe that names it. One to copy is "
                f"{RECIPES / 'two_labels.toml'}"
            )
        return Path(name)
    shipped = {file.stem: file for file in sorted(RECIPES.glob("*.toml"))}
    if name in shipped:
        return shipped[name]
    raise RecipeError(
        f"there is no file {name}, and no recipe of that name; there are {', '.join(shipped)}"
    )


def read_recipe(file: Path, folder: Path | None = None, settings: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe, the data files' columns included.

    Args:
        file: the TOML file.
        folder: what the paths of data files start from; None for the recipe's own folder. A
            relative folder of an encoder or checkpoint starts from the current one, as a name of
            the Hub looks the same.
        settings: `key=value` pairs that replace what the file says, such as `training.epochs=1`;
            values are TOML, or else text. Paths in them start from the current folder.

    Raises:
        RecipeError: naming every fault with its key.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file} is not valid TOML: {error}") from error
    for setting in settings:
        _apply(tables, setting)
    # After all of them: one may say that a data set comes from the Hub.
    for setting in settings:
        _start_paths_here(tables, setting)

    # Section by section: those without a fault are looked at together although others have some.
    sections: dict[str, Any] = {}
    faults = [f"{key}: no such section" for key in tables if key not in Recipe.model_fields]
    for name, field in Recipe.model_fields.items():
        if name not in tables:
            if field.is_required():
                faults.append(f"{name}: the section is missing")
            else:
                sections[name] = field.default
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
        try:
            sections[name] = adapter.validate_python(tables[name])
        except ValidationError as error:
            faults += _lines(name, error)
    start = folder or file.parent
    model = _find_start(sections["model"], faults) if "model" in sections else None
    if model is not None and "freezing" in sections:
        faults += _faults_of_layers(sections, model.layers)
    faults += _faults_of_data(sections, start)
    if model is not None:
        faults += _faults_between(sections, model)
    faults += _faults_of_stages(sections)
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise RecipeError(f"{file} has {count}:\n" + "\n".join(f"  {fault}" for fault in faults))
    return _resolved(Recipe(**sections), start)


def _lines(section: str, error: ValidationError) -> Iterator[str]:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    for fault in faults:
        place = fault["loc"]
        inside = [other for other in faults if other["loc"][: len(place)] == place]
        if fault["type"] == "too_short" and len(inside) > 1:
            continue  # pydantic counts only the items without a fault
        key = ".".join(str(part) for part in (section, *place))
        yield f"{key}: {fault['msg']}"


def _apply(tables: dict[str, Any], setting: str) -> None:
    key, equals, value = setting.partition("=")
    *parents, last = key.strip().split(".")
    if not equals or not last:
        raise RecipeError(f"{setting!r} is not of the form section.key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    table = _table_of(tables, parents, setting)
    if isinstance(table, list):
        raise RecipeError(f"{setting!r}: say which item, by its number or name")
    table[last] = parsed


def _start_paths_here(tables: dict[str, Any], setting: str) -> None:
    """Typed on a command line, a path starts where the command does."""
    *parents, last = setting.partition("=")[0].strip().split(".")
    if len(parents) != 2 or parents[0] != "data" or last not in SPLITS:
        return
    source = _table_of(tables, parents, setting)
    if "hub" not in source and last in source:
        files = source[last]
        several: list[Any] = files if isinstance(files, list) else [files]
        source[last] = [
            str(Path(file).absolute()) if isinstance(file, str) else file for file in several
        ]


def _table_of(tables: dict[str, Any], parents: Sequence[str], setting: str) -> Any:
    table: Any = tables
    for name in parents:
        if isinstance(table, list):
            table = _item(table, name, setting)
        else:
            table = table.setdefault(name, {})
        if not isinstance(table, dict | list):
            raise RecipeError(f"{setting!r}: {name} has no keys")
    return table


def _item(items: list[Any], name: str, setting: str) -> Any:
    for index, item in enumerate(items):
        if name == str(index) or (isinstance(item, dict) and item.get("name") == name):
            return item
    raise RecipeError(f"{setting!r}: there is no item {name}")


def _find_start(model: ModelRecipe, faults: list[str]) -> _Start | None:
    """The model to begin with, and into `faults` what is wrong with it; None where all is."""
    if model.checkpoint is not None:
        return _find_checkpoint(Path(model.checkpoint), faults)
    layers = None
    try:
        encoder = find_encoder(model.encoder, model.revision)
        try:
            layers = _layers_of(encoder)
        except (OSError, ValueError, AttributeError) as error:
            faults.append(f"model.encoder: {encoder / 'config.json'} cannot be read: {error}")
    except EncoderNotFoundError as error:
        faults.append(f"model.encoder: {error}")
    return _Start({task.name: task for task in model.tasks}, layers, trained=False)


def _find_checkpoint(folder: Path, faults: list[str]) -> _Start | None:
    if not (folder / "twinhead.json").is_file():
        faults.append(f"model.checkpoint: {folder} has no twinhead.json")
        return None
    try:
        config = ModelConfig.parse(read_description(folder)["model"])
    except CheckpointError as error:
        faults.append(f"model.checkpoint: {error}")
        return None
    except ConfigError as error:
        described = folder / "twinhead.json"
        faults += [f"model.checkpoint: {described}, model: {line}" for line in _split(error)]
        return None
    try:
        layers = _layers_of(_encoder_of(folder))
    except (ModelError, OSError, ValueError, AttributeError):
        layers = None  # a base that is elsewhere, for example: loading will tell
    return _Start({task.name: task for task in config.tasks}, layers, trained=True)


def _split(error: Exception) -> list[str]:
    return str(error).splitlines()


def _encoder_of(checkpoint: Path) -> Path:
    """The folder with the settings of a checkpoint's encoder, which may be that of its base.

    Raises:
        ModelError: it cannot be told.
    """
    seen: set[Path] = set()
    description = read_description(checkpoint)
    while description["base"] is not None:
        checkpoint = (checkpoint / description["base"]["path"]).resolve()
        if checkpoint in seen:
            raise CheckpointError(f"the base leads back to {checkpoint}")
        seen.add(checkpoint)
        description = read_description(checkpoint)
    if (checkpoint / "config.json").is_file():
        return checkpoint
    config = ModelConfig.parse(description["model"])
    return find_encoder(config.encoder, config.revision)


def _layers_of(encoder: Path) -> int | None:
    config = json.loads((encoder / "config.json").read_text(encoding="utf-8"))
    return config.get("num_hidden_layers", config.get("n_layers"))


def _faults_of_layers(sections: Mapping[str, Any], layers: int | None) -> Iterator[str]:
    for key, rules in _freezing_rules(sections):
        for rule in rules:
            kind, _, number = rule.partition(":")
            if layers is not None and kind in ("below", "top") and int(number) > layers:
                yield f"{key}: {rule}: the encoder has {layers} layers"


def _freezing_rules(sections: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    freezing = sections["freezing"]
    yield "freezing.freeze", freezing.freeze
    for index, stage in enumerate(freezing.stages):
        yield f"freezing.stages.{index}.freeze", stage.freeze


def _faults_of_data(sections: Mapping[str, Any], folder: Path) -> Iterator[str]:
    data: Sequence[DataRecipe] = sections.get("data", ())
    names = [source.name for source in data]
    for index, source in enumerate(data):
        if source.name in names[:index]:
            yield f"data.{index}.name: {source.name!r} stands there twice"
        if source.hub is not None:
            continue
        for split in SPLITS:
            for file in getattr(source, split):
                for fault in _faults_of_file(source, folder / file):
                    yield f"data.{index}.{split}: {fault}"


def _faults_of_file(source: DataRecipe, file: Path) -> Iterator[str]:
    if not file.is_file():
        yield f"there is no file {file}"
        return
    wanted = [source.words or source.text, *(labels.column for labels in source.tasks.values())]
    try:
        columns = columns_of(file, wanted)
    except FileError as error:
        yield str(error)
        return
    for column in wanted:
        if column not in columns:
            yield f"{file} has no column {column!r}; it has {', '.join(columns)}"


def _faults_between(sections: Mapping[str, Any], model: _Start) -> Iterator[str]:
    """What fits only together: task names, labels and weights."""
    tasks = model.tasks
    listed = ", ".join(tasks) or "none"
    data: Sequence[DataRecipe] | None = sections.get("data")
    smoothed = "loss" in sections and sections["loss"].label_smoothing > 0
    for index, source in enumerate(data or ()):
        for name in source.tasks:
            if name not in tasks:
                yield f"data.{index}.tasks.{name}: the model has no such task, only {listed}"
            elif tasks[name].kind is TaskKind.TOKEN and source.words is None:
                yield f"data.{index}.words: must be set, as {name} is a token task"
            else:
                yield from (
                    f"data.{index}.tasks.{name}.choices: {fault}"
                    for fault in _faults_of_choices(source.tasks[name], tasks[name], smoothed)
                )
    if data is not None and not model.trained:
        fed = {name for source in data for name in source.tasks}
        for index, name in enumerate(tasks):
            if name not in fed:
                yield f"model.tasks.{index}: no data set has labels of {name}"
    if "freezing" in sections:
        for key, rules in _freezing_rules(sections):
            for rule in rules:
                kind, _, name = rule.partition(":")
                if kind == "head" and name not in tasks:
                    yield f"{key}: {rule}: the model has no such task, only {listed}"
    if "loss" in sections:
        yield from _faults_of_loss(sections["loss"], tasks, listed)
    if "training" in sections and (select := sections["training"].select) not in ("mean", *tasks):
        yield f"training.select: {select!r} is neither mean nor a task ({listed})"


def _faults_of_choices(column: LabelColumn, task: TaskConfig, smoothed: bool) -> Iterator[str]:
    if not column.choices:
        return
    if task.kind is not TaskKind.SINGLE_LABEL:
        yield f"are for single-label tasks, and {task.name} is {task.kind}"
    elif not task.labels:
        yield f"say the labels of {task.name}, too"
    else:
        unknown = [label for label in column.choices if label not in task.labels]
        yield from (f"{task.name} has no label {label!r}" for label in unknown)
    if smoothed:
        yield "cannot be had with loss.label_smoothing, which gives each label a share"


def _faults_of_stages(sections: Mapping[str, Any]) -> Iterator[str]:
    """Stages that could never begin, or not when they should."""
    if "freezing" not in sections:
        return
    waiting = None
    for index, stage in enumerate(sections["freezing"].stages):
        key = f"freezing.stages.{index}.epoch"
        if stage.epoch is None:
            waiting = index
            continue
        if waiting is not None:
            yield (
                f"{key}: stage {waiting} before it has no epoch: it waits until validation stalls, "
                f"which may be later than after {stage.epoch} epochs"
            )
        if "training" in sections and stage.epoch >= (epochs := sections["training"].epochs):
            yield f"{key}: training has ended by then, as training.epochs is {epochs}"


def _faults_of_loss(loss: Any, tasks: Mapping[str, TaskConfig], listed: str) -> Iterator[str]:
    if loss.weighting is Weighting.ALPHA and len(tasks) != 2:
        yield f"loss.alpha: balances two tasks, but the model has {len(tasks)}"
    if loss.weights and loss.weighting is not Weighting.FIXED:
        yield 'loss.weights: are read only with weighting = "fixed"'
    for key in ("weights", "class_weights"):
        for name in getattr(loss, key):
            if name not in tasks:
                yield f"loss.{key}.{name}: the model has no such task, only {listed}"
    for name, weights in loss.class_weights.items():
        task = tasks.get(name)
        if task is None:
            continue
        if isinstance(weights, str):
            if task.kind is TaskKind.MULTI_LABEL:
                yield f"loss.class_weights.{name}: balanced is not for multi-label tasks"
            continue
        for label in weights:
            if task.labels and label not in task.labels:
                yield f"loss.class_weights.{name}.{label}: the task has no such label"


def _resolved(recipe: Recipe, folder: Path) -> Recipe:
    """With the paths of its files as they are from here."""

    def resolve(source: DataRecipe) -> DataRecipe:
        if source.hub is not None:
            return source
        paths = {
            split: tuple(str(folder / file) for file in getattr(source, split)) for split in SPLITS
        }
        return source.model_copy(update=paths)

    return recipe.model_copy(update={"data": tuple(resolve(source) for source in recipe.data)})
