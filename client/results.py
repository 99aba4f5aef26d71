"""What a worker answers, as numpy arrays and plain Python."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import model_admin_service_pb2, model_service_pb2, task_kind_pb2

if TYPE_CHECKING:
    import pandas
    import pyarrow

_VERSION_STATES: dict[int, str] = {
    model_admin_service_pb2.VERSION_STATE_LIVE: "live",
    model_admin_service_pb2.VERSION_STATE_PREVIOUS: "previous",
    model_admin_service_pb2.VERSION_STATE_KEPT: "kept",
}

EmbeddingArray = NDArray[np.floating] | NDArray[np.uint8]

_TASK_KINDS: dict[int, str] = {
    task_kind_pb2.TASK_KIND_SINGLE_LABEL: "single_label",
    task_kind_pb2.TASK_KIND_BINARY: "binary",
    task_kind_pb2.TASK_KIND_MULTI_LABEL: "multi_label",
    task_kind_pb2.TASK_KIND_TOKEN: "token",
}


@dataclass(frozen=True)
class SentenceStatus:
    """What became of one sentence."""

    code: str
    """`ok`, `empty`, `too_long` or `invalid`."""
    message: str
    """What is wrong; empty when ok."""
    truncated: bool
    """Whether only the beginning was encoded."""
    tokens: int
    """Tokens of the sentence, special tokens included."""
    tokens_used: int
    """Tokens that were encoded."""

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.code == "ok"


@dataclass(frozen=True)
class TaskAnswer:
    """What one task says of each sentence; the base of one class for each kind of task."""

    name: str
    label_names: tuple[str, ...]
    """In the order of the logits' columns."""


AnswerOfKind = TypeVar("AnswerOfKind", bound=TaskAnswer)


@dataclass(frozen=True)
class SingleLabelAnswer(TaskAnswer):
    """The most probable label of each sentence."""

    indices: NDArray[np.int32]
    """Index of the label, [sentences]; -1 where the status is not ok."""
    scores: NDArray[np.float32]
    """Its probability, [sentences]; 0 where the status is not ok."""
    logits: NDArray[np.float32] | None
    """[sentences, labels], or None when not asked for."""

    @cached_property
    def labels(self) -> list[str | None]:
        """The label of each sentence; None where the status is not ok."""
        return _names(self.label_names, self.indices)


@dataclass(frozen=True)
class BinaryAnswer(TaskAnswer):
    """Yes or no for each sentence."""

    indices: NDArray[np.int32]
    """1 for yes and 0 for no, [sentences]; -1 where the status is not ok."""
    probabilities: NDArray[np.float32]
    """Of yes, [sentences]; 0 where the status is not ok."""
    logits: NDArray[np.float32] | None
    """[sentences, 1], or None when not asked for."""

    @cached_property
    def labels(self) -> list[str | None]:
        """The label of each sentence; None where the status is not ok."""
        return _names(self.label_names, self.indices)

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """Probability of the label that was given, [sentences]; 0 where the status is not ok."""
        given = np.where(self.indices == 1, self.probabilities, 1 - self.probabilities)
        return np.where(self.indices < 0, 0, given).astype(np.float32)


@dataclass(frozen=True)
class MultiLabelAnswer(TaskAnswer):
    """The labels of each sentence that reach their thresholds, the most probable first."""

    indices: Sequence[NDArray[np.int32]]
    """Of each sentence, [its labels]."""
    scores: Sequence[NDArray[np.float32]]
    """Their probabilities, of each sentence [its labels]."""
    logits: NDArray[np.float32] | None
    """[sentences, labels], or None when not asked for."""

    @cached_property
    def labels(self) -> list[list[str]]:
        """Names of the labels of each sentence."""
        return [[self.label_names[index] for index in each] for each in self.indices]


@dataclass(frozen=True)
class Entity:
    """A part of a sentence: `sentence[start:end]` is its text."""

    label: str
    start: int
    end: int
    score: float
    """Mean probability of the labels of its words."""


