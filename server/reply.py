"""A settled job to the response that answers it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from google.protobuf.duration_pb2 import Duration
from numpy.typing import NDArray
from twinhead.v1 import inference_service_pb2 as pb

from ..model.config import TaskConfig, TaskKind
from .answers import (
    TASK_KINDS,
    binary_answer,
    multi_label_answer,
    single_label_answer,
    token_answer,
)
from .engines.engine import FloatArray
from .job import Job
from .tensor_wire import bit_tensor, float16_tensor, float32_tensor, int8_tensor

_FORMATS: Mapping[int, Callable[[FloatArray], pb.Tensor]] = {
    pb.EMBEDDING_FORMAT_FLOAT32: float32_tensor,
    pb.EMBEDDING_FORMAT_FLOAT16: float16_tensor,
    pb.EMBEDDING_FORMAT_INT8: int8_tensor,
    pb.EMBEDDING_FORMAT_BINARY: bit_tensor,
}


def build_reply(
    job: Job, sentences: Sequence[str], statuses: Sequence[pb.SentenceStatus]
) -> pb.InferResponse:
    """Build the response; row i of everything belongs to sentence i."""
    response = pb.InferResponse(
        model_version=job.model.version,
        statuses=statuses,
        timing=pb.Timing(
            tokenize=_duration(job.tokenize_seconds),
            queue=_duration(job.queue_seconds),
            encode=_duration(job.encode_seconds),
        ),
    )
    if (plan := job.plan.embedding) is not None:
        vectors = job.embeddings[:, : plan.dimensions]
        if plan.normalize:
            vectors = normalize(vectors)
        response.embeddings.CopyFrom(_FORMATS[plan.format](vectors))
    answered = np.array([sentence is not None for sentence in job.sentences])
    for task in job.plan.tasks:
        result = pb.TaskResult(name=task.name, kind=TASK_KINDS[task.kind], labels=task.labels)
        if task.kind is TaskKind.TOKEN:
            result.token.CopyFrom(
                token_answer(
                    task,
                    job.token_logits[task.name],
                    sentences,
                    job.sentences,
                    with_logits=job.plan.token_logits,
                )
            )
        else:
            _answer_by_sentence(result, task, job.logits[task.name], answered)
            if job.plan.logits:
                result.logits.CopyFrom(float32_tensor(job.logits[task.name]))
        response.tasks.append(result)
    return response


def normalize(vectors: FloatArray) -> FloatArray:
    """Scale rows to unit L2 length; zero rows stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.divide(vectors, lengths, dtype=np.float32)


def _answer_by_sentence(
    result: pb.TaskResult, task: TaskConfig, logits: FloatArray, answered: NDArray[np.bool_]
) -> None:
    match task.kind:
        case TaskKind.SINGLE_LABEL:
            result.single_label.CopyFrom(single_label_answer(task, logits, answered))
        case TaskKind.BINARY:
            result.binary.CopyFrom(binary_answer(task, logits, answered))
        case _:
            result.multi_label.CopyFrom(multi_label_answer(task, logits, answered))


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
