"""The service `tei.v1.Predict`: the labels of a text, by one of the model's tasks."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import numpy as np
from twinhead.protocols import tei_service_pb2 as tei
from twinhead.protocols import tei_service_pb2_grpc as tei_grpc
from twinhead.v1 import inference_service_pb2 as pb
from typing_extensions import override

from ..model.config import ModelConfig, TaskConfig, TaskKind
from .answers import sigmoid
from .engines.engine import FloatArray
from .errors import Context, InvalidRequestError
from .job import Job
from .live_model import LiveModel
from .pipeline import Pipeline
from .tei_errors import refusing, unfit_model
from .tei_question import Question, is_left
from .tei_stream import TextStream

TASK_KEY = "x-twinhead-task"
"""Metadata of a call that names the task, which `tei.v1` has no field for."""


@dataclass(frozen=True)
class PredictQuestion(Question[tei.PredictResponse]):
    """Asks for a text's labels."""

    raw_scores: bool
    task: str
    """Name of the task; empty for the model's first."""

    @override
    def outputs(self, model: LiveModel) -> pb.OutputSelection:
        return pb.OutputSelection(
            tasks=[_task_of(model.config, self.task).name],
            embedding=pb.EmbeddingOptions(format=pb.EMBEDDING_FORMAT_NONE),
            logits=False,
        )

    @override
    def rows(self, job: Job) -> Iterator[tei.PredictResponse]:
        (task,) = job.plan.tasks
        logits = job.logits[task.name]
        if task.kind is TaskKind.BINARY:
            logits = np.hstack([-logits, logits])  # the sigmoid of the one is 1 less the other's
        scores = logits if self.raw_scores else _probabilities(task, logits)
        for row, certainty in zip(scores, logits, strict=True):
            # By logits: probabilities that round to 1 are alike.
            order = np.argsort(-certainty, kind="stable")
            ranked = zip(row[order].tolist(), order.tolist(), strict=True)
            yield tei.PredictResponse(
                predictions=[
                    tei.Prediction(score=score, label=task.labels[index]) for score, index in ranked
                ]
            )


class PredictService(tei_grpc.PredictServicer):
    """Answers with labels, one by one or on a stream."""

    PredictPair = PredictPairStream = refusing("labels of pairs")

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def Predict(self, request: tei.PredictRequest, context: Context) -> tei.PredictResponse:
        """Answer one text; fails at once when the worker is full."""
        text, question = _read(request, _named_task(context))
        return await question.ask(self._pipeline, text)

    async def PredictStream(
        self, request_iterator: AsyncIterator[tei.PredictRequest], context: Context
    ) -> None:
        """Answer texts in their order."""
        task = _named_task(context)

        def read(request: tei.PredictRequest) -> tuple[str, PredictQuestion]:
            return _read(request, task)

        await TextStream(self._pipeline, read).answer(request_iterator, context.write)


def _read(request: tei.PredictRequest, task: str) -> tuple[str, PredictQuestion]:
    question = PredictQuestion(
        truncate=request.truncate,
        left=is_left(request.truncation_direction),
        raw_scores=request.raw_scores,
        task=task,
    )
    return request.inputs, question


def _named_task(context: Context) -> str:
    return next(
        (str(value) for key, value in context.invocation_metadata() or () if key == TASK_KEY), ""
    )


def _task_of(config: ModelConfig, name: str) -> TaskConfig:
    """The task that answers."""
    by_sentence = [task for task in config.tasks if task.kind is not TaskKind.TOKEN]
    names = ", ".join(task.name for task in by_sentence)[:200]
    if not by_sentence:
        raise unfit_model("the model has no task that gives labels to a text")
    if not name:
        single = (task for task in by_sentence if task.kind is TaskKind.SINGLE_LABEL)
        return next(single, by_sentence[0])
    for task in config.tasks:
        if task.name == name:
            if task not in by_sentence:
                raise unfit_model(f"task {name!r} gives labels to tokens; name one of {names}")
            return task
    raise InvalidRequestError([(TASK_KEY, f"unknown task {name[:64]!r}; the model has {names}")])


def _probabilities(task: TaskConfig, logits: FloatArray) -> FloatArray:
    """What the answers of our own contract say, but of every label."""
    if task.kind is not TaskKind.SINGLE_LABEL:
        return sigmoid(np.divide(logits, task.temperature, dtype=np.float32))
    below_top = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(np.divide(below_top, task.temperature, dtype=np.float32))
    return np.divide(exponentials, exponentials.sum(axis=1, keepdims=True), dtype=np.float32)