@dataclass(frozen=True)
class TokenLogits:
    """Logits of the tokens of one sentence, without special tokens and what was truncated."""

    values: NDArray[np.float32]
    """[tokens, labels]."""
    starts: NDArray[np.int64]
    """Where each token begins, in characters."""
    ends: NDArray[np.int64]
    """Where each token ends (excluded), in characters."""


@dataclass(frozen=True)
class TokenAnswer(TaskAnswer):
    """The entities of each sentence."""

    entities: Sequence[Sequence[Entity]]
    """Of each sentence, in their order in the text."""
    token_logits: Sequence[TokenLogits] | None
    """Of each sentence, or None when not asked for."""


@dataclass(frozen=True)
class Timing:
    """Where the worker's time went, in seconds."""

    tokenize: float
    queue: float
    encode: float


@dataclass(frozen=True)
class InferResult:
    """The answer to one batch; row i of everything belongs to sentence i."""

    model_version: str
    """The version that computed every row."""
    embeddings: EmbeddingArray | None
    """[sentences, dimensions], float32 or float16; int8 is scaled back to float32; binary is uint8,
    [sentences, dimensions / 8], with the first dimension in the most significant bit. None when not
    asked for."""
    tasks: Mapping[str, TaskAnswer]
    """By name; an answer of a kind that is unknown here has nothing but its name and labels."""
    statuses: Sequence[SentenceStatus]
    timing: Timing

    def __getitem__(self, task: str) -> Any:
        """The answer of a task, whatever its kind.

        Raises:
            KeyError: there is none; the error names those that there are.
        """
        if task not in self.tasks:
            there = ", ".join(self.tasks) or "none"
            raise KeyError(f"no answer of a task {task!r}; there are {there}")
        return self.tasks[task]

    def __len__(self) -> int:
        return len(self.statuses)

    def single_label(self, task: str) -> SingleLabelAnswer:
        """The answer of a task of this kind, with a type that editors and type checkers know.

        Raises:
            KeyError: there is none.
            TypeError: the task is of another kind.
        """
        return self._of_kind(task, SingleLabelAnswer)

    def binary(self, task: str) -> BinaryAnswer:
        """The answer of a task of this kind; see `single_label`."""
        return self._of_kind(task, BinaryAnswer)

    def multi_label(self, task: str) -> MultiLabelAnswer:
        """The answer of a task of this kind; see `single_label`."""
        return self._of_kind(task, MultiLabelAnswer)

    def token(self, task: str) -> TokenAnswer:
        """The answer of a task of this kind; see `single_label`."""
        return self._of_kind(task, TokenAnswer)

    def to_arrow(self, sentences: Iterable[str] | None = None) -> "pyarrow.Table":
        """A row for each sentence, with the columns that `twinhead label` writes.

        For a task TASK, by its kind: TASK and TASK_score; TASK and TASK_probability; TASK and
        TASK_scores, which are lists; TASK, a list of entities. Then `embedding` if there are any, a
        list of fixed size of float32 (of bytes for binary ones); `truncated`; `error`, why there is
        no answer; `model_version`.

        Args:
            sentences: those that were sent, for a first column `sentence` and the texts of
                entities; None for neither.

        Raises:
            ValueError: they are not as many as there are answers.
            InvalidRequestError: tasks are called like other columns.
        """
        from .result_table import arrow_table  # for those who want it: it takes long to import

        return arrow_table(self, sentences)

    def to_pandas(self, sentences: Iterable[str] | None = None) -> "pandas.DataFrame":
        """The same for pandas: lists are arrays, and `truncated` is of the type `boolean`.

        Raises:
            ImportError: there is no pandas.
        """
        from .result_table import pandas_frame

        return pandas_frame(self, sentences)

    def _of_kind(self, task: str, kind: type[AnswerOfKind]) -> AnswerOfKind:
        answer = self[task]
        if not isinstance(answer, kind):
            raise TypeError(f"the answer of {task!r} is a {type(answer).__name__}")
        return answer


