"""Labelled rows as numbers: token ids and targets, ready to be cut into batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..model.config import TaskConfig, TaskKind
from ..model.entity_tags import split_tag
from ..model.tokenizer import Tokenizer
from ..model.words import Span, first_tokens, split_words
from .labelled_rows import LabelledRow

MISSING = -100
"""Target of a row, or of a token, without a label: what CrossEntropy ignores by default."""

_TOKENIZED_AT_ONCE = 4096


@dataclass(frozen=True)
class EncodedRows:
    """Rows of any number of data sets, one after the other."""

    rows: Sequence[LabelledRow]
    dataset: NDArray[np.int64]
    """Index of the data set of each row."""
    ids: NDArray[np.int32]
    """Token ids of all rows, one row after the other, special tokens included."""
    starts: NDArray[np.int64]
    """Where each row begins in `ids`, and in the end its length: [rows + 1]."""
    targets: Mapping[str, NDArray[np.int64]]
    """Task name to targets: label indices [rows]; 0 and 1 for a binary task [rows] and for a
    multi-label one [rows, labels]; for a token task one for each of `ids`. MISSING where there is
    none."""
    words: Mapping[str, Sequence[NDArray[np.int64]]]
    """Token task name to the words of each row: [2, words], the token that stands for the word
    and the index of its tag. Words that truncation cut off are not in it."""
    truncated: int
    """Rows that were longer than what is read of them."""
    offered: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict[str, NDArray[np.bool_]])
    """Task name to the labels that each row could have been given, [rows, labels]; without the
    tasks of which all rows could have all."""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each row."""
        return np.diff(self.starts)

    def labelled(self, task: str) -> NDArray[np.bool_]:
        """Which rows have a label of a task."""
        targets = self.targets[task]
        if task in self.words:
            has_words = [len(words[0]) > 0 for words in self.words[task]]
            return np.array(has_words, dtype=np.bool_)
        return (targets if targets.ndim == 1 else targets[:, 0]) != MISSING


def encode_rows(
    groups: Sequence[Sequence[LabelledRow]], tasks: Sequence[TaskConfig], tokenizer: Tokenizer
) -> EncodedRows:
    """Tokenise rows and look up their labels.

    Args:
        groups: the rows of each data set.
        tasks: all tasks, with their labels.
        tokenizer: cuts long texts.
    """
    rows = [row for group in groups for row in group]
    has_words = any(task.kind is TaskKind.TOKEN for task in tasks)
    ids: list[NDArray[np.int32]] = []
    offsets: list[list[Span]] = []
    truncated = 0
    for start in range(0, len(rows), _TOKENIZED_AT_ONCE):
        texts = [row.text for row in rows[start : start + _TOKENIZED_AT_ONCE]]
        for sentence in tokenizer(texts, offsets=has_words):
            ids.append(np.array(sentence.ids, dtype=np.int32))
            offsets.append(sentence.offsets or [])
            truncated += sentence.truncated
    targets: dict[str, NDArray[np.int64]] = {}
    words: dict[str, list[NDArray[np.int64]]] = {}
    for task in tasks:
        if task.kind is TaskKind.TOKEN:
            aligned = [
                _aligned(task, row, len(tokens), where)
                for row, tokens, where in zip(rows, ids, offsets, strict=True)
            ]
            targets[task.name] = _concatenated([tokens for tokens, _ in aligned], np.int64)
            words[task.name] = [chosen for _, chosen in aligned]
        else:
            targets[task.name] = _targets(task, rows)
    return EncodedRows(
        rows=rows,
        dataset=np.repeat(np.arange(len(groups)), [len(group) for group in groups]),
        ids=_concatenated(ids, np.int32),
        starts=np.concatenate([[0], np.cumsum([len(tokens) for tokens in ids], dtype=np.int64)]),
        targets=targets,
        words=words,
        truncated=truncated,
        offered=_offered(tasks, rows),
    )


def _concatenated(parts: Sequence[NDArray[np.generic]], kind: type[np.generic]) -> NDArray[...]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)


def _targets(task: TaskConfig, rows: Sequence[LabelledRow]) -> NDArray[np.int64]:
    index = {label: position for position, label in enumerate(task.labels)}
    if task.kind is not TaskKind.MULTI_LABEL:
        found = [row.labels.get(task.name) for row in rows]
        return np.array(
            [index[label] if isinstance(label, str) else MISSING for label in found],
            dtype=np.int64,
        )
    targets = np.full((len(rows), len(task.labels)), MISSING, dtype=np.int64)
    for position, row in enumerate(rows):
        labels = row.labels.get(task.name)
        if labels is not None:
            targets[position] = 0
            targets[position, [index[label] for label in labels]] = 1
    return targets


def _offered(
    tasks: Sequence[TaskConfig], rows: Sequence[LabelledRow]
) -> dict[str, NDArray[np.bool_]]:
    limited = {name for row in rows for name in row.choices}
    return {
        task.name: np.array([offered_labels(task, row) for row in rows])
        for task in tasks
        if task.name in limited
    }


def offered_labels(task: TaskConfig, row: LabelledRow) -> list[bool]:
    """Of each label of a task, whether a row could have been given it."""
    choices = row.choices.get(task.name, task.labels)
    return [label in choices for label in task.labels]


def _aligned(
    task: TaskConfig, row: LabelledRow, tokens: int, offsets: Sequence[Span]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Targets of the tokens of a row, and which token stands for which of its words."""
    targets = np.full(tokens, MISSING, dtype=np.int64)
    tags = row.labels.get(task.name)
    if tags is None:
        return targets, np.zeros((2, 0), dtype=np.int64)
    index = {label: position for position, label in enumerate(task.labels)}
    # The worker cuts texts into words by itself, and may find several in one of the data set's:
    # each of them is taught, as each of them will be asked.
    pieces = split_words(row.text)
    word, begun = 0, -1
    for piece, token in zip(pieces, first_tokens(pieces, offsets), strict=True):
        while row.words[word][1] <= piece[0]:
            word += 1
        # Not by where it is: a word may begin with what is in no piece, such as a byte order mark.
        begins, begun = word != begun, word
        if token < 0 or targets[token] != MISSING:
            continue
        tag = tags[word] if begins else _continued(tags[word])
        targets[token] = index.get(tag, MISSING)
    words = word_targets(task, row, offsets)
    for token, tag in words.T:  # also of words in which the worker finds none, such as symbols
        if targets[token] == MISSING:
            targets[token] = tag
    return targets, words


def word_targets(task: TaskConfig, row: LabelledRow, offsets: Sequence[Span]) -> NDArray[np.int64]:
    """The token that stands for each word of a tagged row and the index of its tag, [2, words].

    Words that no token stands for, as truncation cut them off, are not in it.
    """
    index = {label: position for position, label in enumerate(task.labels)}
    chosen = first_tokens(row.words, offsets)
    tags = row.labels[task.name]
    kept = [(token, index[tag]) for token, tag in zip(chosen, tags, strict=True) if token >= 0]
    return np.array(kept, dtype=np.int64).reshape(-1, 2).T


def _continued(tag: str) -> str:
    """What follows a tag inside of its word; nothing is known of tags without prefix."""
    prefix, label = split_tag(tag)
    return tag if prefix == "O" or tag == label else f"I-{label}"
