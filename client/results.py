"""What a worker answers, as numpy arrays and plain Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import model_service_pb2, task_kind_pb2

FloatArray = NDArray[np.floating]

_TASK_KINDS: dict[int, str] = {task_kind_pb2.TASK_KIND_SINGLE_LABEL: "single_label"}


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
    """What one task says of each sentence."""

    name: str
    kind: str
    """`single_label`."""
    label_names: tuple[str, ...]
    """In the order of the logits' columns."""
    indices: NDArray[np.int32]
    """Index of the most probable label, [sentences]; -1 where the status is not ok."""
    scores: NDArray[np.float32]
    """Its probability, [sentences]; 0 where the status is not ok."""
    logits: NDArray[np.float32] | None
    """[sentences, labels], or None when not asked for."""

    @cached_property
    def labels(self) -> list[str | None]:
        """The most probable label of each sentence; None where the status is not ok."""
        names = (*self.label_names, None)  # index -1 is the last
        return [names[index] for index in self.indices.tolist()]


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
    embeddings: FloatArray | None
    """float32 or float16, [sentences, dimensions]; None when not asked for."""
    tasks: Mapping[str, TaskAnswer]
    statuses: Sequence[SentenceStatus]
    timing: Timing

    def __getitem__(self, task: str) -> TaskAnswer:
        return self.tasks[task]

    def __len__(self) -> int:
        return len(self.statuses)


@dataclass(frozen=True)
class TaskInfo:
    """One task of a model."""

    name: str
    kind: str
    label_names: tuple[str, ...]


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


def read_tensor(tensor: pb.Tensor) -> FloatArray:
    """Read a tensor into an array of its shape.

    Raises:
        ValueError: an element type that this release does not know.
    """
    if tensor.dtype == pb.DATA_TYPE_FLOAT32:
        array: FloatArray = np.array(tensor.float32_values, dtype=np.float32)
    elif tensor.dtype == pb.DATA_TYPE_FLOAT16:
        array = np.frombuffer(tensor.raw, dtype="<f2")
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
            task.name: TaskInfo(task.name, _kind(task.kind), tuple(task.labels))
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


def _read_task(task: pb.TaskResult) -> TaskAnswer:
    logits = read_tensor(task.logits) if task.HasField("logits") else None
    return TaskAnswer(
        name=task.name,
        kind=_kind(task.kind),
        label_names=tuple(task.labels),
        indices=np.array(task.single_label.label_indices, dtype=np.int32),
        scores=np.array(task.single_label.scores, dtype=np.float32),
        logits=None if logits is None else logits.astype(np.float32, copy=False),
    )


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