@dataclass(frozen=True)
class TaskInfo:
    """One task of a model."""

    name: str
    kind: str
    """`single_label`, `binary`, `multi_label` or `token`."""
    label_names: tuple[str, ...]
    thresholds: tuple[float, ...] = ()
    """From which probability on a label is given, for the kinds that have thresholds."""
    temperature: float = 1.0
    """What logits are divided by, before softmax or sigmoid, to give the scores; 1: not calibrated.
    The logits of an answer are not divided."""


@dataclass(frozen=True)
class ModelInfo:
    """What a worker serves."""

    version: str
    encoder: str
    tasks: Mapping[str, TaskInfo]
    embedding_dimensions: int
    normalize: bool
    engine: str
    precision: str
    device: str
    worker_release: str
    sentences_per_request: int
    request_bytes: int
    tokens_per_sentence: int
    characters_per_sentence: int


@dataclass(frozen=True)
class VersionInfo:
    """A version that a worker keeps."""

    version: str
    state: str
    """`live`, `previous` (in memory still) or `kept` (on disk)."""
    received: datetime
    """When the worker first had it."""
    tasks: tuple[str, ...]
    bytes: int
    """Of its weights, those that other versions have too included."""
    provenance: Mapping[str, Any]
    """What its checkpoint says of how it was trained."""


@dataclass(frozen=True)
class VersionList:
    """The versions that a worker keeps."""

    versions: tuple[VersionInfo, ...]
    """The live one first."""
    lasting: bool
    """Whether they outlive the worker."""
    started: datetime
    """When the worker was started."""
    worker_release: str
    engine: str


def read_result(response: pb.InferResponse) -> InferResult:
    """Read a response."""
    return InferResult(
        model_version=response.model_version,
        embeddings=read_tensor(response.embeddings) if response.HasField("embeddings") else None,
        tasks={task.name: _read_task(task) for task in response.tasks},
        statuses=[_read_status(status) for status in response.statuses],
        timing=Timing(
            tokenize=response.timing.tokenize.ToTimedelta().total_seconds(),
            queue=response.timing.queue.ToTimedelta().total_seconds(),
            encode=response.timing.encode.ToTimedelta().total_seconds(),
        ),
    )


def read_versions(response: model_admin_service_pb2.ListVersionsResponse) -> VersionList:
    """Read a list of versions."""
    return VersionList(
        versions=tuple(
            VersionInfo(
                version=each.model_version,
                state=_VERSION_STATES.get(each.state, "unknown"),
                received=each.received.ToDatetime(UTC),
                tasks=tuple(each.tasks),
                bytes=each.bytes,
                provenance=json.loads(each.provenance_json or "{}"),
            )
            for each in response.versions
        ),
        lasting=response.lasting,
        started=response.started.ToDatetime(UTC),
        worker_release=response.worker_release,
        engine=response.engine,
    )


