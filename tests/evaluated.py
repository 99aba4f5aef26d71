"""A model with a task of each kind, and rows to measure it on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from small_bert import small_checkpoint, write_small_bert
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer.evaluation_rows import EvaluationRows, EvaluationSplit
from twinhead.trainer.labelled_rows import LabelledRow

TASKS = (
    TaskConfig(name="topic", labels=("sea", "land", "sky"), temperature=1.7),
    TaskConfig(
        name="spam", kind=TaskKind.BINARY, labels=("no", "yes"), thresholds=(0.6,), temperature=0.7
    ),
    TaskConfig(
        name="tags",
        kind=TaskKind.MULTI_LABEL,
        labels=("a", "b", "c"),
        thresholds=(0.3, 0.5, 0.7),
        temperature=2.3,
    ),
    TaskConfig(
        name="names",
        kind=TaskKind.TOKEN,
        labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC"),
        temperature=1.3,
    ),
)
VOCABULARY = ("the", "quick", "foxes", "run", "!", "Ann-Mae", "it's", "bay", "Łódź", "x")
NO_WORDS = "\x01\x02"
"""A text of which the tokenizer keeps nothing."""


def checkpoint(folder: Path) -> Checkpoint:
    return small_checkpoint(write_small_bert(folder / "encoder"), TASKS, seed=5)


def random_rows(count: int, tasks=TASKS, seed: int = 0, longest: int = 30) -> list[LabelledRow]:
    """Rows with labels of some of the tasks each; some are longer than the model reads."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        # So many words that no two texts are alike: figures of ranks would depend on the last bit
        # of their logits.
        words = rng.choice(VOCABULARY, size=int(rng.integers(6, longest))).tolist()
        spans, start = [], 0
        for word in words:
            spans.append((start, start + len(word)))
            start += len(word) + 1
        labels = {}
        for position, task in enumerate(tasks):
            if (number + position) % 3 == 0:
                continue
            if task.kind is TaskKind.TOKEN:
                labels[task.name] = tuple(rng.choice(task.labels, size=len(words)).tolist())
            elif task.kind is TaskKind.MULTI_LABEL:
                labels[task.name] = tuple(label for label in task.labels if rng.random() < 0.5)
            else:
                labels[task.name] = str(rng.choice(task.labels))
        rows.append(LabelledRow(" ".join(words), labels, f"rows:{number + 1}", tuple(spans)))
    return rows


def of_choices(rows: list[LabelledRow], task: str, choices: tuple[str, ...]) -> list[LabelledRow]:
    """Those of the rows that have one of these labels, which are all that they could have had."""
    chosen = [row for row in rows if row.labels.get(task) in choices]
    return [replace(row, choices={task: choices}) for row in chosen]


def rows_of(*groups: list[LabelledRow], name: str = "test") -> EvaluationRows:
    datasets = tuple(f"set{index}" for index in range(len(groups)))
    return EvaluationRows((EvaluationSplit(name, datasets, groups),))


def silent(_: int) -> None:
    """Progress that nobody is told of."""
