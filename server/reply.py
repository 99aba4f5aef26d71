"""A settled job to the response that answers it."""

from collections.abc import Sequence

import numpy as np
from google.protobuf.duration_pb2 import Duration
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import task_kind_pb2

from ..model.config import TaskConfig, TaskKind
from .engine import FloatArray
from .job import Job
from .tensor_wire import float16_tensor, float32_tensor, single_label_answer

TASK_KINDS = {TaskKind.SINGLE_LABEL: task_kind_pb2.TASK_KIND_SINGLE_LABEL}


def build_reply(job: Job, statuses: Sequence[pb.SentenceStatus]) -> pb.InferResponse:
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
    answered = np.array([sentence is not None for sentence in job.sentences])
    if (plan := job.plan.embedding) is not None:
        vectors = job.embeddings[:, : plan.dimensions]
        if plan.normalize:
            vectors = normalize(vectors)
        tensor = (
            float16_tensor(vectors.astype(np.float16)) if plan.float16 else float32_tensor(vectors)
        )
        response.embeddings.CopyFrom(tensor)
    for task in job.plan.tasks:
        response.tasks.append(_task_result(task, job.logits[task.name], answered, job.plan.logits))
    return response


def normalize(vectors: FloatArray) -> FloatArray:
    """Scale rows to unit L2 length; zero rows stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.divide(vectors, lengths, dtype=np.float32)


def _task_result(
    task: TaskConfig, logits: FloatArray, answered: np.ndarray, with_logits: bool
) -> pb.TaskResult:
    result = pb.TaskResult(name=task.name, kind=TASK_KINDS[task.kind], labels=task.labels)
    if with_logits:
        result.logits.CopyFrom(float32_tensor(logits))
    match task.kind:
        case TaskKind.SINGLE_LABEL:
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
            # The largest exponential is 1, so the top label's probability is 1 over their sum.
            scores = np.where(answered, 1.0 / exponentials.sum(axis=1), 0.0)
            indices = np.where(answered, logits.argmax(axis=1), -1)
            result.single_label.CopyFrom(single_label_answer(indices, scores))
    return result


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
