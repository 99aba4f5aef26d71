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
    notes: tuple[str, ...] = field(default=())
    """What the reader should know: rows that were left out, and why."""

    def summaries(self, tasks: Mapping[str, TaskConfig]) -> tuple[DataSummary, ...]:
        """Counts of each split of each data set."""
        train_keys = frozenset(key_of(row) for rows in self.splits["train"] for row in rows)
        return tuple(
            summarize(name, split, rows, train_keys, tasks)
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
    for source in recipe.data:
        try:
            read = {split: _read(source, split, tasks, notes) for split in SPLITS}
        except DataError as error:
            faults.append(str(error))
            continue
        train, validation = read["train"], read["validation"]
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
    return RowSets(tuple(source.name for source in recipe.data), splits, tuple(notes))


def with_labels(tasks: Sequence[TaskConfig], rows: RowSets) -> tuple[TaskConfig, ...]:
    """The tasks with the labels that the training rows have, where none were given.

    Raises:
        DataError: the labels do not do for the kind of task, or other rows have labels that the
            training rows lack.
    """
    return tuple(task if task.labels else _found(task, rows) for task in tasks)


def _read(
    source: DataRecipe, split: str, tasks: Mapping[str, TaskConfig], notes: list[str]
) -> list[LabelledRow]:
    read = read_rows(source, split, tasks)
    for count, what in ((read.without_text, "text"), (read.without_label, "label")):
        if count:
            notes.append(f"{source.name} {split}: {count} rows without {what} were left out")
    return read.rows


def _found(task: TaskConfig, rows: RowSets) -> TaskConfig:
    seen = {split: _labels_of(task, rows.splits[split]) for split in SPLITS}
    if task.kind is TaskKind.TOKEN:
        tags = seen["train"] - {OUTSIDE}
        plain = {tag for tag in tags if split_tag(tag)[1] == tag}
        # Whole pairs: an entity of one word in training may have several in use.
        types = sorted({split_tag(tag)[1] for tag in tags - plain})
        pairs = [f"{prefix}-{kind}" for kind in types for prefix in "BI"]
        labels = (OUTSIDE, *pairs, *sorted(plain))
    else:
        labels = tuple(sorted(seen["train"]))
    for split in ("validation", "test"):
        if unknown := sorted(seen[split] - set(labels)):
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