def read_tensor(tensor: pb.Tensor) -> EmbeddingArray:
    """Read a tensor into an array; see `InferResult.embeddings` for what becomes of each type.

    Raises:
        ValueError: an element type that this release does not know.
    """
    if tensor.dtype == pb.DATA_TYPE_FLOAT32:
        array: EmbeddingArray = _packed_floats(tensor)
    elif tensor.dtype == pb.DATA_TYPE_FLOAT16:
        array = np.frombuffer(tensor.raw, dtype="<f2")
    elif tensor.dtype == pb.DATA_TYPE_INT8:
        steps = np.frombuffer(tensor.raw, dtype=np.int8).reshape(tuple(tensor.shape))
        return steps * np.array(tensor.row_scales, dtype=np.float32)[:, None]
    elif tensor.dtype == pb.DATA_TYPE_BIT:
        rows, dimensions = tensor.shape
        return np.frombuffer(tensor.raw, dtype=np.uint8).reshape(rows, dimensions // 8)
    else:
        raise ValueError(
            f"unknown element type {tensor.dtype}; is this client older than the worker?"
        )
    return array.reshape(tuple(tensor.shape))


def read_model(response: model_service_pb2.GetModelResponse) -> ModelInfo:
    """Read a model's description."""
    return ModelInfo(
        version=response.model_version,
        encoder=response.encoder,
        tasks={
            task.name: TaskInfo(
                task.name,
                _kind(task.kind),
                tuple(task.labels),
                tuple(task.thresholds),
                task.temperature or 1.0,  # 0: an older worker, which divides by nothing
            )
            for task in response.tasks
        },
        embedding_dimensions=response.embedding_dimensions,
        normalize=response.normalize,
        engine=response.engine,
        precision=response.precision,
        device=response.device,
        worker_release=response.worker_release,
        sentences_per_request=response.limits.sentences_per_request,
        request_bytes=response.limits.request_bytes,
        tokens_per_sentence=response.limits.tokens_per_sentence,
        characters_per_sentence=response.limits.characters_per_sentence,
    )


def _packed_floats(tensor: pb.Tensor) -> NDArray[np.float32]:
    # Read one by one, 256 embeddings would take 5 ms. A packed field alone is on the wire its bytes
    # behind a short head.
    alone = pb.Tensor()
    alone.MergeFrom(tensor)
    alone.DiscardUnknownFields()  # a newer worker's
    for other in ("shape", "dtype", "raw", "row_scales"):
        alone.ClearField(other)
    data = alone.SerializeToString()
    count = len(alone.float32_values)
    return np.frombuffer(data, "<f4", count, len(data) - 4 * count).astype(np.float32)


def _read_task(task: pb.TaskResult) -> TaskAnswer:
    labels = tuple(task.labels)
    logits = _floats(task.logits) if task.HasField("logits") else None
    match task.WhichOneof("answer"):
        case "single_label":
            single = task.single_label
            return SingleLabelAnswer(
                task.name,
                labels,
                np.array(single.label_indices, dtype=np.int32),
                np.array(single.scores, dtype=np.float32),
                logits,
            )
        case "binary":
            binary = task.binary
            return BinaryAnswer(
                task.name,
                labels,
                np.array(binary.label_indices, dtype=np.int32),
                np.array(binary.probabilities, dtype=np.float32),
                logits,
            )
        case "multi_label":
            sets = task.multi_label.sentences
            return MultiLabelAnswer(
                task.name,
                labels,
                [np.array(each.label_indices, dtype=np.int32) for each in sets],
                [np.array(each.scores, dtype=np.float32) for each in sets],
                logits,
            )
        case "token":
            return _read_token_task(task.name, labels, task.token)
        case _:  # of a kind that a newer worker has
            return TaskAnswer(task.name, labels)


def _read_token_task(name: str, labels: tuple[str, ...], answer: pb.TokenAnswer) -> TokenAnswer:
    entities = [
        [Entity(each.label, each.start, each.end, each.score) for each in sentence.entities]
        for sentence in answer.sentences
    ]
    if not answer.HasField("logits"):
        return TokenAnswer(name, labels, entities, None)
    cuts = np.cumsum(answer.logits.token_counts)[:-1]
    parts = zip(
        np.split(_floats(answer.logits.values), cuts),
        np.split(np.array(answer.logits.starts, dtype=np.int64), cuts),
        np.split(np.array(answer.logits.ends, dtype=np.int64), cuts),
        strict=True,
    )
    return TokenAnswer(name, labels, entities, [TokenLogits(*part) for part in parts])


def _floats(tensor: pb.Tensor) -> NDArray[np.float32]:
    return read_tensor(tensor).astype(np.float32, copy=False)


def _names(names: tuple[str, ...], indices: NDArray[np.int32]) -> list[str | None]:
    padded = (*names, None)  # index -1 is the last
    return [padded[index] for index in indices.tolist()]


def _read_status(status: pb.SentenceStatus) -> SentenceStatus:
    return SentenceStatus(
        code=_CODES[status.code],
        message=status.message,
        truncated=status.truncated,
        tokens=status.tokens,
        tokens_used=status.tokens_used,
    )


class _Codes(dict[int, str]):
    def __missing__(self, code: int) -> str:  # a code that a newer worker has
        return f"code_{code}"


_CODES = _Codes(
    {value: name.removeprefix("SENTENCE_CODE_").lower() for name, value in pb.SentenceCode.items()}
)


def _kind(kind: int) -> str:
    return _TASK_KINDS.get(kind, f"kind_{kind}")
