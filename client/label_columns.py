"""Answers as columns: what the labeller adds to each row."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .errors import InvalidRequestError, WorkerFailedError
from .results import InferResult, ModelInfo, TaskAnswer


@dataclass(frozen=True)
class LabelColumns:
    """The new columns of a run: for each task its label and score, then what concerns the row.

    TASK and TASK_score; `embedding` when asked for; `truncated`; `error`, empty for rows that have
    an answer; `model_version`.
    """

    tasks: Sequence[str]
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
        chosen = [name for name in model.tasks if tasks is None or name in tasks]
        for name in chosen:
            if model.tasks[name].kind != "single_label":
                raise WorkerFailedError(
                    f"the task {name!r} is of a kind that this client does not know; upgrade "
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
        fields: list[tuple[str, pa.DataType]] = []
        for task in self.tasks:
            fields += [(task, pa.string()), (f"{task}_score", pa.float32())]
        if self.embedding_dimensions:
            fields.append(("embedding", self._embedding_type()))
        fields += [
            ("truncated", pa.bool_()),
            ("error", pa.string()),
            ("model_version", pa.string()),
        ]
        return pa.schema([pa.field(self.prefix + name, kind) for name, kind in fields])

    def of_result(self, result: InferResult) -> dict[str, pa.Array]:
        """The columns of one answer."""
        failed = np.array([not status.ok for status in result.statuses])
        arrays: list[pa.Array] = []
        for task in self.tasks:
            answer: TaskAnswer = result[task]
            arrays.append(pa.array(answer.labels, pa.string()))
            arrays.append(pa.array(answer.scores, pa.float32(), mask=failed))
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
