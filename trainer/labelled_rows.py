"""Rows with labels, from files (through the labeller's readers) or from the Hugging Face Hub."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..client.errors import FileError
from ..client.files.file_formats import format_of
from ..client.files.file_reader import NO_COLUMN
from ..client.files.row_reader import open_reader
from ..model.config import TaskConfig, TaskKind
from ..model.entity_tags import OUTSIDE, split_tag, to_iob2
from ..model.words import Span
from .errors import DataError
from .recipe import DataRecipe, LabelColumn

# Faults of rows that are told; a wrong column makes every row one.
_MAX_FAULTS = 20
_SHOWN_LABELS = 12
_FORMATS = ("jsonl", "csv", "parquet")

Label = str | tuple[str, ...]
"""A label, the labels of a multi-label row, or the IOB2 tags of the words."""


@dataclass(frozen=True)
class LabelledRow:
    """One text and what is known about it."""

    text: str
    labels: Mapping[str, Label]
    """Task name to label; tasks without a label on this row are not in it."""
    origin: str
    """File and line, for people."""
    words: tuple[Span, ...] = ()
    """Where the words are that tags stand for; of rows with a token task only."""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Task name to the labels that it could have been given, where these are not all."""


@dataclass(frozen=True)
class ReadRows:
    """The rows of one split of one data set."""

    rows: list[LabelledRow]
    without_text: int
    """Rows that were left out because they have no text."""
    without_label: int
    """Rows that were left out because they have no label of any task."""

    def left_out(self, where: str) -> list[str]:
        """What the reader should know of the rows that are not there."""
        counts = ((self.without_text, "text"), (self.without_label, "label"))
        return [
            f"{where}: {count} rows without {what} were left out" for count, what in counts if count
        ]


def columns_of(file: Path, wanted: Iterable[str]) -> list[str]:
    """Names of the columns of a file; of JSON lines those found until all `wanted` were.

    Raises:
        FileError: the file cannot be read.
    """
    missing = set(wanted)
    found: dict[str, None] = {}
    with _open(file) as reader:
        if reader.columns is not None:
            return [name.strip() for name in reader.columns]
        for batch in reader.batches():
            for row in batch.as_dicts():
                found.update(dict.fromkeys(row))
            if missing <= found.keys():
                break
    return list(found)


def read_rows(source: DataRecipe, split: str, tasks: Mapping[str, TaskConfig]) -> ReadRows:
    """Read a split of a data set.

    Args:
        source: the data set.
        split: train, validation or test.
        tasks: all tasks of the model by name; one without labels takes whatever there is.

    Raises:
        DataError: naming file and line of the rows with faults, up to 20 of them.
        FileError: a file cannot be read.
    """
    rows: list[LabelledRow] = []
    faults: list[str] = []
    without_text = without_label = 0
    for origin, values in _raw_rows(source, split):
        try:
            row = _labelled(source, tasks, values, origin)
        except ValueError as error:
            faults.append(f"{origin}: {error}")
            if len(faults) == _MAX_FAULTS:
                faults.append("... (no further rows were looked at)")
                break
            continue
        if not row.text.strip():
            without_text += 1
        elif not row.labels:
            without_label += 1
        else:
            rows.append(row)
    if faults:
        raise DataError(f"data set {source.name} has rows with faults:\n  " + "\n  ".join(faults))
    return ReadRows(rows, without_text, without_label)


def _open(file: Path) -> Any:
    if (found := format_of(str(file))) not in _FORMATS:
        why = "a text file has no labels" if found == "txt" else f"the format {found} is not known"
        raise FileError(f"{file}: {why}; it must be JSONL, CSV or Parquet")
    return open_reader(str(file), None, NO_COLUMN, "utf-8")


