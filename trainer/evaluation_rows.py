"""The labelled rows that a model is measured on: those of a file, or of a recipe's splits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..model.config import TaskConfig, TaskKind
from .errors import DataError
from .labelled_rows import LabelledRow, columns_of, read_rows
from .recipe import DataRecipe, LabelColumn, Recipe
from .training_data import read_row_sets

# Where labels are looked for when a file has no column of a task's name.
_LABEL = "label"


@dataclass(frozen=True)
class EvaluationSplit:
    """Rows that are measured together."""

    name: str
    """The split of a recipe, or the name of a file."""
    datasets: tuple[str, ...]
    """Names of the data sets."""
    groups: Sequence[Sequence[LabelledRow]]
    """The rows of each data set."""

    @cached_property
    def rows(self) -> list[LabelledRow]:
        """The rows of all data sets, one after the other."""
        return [row for group in self.groups for row in group]

    @cached_property
    def dataset(self) -> NDArray[np.int64]:
        """Index of the data set of each row."""
        return np.repeat(np.arange(len(self.groups)), [len(group) for group in self.groups])


@dataclass(frozen=True)
class EvaluationRows:
    """All rows that a model is measured on."""

    splits: tuple[EvaluationSplit, ...]
    """None of them is empty."""
    notes: tuple[str, ...] = ()
    """What the reader should know: rows that were left out, and why."""

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(len(split.rows) for split in self.splits)


@dataclass(frozen=True)
class FileColumns:
    """What the columns of a file are."""

    text: str = "text"
    words: str | None = None
    """Column with words, in place of `text`; tags of a token task are of words."""
    tasks: Mapping[str, str] = field(default_factory=dict[str, str])
    """Task name to the column with its labels; none: they are looked for."""
    maps: Sequence[str] = ()
    """`value=label` or `task:value=label`: the file's values to the model's labels."""


def rows_of_file(
    file: Path, columns: FileColumns, tasks: Mapping[str, TaskConfig]
) -> EvaluationRows:
    """Read the rows of one file.

    Args:
        file: JSONL, CSV or Parquet.
        columns: where text and labels are. Without tasks, each task is measured of which the file
            has a column of the same name; if there is none, and the model has one task, that by
            the column `label`.
        tasks: the tasks of the model by name.

    Raises:
        DataError: columns that are not there, or rows with faults, naming file and line.
        FileError: the file cannot be read.
    """
    wanted = [columns.words or columns.text, *(columns.tasks.values() or (*tasks, _LABEL))]
    present = columns_of(file, wanted)
    chosen = _chosen_tasks(file, columns, tasks, present)
    for column in (columns.words or columns.text, *chosen.values()):
        if column not in present:
            raise DataError(f"{file} has no column {column!r}; it has {', '.join(present)}")
    for name in chosen:
        if tasks[name].kind is TaskKind.TOKEN and columns.words is None:
            raise DataError(
                f"{name} is a token task: say --words and the column with the words that its tags "
                f"stand for; {file} has {', '.join(present)}"
            )
    maps = _maps(columns.maps, chosen)
    source = DataRecipe(
        name=_name_of(file),
        train=(str(file),),
        text=columns.text,
        words=columns.words,
        tasks={name: LabelColumn(column=at, map=maps[name]) for name, at in chosen.items()},
    )
    read = read_rows(source, "train", tasks)
    notes = read.left_out(file.name)
    if chosen != columns.tasks and _LABEL in chosen.values() and _LABEL not in chosen:
        notes.insert(0, f"the column {_LABEL} of {file.name} was taken for {next(iter(chosen))}")
    if not read.rows:
        raise DataError(f"{file} has no row with a text and a label; " + "; ".join(notes))
    split = EvaluationSplit(file.name, (source.name,), (read.rows,))
    return EvaluationRows((split,), tuple(notes))


def rows_of_recipe(
    recipe: Recipe, splits: Sequence[str], tasks: Mapping[str, TaskConfig]
) -> EvaluationRows:
    """Read splits of all data sets of a recipe; tasks that the model lacks are passed over.

    Rows that training sets apart to validate with, where a data set has no files for that, are
    drawn here as they are drawn there.

    Raises:
        DataError: rows with faults, naming file and line, or none to measure on.
        FileError: a file cannot be read.
    """
    sources: list[DataRecipe] = []
    notes: list[str] = []
    for source in recipe.data:
        known = {name: where for name, where in source.tasks.items() if name in tasks}
        notes += [
            f"{source.name}: the model has no task {name}" for name in source.tasks.keys() - known
        ]
        if known:
            sources.append(source.model_copy(update={"tasks": known}))
    found: list[EvaluationSplit] = []
    for split in splits:
        groups = {source.name: _rows_of(recipe, source, split, tasks, notes) for source in sources}
        groups = {name: rows for name, rows in groups.items() if rows}
        if groups:
            found.append(EvaluationSplit(split, tuple(groups), tuple(groups.values())))
    if not found:
        # Not the notes on rows alone: that no task is known is the likelier reason.
        why = "\n  ".join(["", *dict.fromkeys(notes)])
        raise DataError(f"the recipe has no {' or '.join(splits)} rows to measure on{why}")
    return EvaluationRows(tuple(found), tuple(dict.fromkeys(notes)))


def _rows_of(
    recipe: Recipe,
    source: DataRecipe,
    split: str,
    tasks: Mapping[str, TaskConfig],
    notes: list[str],
) -> Sequence[LabelledRow]:
    if split == "test" or (split == "validation" and source.validation):
        read = read_rows(source, split, tasks)
        notes += read.left_out(f"{source.name} {split}")
        return read.rows
    alone = read_row_sets(recipe.model_copy(update={"data": (source,)}), tasks)
    notes += alone.notes
    return alone.splits[split][0]


def _chosen_tasks(
    file: Path, columns: FileColumns, tasks: Mapping[str, TaskConfig], present: Sequence[str]
) -> Mapping[str, str]:
    for name in columns.tasks:
        if name not in tasks:
            raise DataError(f"the model has no task {name!r}; it has {', '.join(tasks) or 'none'}")
    if columns.tasks:
        return columns.tasks
    if same := {name: name for name in tasks if name in present}:
        return same
    if len(tasks) == 1 and _LABEL in present:
        return dict.fromkeys(tasks, _LABEL)
    raise DataError(
        f"which column of {file} has the labels of which task? Say --task NAME=COLUMN; the columns "
        f"are {', '.join(present)}; the tasks are {', '.join(tasks) or 'none'}"
    )


def _maps(settings: Sequence[str], tasks: Mapping[str, str]) -> Mapping[str, Mapping[str, str]]:
    maps: dict[str, dict[str, str]] = {name: {} for name in tasks}
    for setting in settings:
        value, equals, label = setting.partition("=")
        if not equals:
            raise DataError(f"{setting!r} is not of the form VALUE=LABEL or TASK:VALUE=LABEL")
        name, colon, own = value.partition(":")
        if colon and name in maps:
            maps[name][own] = label
        else:  # a colon may also be part of the value
            for each in maps.values():
                each.setdefault(value, label)
    return maps


def _name_of(file: Path) -> str:
    """A name as data sets have them; it stands in messages, before the file and its line."""
    name = re.sub(r"[^a-z0-9_]", "_", file.name.partition(".")[0].lower())
    return name[:64] if re.match("[a-z]", name) else f"data_{name}"[:64]
