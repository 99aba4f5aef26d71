"""Answers as columns: what the labeller adds to each row."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .errors import InvalidRequestError, WorkerFailedError
from .results import (
    BinaryAnswer,
    InferResult,
    ModelInfo,
    MultiLabelAnswer,
    SingleLabelAnswer,
    TaskInfo,
    TokenAnswer,
)

_ENTITY = pa.struct(
    [
        pa.field("text", pa.string()),
        pa.field("label", pa.string()),
        pa.field("start", pa.int32()),
        pa.field("end", pa.int32()),
        pa.field("score", pa.float32()),
    ]
)
# The columns that a task adds, by its kind.
_TASK_FIELDS: dict[str, list[tuple[str, pa.DataType]]] = {
    "single_label": [("", pa.string()), ("_score", pa.float32())],
    "binary": [("", pa.string()), ("_probability", pa.float32())],
    "multi_label": [("", pa.list_(pa.string())), ("_scores", pa.list_(pa.float32()))],
    "token": [("", pa.list_(_ENTITY))],
}


@dataclass(frozen=True)
class LabelColumns:
    """The new columns of a run: for each task its answer, then what concerns the row.

    | kind of task | columns |
    |---|---|
    | single_label | TASK, and TASK_score: the probability of the label |
    | binary | TASK, and TASK_probability: of "yes", the second label |
    | multi_label | TASK: a list of labels, and TASK_scores: a list of their probabilities |
    | token | TASK: a list of entities with text, label, start, end (characters) and score |

    Then `embedding` when asked for; `truncated`; `error`, empty for rows that have an answer;
    `model_version`.
    """

    tasks: Sequence[TaskInfo]
    embedding_dimensions: int
    """0 for no embeddings."""
    prefix: str = ""
    """Before each name."""

    @classmethod
    def of(
        cls, model: ModelInfo, tasks: Sequence[str] | None, *, embeddings: bool, prefix: str
    ) -> "LabelColumns":
        """The columns that a model's answers make; `tasks` None for all.

        Raises:
            WorkerFailedError: a task of a kind that is unknown here.
            InvalidRequestError: two columns would have one name.
        """
        chosen = [task for name, task in model.tasks.items() if tasks is None or name in tasks]
        for task in chosen:
            if task.kind not in _TASK_FIELDS:
                raise WorkerFailedError(
                    f"the task {task.name!r} is of a kind that this client does not know; upgrade "
                    "it, or choose others with --task"
                )
        columns = cls(chosen, model.embedding_dimensions if embeddings else 0, prefix)
        twice = [name for name, count in Counter(columns.schema.names).items() if count > 1]
        if twice:
            raise InvalidRequestError(
                f"two of the new columns would be called {twice[0]!r}; choose one with --task"
            )
        return columns

    @property
    def schema(self) -> pa.Schema:
        """Names and types."""
        fields = [
            (task.name + suffix, kind)
            for task in self.tasks
            for suffix, kind in _TASK_FIELDS[task.kind]
        ]
        if self.embedding_dimensions:
            fields.append(("embedding", self._embedding_type()))
        fields += [
            ("truncated", pa.bool_()),
            ("error", pa.string()),
            ("model_version", pa.string()),
        ]
        return pa.schema([pa.field(self.prefix + name, kind) for name, kind in fields])

    def of_result(self, result: InferResult, texts: Sequence[str]) -> dict[str, pa.Array]:
        """The columns of the answer to `texts`."""
        failed = np.array([not status.ok for status in result.statuses])
        arrays: list[pa.Array] = []
        for task in self.tasks:
            arrays += _task_arrays(result.tasks[task.name], failed, texts)
        if self.embedding_dimensions:
            flat = np.asarray(result.embeddings, dtype=np.float32).reshape(-1)
            arrays.append(
                pa.FixedSizeListArray.from_arrays(
                    pa.array(flat), type=self._embedding_type(), mask=pa.array(failed)
                )
            )
        arrays += [
            pa.array([status.truncated for status in result.statuses], pa.bool_(), mask=failed),
            pa.array(
                [None if status.ok else status.message for status in result.statuses], pa.string()
            ),
            pa.array([result.model_version] * len(result), pa.string()),
        ]
        return dict(zip(self.schema.names, arrays, strict=True))

    def of_failure(self, rows: int, message: str) -> dict[str, pa.Array]:
        """The columns of a batch that got no answer: nothing but the error."""
        columns = {field.name: pa.nulls(rows, field.type) for field in self.schema}
        columns[self.prefix + "error"] = pa.array([message] * rows, pa.string())
        return columns

    def _embedding_type(self) -> pa.DataType:
        return pa.list_(pa.float32(), self.embedding_dimensions)


def _task_arrays(answer: object, failed: np.ndarray, texts: Sequence[str]) -> list[pa.Array]:
    match answer:
        case SingleLabelAnswer():
            scores = pa.array(answer.scores, pa.float32(), mask=failed)
            return [pa.array(answer.labels, pa.string()), scores]
        case BinaryAnswer():
            probabilities = pa.array(answer.probabilities, pa.float32(), mask=failed)
            return [pa.array(answer.labels, pa.string()), probabilities]
        case MultiLabelAnswer():
            labels = list(itertools.chain.from_iterable(answer.labels))
            scores = np.concatenate([np.zeros(0, np.float32), *answer.scores])
            lengths = [len(each) for each in answer.indices]
            return [
                _lists(pa.array(labels, pa.string()), lengths, failed),
                _lists(pa.array(scores, pa.float32()), lengths, failed),
            ]
        case TokenAnswer():
            entities = [
                {
                    "text": text[entity.start : entity.end],
                    "label": entity.label,
                    "start": entity.start,
                    "end": entity.end,
                    "score": entity.score,
                }
                for text, found in zip(texts, answer.entities, strict=True)
                for entity in found
            ]
            lengths = [len(each) for each in answer.entities]
            return [_lists(pa.array(entities, _ENTITY), lengths, failed)]
        case _:
            raise TypeError(f"no columns for {type(answer).__name__}")


def _lists(values: pa.Array, lengths: Sequence[int], failed: np.ndarray) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(failed))
