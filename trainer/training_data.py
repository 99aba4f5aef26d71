"""All data of a recipe: read, split, checked, and turned into numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..model.config import TaskConfig, TaskKind
from ..model.entity_tags import OUTSIDE, split_tag
from ..model.tokenizer import Tokenizer
from .data_split import draw_rows, key_of, split_rows, summarize
from .encoded_rows import EncodedRows, encode_rows
from .errors import DataError
from .labelled_rows import LabelledRow, read_rows
from .recipe import SPLITS, DataRecipe, Recipe
from .run_summary import DataSummary


@dataclass(frozen=True)
class RowSets:
    """The rows of all data sets, before they are numbers."""

    names: tuple[str, ...]
    """Names of the data sets."""
    splits: Mapping[str, Sequence[Sequence[LabelledRow]]]
    """Split to the rows of each data set."""
    labels: Mapping[str, frozenset[str]]
    """Of the tasks whose labels were not given, those (or the tags) that the rows of the training
    files have, whether they are trained on, set apart to validate with, or beyond a limit."""
    notes: tuple[str, ...] = field(default=())
    """What the reader should know: rows that were left out, and why."""

    def summaries(self, tasks: Mapping[str, TaskConfig]) -> tuple[DataSummary, ...]:
        """Counts of each split of each data set."""
        keys = {
            split: frozenset(key_of(row) for rows in self.splits[split] for row in rows)
            for split in ("train", "validation")
        }
        seen = {**keys, "validation": keys["train"], "test": keys["train"] | keys["validation"]}
        return tuple(
            summarize(name, split, rows, seen[split], tasks)
            for split in SPLITS
            for name, rows in zip(self.names, self.splits[split], strict=True)
            if rows
        )

    def encode(self, tasks: Sequence[TaskConfig], tokenizer: Tokenizer) -> dict[str, EncodedRows]:
        """Each split as numbers."""
        return {split: encode_rows(self.splits[split], tasks, tokenizer) for split in SPLITS}


def read_row_sets(recipe: Recipe, tasks: Mapping[str, TaskConfig]) -> RowSets:
    """Read every data set; where one has no validation rows, training rows are set apart.

    Raises:
        DataError: rows with faults; those of all data sets are told together.
        FileError: a file cannot be read.
    """
    splits: dict[str, list[list[LabelledRow]]] = {split: [] for split in SPLITS}
    notes: list[str] = []
    faults: list[str] = []
    labels = {name: set[str]() for name, task in tasks.items() if not task.labels}
    for source in recipe.data:
        try:
            read = {split: _read(source, split, tasks, notes) for split in SPLITS}
        except DataError as error:
            faults.append(str(error))
            continue
        train, validation = read["train"], read["validation"]
        for name in labels.keys() & source.tasks.keys():
            labels[name] |= _labels_of(tasks[name], [train])
        seed = recipe.training.seed
        if not source.validation:
            train, validation = split_rows(train, source.validation_share, seed)
            notes.append(
                f"{source.name}: {len(validation)} of {len(validation) + len(train)} rows were set "
                f"apart to validate with (seed {seed})"
            )
        train = draw_rows(train, source.limit, seed)
        for split, rows in zip(SPLITS, (train, validation, read["test"]), strict=True):
            if not rows and split != "test":
                faults.append(f"data set {source.name} has no {split} rows")
            splits[split].append(rows)
    if faults:
        raise DataError("\n".join(faults))
    for name, found in labels.items():
        if untaught := sorted(found - _labels_of(tasks[name], splits["train"])):
            more = f" (and {len(untaught) - 1:,} more)" if len(untaught) > 1 else ""
            notes.append(
                f"{name}: no row that is trained on has the label {untaught[0]!r}{more}: those "
                "that have it were set apart, or are beyond the limit"
            )
    return RowSets(
        tuple(source.name for source in recipe.data),
        splits,
        {name: frozenset(found) for name, found in labels.items()},
        tuple(notes),
    )


def truncation_notes(splits: Mapping[str, EncodedRows], max_tokens: int) -> tuple[str, ...]:
    """A sentence for each split with rows that are longer than what is read of them."""
    return tuple(
        f"{split}: {rows.truncated:,} of {len(rows):,} rows "
        f"{'is' if rows.truncated == 1 else 'are'} longer than {max_tokens:,} tokens and "
        f"{'is' if rows.truncated == 1 else 'are'} read only so far"
        for split, rows in splits.items()
        if rows.truncated
    )


def with_labels(tasks: Sequence[TaskConfig], rows: RowSets) -> tuple[TaskConfig, ...]:
    """The tasks with the labels that the training files have, where none were given.

    Raises:
        DataError: the labels do not do for the kind of task, or the files to validate or test with
            have labels that those lack.
    """
    return tuple(task if task.labels else _found(task, rows) for task in tasks)


def _read(
    source: DataRecipe, split: str, tasks: Mapping[str, TaskConfig], notes: list[str]
) -> list[LabelledRow]:
    read = read_rows(source, split, tasks)
    notes += read.left_out(f"{source.name} {split}")
    return read.rows


def _found(task: TaskConfig, rows: RowSets) -> TaskConfig:
    found = rows.labels[task.name]
    if task.kind is TaskKind.TOKEN:
        tags = found - {OUTSIDE}
        plain = {tag for tag in tags if split_tag(tag)[1] == tag}
        # Whole pairs: an entity of one word in training may have several in use.
        types = sorted({split_tag(tag)[1] for tag in tags - plain})
        pairs = [f"{prefix}-{kind}" for kind in types for prefix in "BI"]
        labels = (OUTSIDE, *pairs, *sorted(plain))
    else:
        labels = tuple(sorted(found))
    for split in ("validation", "test"):
        if unknown := sorted(_labels_of(task, rows.splits[split]) - set(labels)):
            raise DataError(
                f"{task.name}: {split} rows have the label {unknown[0]!r}, which no training row "
                "has; give the labels in the recipe"
            )
    try:
        return TaskConfig.model_validate({**task.model_dump(), "labels": labels})
    except ValueError as error:
        listed = ", ".join(map(repr, labels[:12])) or "none"
        raise DataError(
            f"{task.name}: the labels that the training rows have ({listed}) do not fit a "
            f"{task.kind} task"
        ) from error


def _labels_of(task: TaskConfig, groups: Sequence[Sequence[LabelledRow]]) -> set[str]:
    found: set[str] = set()
    for group in groups:
        for row in group:
            label = row.labels.get(task.name)
            if label is not None:
                found.update((label,) if isinstance(label, str) else label)
    return found