def _raw_rows(source: DataRecipe, split: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    names: Sequence[str] = getattr(source, split)
    if source.hub is not None:
        for name in names:
            yield from _hub_rows(source.hub, source.revision, name)
        return
    for file in names:
        try:
            yield from _file_rows(file)
        except FileError as error:
            if isinstance(error.__cause__, UnicodeDecodeError):  # the labeller has an option for it
                what = str(error).partition(";")[0]
                raise FileError(f"{what}; convert the file to UTF-8") from error
            raise


def _file_rows(file: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    with _open(Path(file)) as reader:
        # As the labeller does, without the spaces around the names in a header.
        spaced = any(name != name.strip() for name in reader.columns or ())
        for batch in reader.batches():
            for index, row in enumerate(batch.as_dicts()):
                if batch.lines is None:
                    origin = f"{file}, row {batch.first_row + index}"
                else:
                    origin = f"{file}:{batch.lines[index]}"
                yield origin, {name.strip(): row[name] for name in row} if spaced else row


def _hub_rows(
    hub: str, revision: str | None, split: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import datasets  # takes seconds, and only Hub data needs it

    name, _, config = hub.partition(":")
    datasets.disable_progress_bars()
    try:
        table: Any = datasets.load_dataset(name, config or None, split=split, revision=revision)
    except Exception as error:  # the library raises anything, from its own types to requests'
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"data set {hub} of the Hub, split {split}: {reason}") from error
    # Labels that are stored as numbers have names.
    features = table.features.items()
    named = {key: feature for key, feature in features if isinstance(feature, datasets.ClassLabel)}
    lists = {
        key: feature.feature
        for key, feature in features
        if isinstance(getattr(feature, "feature", None), datasets.ClassLabel)
    }
    for number, row in enumerate(table, start=1):
        for key, feature in named.items():
            row[key] = _name_of(feature, row[key])
        for key, feature in lists.items():
            if row[key] is not None:
                row[key] = [_name_of(feature, value) for value in row[key]]
        yield f"{hub} {split}, row {number}", row


def _name_of(feature: Any, number: int | None) -> str | None:
    """Of a label that is stored as a number; -1 is customary where there is none."""
    return None if number is None or number < 0 else feature.int2str(number)


def _labelled(
    source: DataRecipe, tasks: Mapping[str, TaskConfig], values: Mapping[str, Any], origin: str
) -> LabelledRow:
    if source.words is None:
        text, words = _text_of(values, source.text), ()
    else:
        text, words = _joined(_items(values.get(source.words), source.words, None))
    labels: dict[str, Label] = {}
    for name, where in source.tasks.items():
        label = _label_of(tasks[name], where, values.get(where.column), len(words))
        if label is not None:
            labels[name] = label
    choices = {name: where.choices for name, where in source.tasks.items() if where.choices}
    return LabelledRow(text, labels, origin, words, choices)


def _text_of(values: Mapping[str, Any], column: str) -> str:
    text = values.get(column)
    if text is not None and not isinstance(text, str):
        raise ValueError(f"column {column!r} is not text but {_shown(text)}")
    return text or ""


def _joined(words: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
    spans: list[Span] = []
    start = 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), tuple(spans)


def _label_of(task: TaskConfig, where: LabelColumn, value: Any, words: int) -> Label | None:
    if task.kind is TaskKind.TOKEN:
        tags = [_renamed(tag, where.map) for tag in _items(value, where.column, None)]
        if not tags:
            return None
        if len(tags) != words:
            raise ValueError(f"{task.name}: {len(tags)} tags for {words} words")
        tags = to_iob2(tags)
        for tag in tags:
            _check(task, tag)
        return tuple(tags)
    if task.kind is TaskKind.MULTI_LABEL:
        if value is None:
            return None
        given = _items(value, where.column, where.separator)
        names = [where.map.get(name, name) for name in given]
        names = [name for name in dict.fromkeys(names) if name]
        for name in names:
            _check(task, name)
        return tuple(names)
    plain = _plain(value, where.column)
    label = where.map.get(plain, plain)
    if not label:
        return None
    _check(task, label)
    if where.choices and label not in where.choices:
        raise ValueError(
            f"{task.name}: {label!r} is not among the choices of this data set: "
            + ", ".join(where.choices)
        )
    return label


def _renamed(tag: str, names: Mapping[str, str]) -> str:
    """A tag by its new name, or with the new name of its type; an empty one is outside."""
    if tag in names:
        return names[tag] or OUTSIDE
    prefix, kind = split_tag(tag)
    if tag == OUTSIDE or kind == tag or kind not in names:
        return tag
    return f"{prefix}-{names[kind]}" if names[kind] else OUTSIDE


def _check(task: TaskConfig, label: str) -> None:
    if task.labels and label not in task.labels:
        shown = ", ".join(task.labels[:_SHOWN_LABELS])
        more = len(task.labels) - _SHOWN_LABELS
        known = f"{shown} and {more} more" if more > 0 else shown
        raise ValueError(f"{task.name} has no label {label!r}; it has {known}")


def _items(value: Any, column: str, separator: str | None) -> list[str]:
    """A list as it is; a text cut at the separator, or at spaces."""
    if value is None:
        return []
    if isinstance(value, str):
        items = [item.strip() for item in value.split(separator)]
        return [item for item in items if item]
    if isinstance(value, Sequence):
        items: list[Any] = list(value)
        return [_plain(item, column) for item in items]
    raise ValueError(f"column {column!r} is not a list but {_shown(value)}")


def _plain(value: Any, column: str) -> str:
    """A label as text; empty where there is none."""
    match value:
        case None:
            return ""
        case str():
            return value.strip()
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            # Columns of whole numbers with gaps come as floats, and the gaps as NaN.
            if math.isnan(value):
                return ""
            return str(int(value)) if value.is_integer() else str(value)
        case _:
            raise ValueError(f"column {column!r} is no label but {_shown(value)}")


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)[:40]
