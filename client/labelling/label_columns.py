"""Answers as columns: what the labeller adds to each row."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from ..errors import FileError, InvalidRequestError, WorkerFailedError
from ..requests import InferOptions
from ..results import (
    BinaryAnswer,
    EmbeddingArray,
    InferResult,
    ModelInfo,
    MultiLabelAnswer,
    SingleLabelAnswer,
    TaskAnswer,
    TaskInfo,
    TokenAnswer,
)

WORKER_FAILED = "worker failed"
"""Why rows have no answer when it is not for what is in them."""
_FLOAT = pa.float32()
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
_ANSWERS: dict[str, type[TaskAnswer]] = {
    "single_label": SingleLabelAnswer,
    "binary": BinaryAnswer,
    "multi_label": MultiLabelAnswer,
    "token": TokenAnswer,
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

    With `scores`, tasks of the first and third kind have a column TASK_score_LABEL for each label,
    with its probability. Then `embedding` when asked for; `truncated`; `error`, empty for rows that
    have an answer; `model_version`.
    """

    tasks: Sequence[TaskInfo]
    embedding_dimensions: int
    """0 for no embeddings."""
    prefix: str = ""
    """Before each name."""
    scores: bool = False
    """Whether there is a column for each label. All answers must then be of the version that the
    tasks are of, since logits become probabilities here."""
    embedding_element: pa.DataType = _FLOAT
    """What embeddings are made of."""

    @classmethod
    def of(
        cls,
        model: ModelInfo,
        tasks: Sequence[str] | None,
        *,
        embeddings: bool,
        prefix: str,
        scores: bool = False,
    ) -> "LabelColumns":
        """The columns that a model's answers make; `tasks` None for all.

        Raises:
            WorkerFailedError: a task of a kind that is unknown here.
            InvalidRequestError: a task that the model has not, or two columns would have one name.
        """
        for name in tasks or ():
            if name not in model.tasks:
                raise InvalidRequestError(
                    f"the model has no task {name!r}; it has {', '.join(model.tasks) or 'none'}"
                )
        chosen = [task for name, task in model.tasks.items() if tasks is None or name in tasks]
        for task in chosen:
            if task.kind not in _TASK_FIELDS:
                raise WorkerFailedError(
                    f"the task {task.name!r} is of a kind that this client does not know; upgrade "
                    "it, or choose others with --task"
                )
        dimensions = model.embedding_dimensions if embeddings else 0
        columns = cls(chosen, dimensions, prefix, scores)
        columns._refuse_repeated_names("choose one with --task")
        return columns

    @classmethod
    def of_answers(cls, result: InferResult) -> "LabelColumns":
        """The columns that a result by itself makes; answers of unknown kinds have none.

        Raises:
            InvalidRequestError: two columns would have one name.
        """
        tasks = [
            TaskInfo(answer.name, kind, answer.label_names)
            for answer in result.tasks.values()
            for kind, answers in _ANSWERS.items()
            if type(answer) is answers
        ]
        vectors = result.embeddings
        if vectors is None:
            columns = cls(tasks, 0)
        else:  # bits stay as they are, eight to a byte
            element = pa.uint8() if vectors.dtype == np.uint8 else pa.float32()
            columns = cls(tasks, vectors.shape[1], embedding_element=element)
        columns._refuse_repeated_names("ask for one of them with InferOptions(tasks=[...])")
        return columns

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types."""
        fields: list[tuple[str, pa.DataType]] = []
        for task in self.tasks:
            fields += [(task.name + suffix, kind) for suffix, kind in _TASK_FIELDS[task.kind]]
            fields += [(f"{task.name}_score_{each}", pa.float32()) for each in self._scored(task)]
        if self.embedding_dimensions:
            fields.append(("embedding", self._embedding_type()))
        fields += [
            ("truncated", pa.bool_()),
            ("error", pa.string()),
            ("model_version", pa.string()),
        ]
        return pa.schema([pa.field(self.prefix + name, kind) for name, kind in fields])

    def options(
        self, *, truncate: bool, embeddings: bool = False, model_version: str | None = None
    ) -> InferOptions:
        """What to ask a worker for, so that its answers fill these columns.

        Args:
            truncate: whether over-long sentences are cut.
            embeddings: whether they are wanted though there is no column for them.
            model_version: the version that must answer; None for the live one.
        """
        return InferOptions(
            tasks=[task.name for task in self.tasks],
            embedding="float32" if self.embedding_dimensions or embeddings else None,
            logits=any(self._scored(task) for task in self.tasks),
            truncate=truncate,
            model_version=model_version,
            # So that a run that was interrupted ends with what it would have had without.
            repeatable=True,
        )

    def of_result(self, result: InferResult, texts: Sequence[str | None]) -> dict[str, pa.Array]:
        """The columns of the answer to `texts`; entities of one that is None have no text.

        Raises:
            WorkerFailedError: the answer is not of the model that the columns are of.
        """
        failed = np.array([not status.ok for status in result.statuses], dtype=bool)
        arrays: list[pa.Array] = []
        for task in self.tasks:
            answer = result.tasks.get(task.name)
            if (
                not isinstance(answer, _ANSWERS[task.kind])
                or answer.label_names != task.label_names
            ):
                raise WorkerFailedError(
                    f"the model changed in mid-file: version {result.model_version} has other "
                    f"labels for {task.name!r}; begin anew with --restart, or keep one version "
                    "with --pin"
                )
            arrays += _task_arrays(answer, failed, texts)
            if names := self._scored(task):
                scores = label_probabilities(answer, task)
                arrays += [
                    pa.array(np.ascontiguousarray(scores[:, place]), pa.float32(), mask=failed)
                    for place in range(len(names))
                ]
        if self.embedding_dimensions:
            element = self.embedding_element.to_pandas_dtype()
            vectors = np.asarray(result.embeddings, dtype=element)
            arrays.append(self.embedding_array(vectors, pa.array(failed)))
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

    @property
    def embedding_name(self) -> str:
        """Name of the column of the embeddings."""
        return self.prefix + "embedding"

    def embedding_array(self, vectors: EmbeddingArray, missing: pa.Array) -> pa.Array:
        """The column of the embeddings.

        Args:
            vectors: [rows, dimensions].
            missing: for each row whether it has none.
        """
        return pa.FixedSizeListArray.from_arrays(
            pa.array(vectors.reshape(-1)), type=self._embedding_type(), mask=missing
        )

    def _scored(self, task: TaskInfo) -> Sequence[str]:
        """Labels that have a column each."""
        scored = self.scores and task.kind in ("single_label", "multi_label")
        return task.label_names if scored else ()

    def _embedding_type(self) -> pa.DataType:
        return pa.list_(self.embedding_element, self.embedding_dimensions)

    def _refuse_repeated_names(self, advice: str) -> None:
        for name, count in Counter(self.schema.names).items():
            if count > 1:
                raise InvalidRequestError(
                    f"two of the new columns would be called {name!r}; {advice}"
                )


def _task_arrays(answer: object, failed: np.ndarray, texts: Sequence[str | None]) -> list[pa.Array]:
    match answer:
        case SingleLabelAnswer():
            scores = pa.array(answer.scores, pa.float32(), mask=failed)
            return [_names(answer), scores]
        case BinaryAnswer():
            probabilities = pa.array(answer.probabilities, pa.float32(), mask=failed)
            return [_names(answer), probabilities]
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
                    "text": text and text[entity.start : entity.end],
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


def _names(answer: SingleLabelAnswer | BinaryAnswer) -> pa.Array:
    """The label of each sentence; null where there is none."""
    indices = pa.array(answer.indices, mask=answer.indices < 0)
    names = pa.array(answer.label_names, pa.string())
    return pa.DictionaryArray.from_arrays(indices, names).dictionary_decode()


def label_probabilities(answer: object, task: TaskInfo) -> np.ndarray:
    """Of each label, [sentences, labels]; as the worker computes scores.

    Args:
        answer: with logits; of a kind with a label for the whole sentence.
        task: of the version that answered.

    Raises:
        WorkerFailedError: it has none.
    """
    if not isinstance(answer, (SingleLabelAnswer, MultiLabelAnswer)) or answer.logits is None:
        raise WorkerFailedError(f"the worker sent no logits of {task.name!r}")
    logits = answer.logits.astype(np.float64) / task.temperature
    if isinstance(answer, MultiLabelAnswer):
        return (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)  # sigmoid, without overflow
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def check_names(file: str, taken: Iterable[str]) -> None:
    """Refuse columns of a file that are called like new ones.

    Raises:
        FileError: there is one.
    """
    for name in sorted(taken)[:1]:
        raise FileError(
            f"{file}: has a column {name!r} already; give the new columns other names, for example "
            "--prefix pred_"
        )


def reasons(result: InferResult) -> pa.Array:
    """Why rows have no answer, in a word or two; null for those that have one."""
    return pa.array(
        [None if status.ok else status.code.replace("_", " ") for status in result.statuses],
        pa.string(),
    )


def _lists(values: pa.Array, lengths: Sequence[int], failed: np.ndarray) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(failed))
