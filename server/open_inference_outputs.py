"""What a model answers in the Open Inference Protocol: which tensors, and what is in them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from twinhead.v1 import inference_service_pb2 as pb

from ..model.config import TaskConfig, TaskKind
from .live_model import LiveModel
from .open_inference_tensors import Values, float_array
from .tensor_wire import FloatArray

_STATUSES: Mapping[int, bytes] = {
    value: name.removeprefix("SENTENCE_CODE_").encode() for name, value in pb.SentenceCode.items()
}


class Part(Enum):
    """What of an answer a tensor holds."""

    EMBEDDING = auto()
    STATUS = auto()
    LOGITS = auto()
    LABEL = auto()
    SCORE = auto()


@dataclass(frozen=True)
class Output:
    """A tensor that a model can answer with, a row a sentence."""

    name: str
    part: Part
    task: str = ""
    """The task that it is of, if it is of one."""
    width: tuple[int, ...] = ()
    """Length of each dimension after the first."""

    @property
    def datatype(self) -> str:
        """Type of its elements."""
        return "BYTES" if self.part in (Part.STATUS, Part.LABEL) else "FP32"


def outputs_of(model: LiveModel) -> dict[str, Output]:
    """The tensors of a model by name, in the order of an answer.

    No two have one name, whatever the tasks are called: those of tasks end in what they hold, the
    others in none of it, and a task has a name of its own.
    """
    outputs = [Output("embedding", Part.EMBEDDING, width=(model.dimensions,))]
    for task in model.config.tasks:
        outputs += _outputs_of_task(task)
    outputs.append(Output("status", Part.STATUS))
    return {output.name: output for output in outputs}


def _outputs_of_task(task: TaskConfig) -> Iterator[Output]:
    if task.kind is not TaskKind.TOKEN:  # the logits of tokens have no row a sentence
        yield Output(f"{task.name}_logits", Part.LOGITS, task.name, (task.logits,))
    yield Output(f"{task.name}_label", Part.LABEL, task.name)
    if task.kind in (TaskKind.SINGLE_LABEL, TaskKind.BINARY):
        yield Output(f"{task.name}_score", Part.SCORE, task.name)


def selection(outputs: Sequence[Output]) -> pb.OutputSelection:
    """What to compute so that there are these tensors."""
    tasks = list(dict.fromkeys(output.task for output in outputs if output.task))
    parts = {output.part for output in outputs}
    selected = pb.OutputSelection(
        tasks=tasks,
        skip_tasks=not tasks,
        embedding=pb.EmbeddingOptions(format=pb.EMBEDDING_FORMAT_NONE),
        logits=Part.LOGITS in parts,
    )
    # Something must be asked for; of all there is, an embedding takes the least.
    if Part.EMBEDDING in parts or not tasks:
        selected.embedding.format = pb.EMBEDDING_FORMAT_FLOAT32
    return selected


def read_outputs(
    outputs: Sequence[Output], response: pb.InferResponse, sentences: Sequence[str]
) -> Iterator[Values]:
    """What is in each of these tensors.

    Args:
        outputs: which; what they need was selected.
        response: the answer.
        sentences: that it answers.
    """
    tasks = {result.name: result for result in response.tasks}
    for output in outputs:
        match output.part:
            case Part.EMBEDDING:
                yield float_array(response.embeddings)
            case Part.STATUS:
                yield [_STATUSES[status.code] for status in response.statuses]
            case Part.LOGITS:
                yield float_array(tasks[output.task].logits)
            case Part.LABEL:
                yield _labels(tasks[output.task], response.statuses, sentences)
            case Part.SCORE:
                yield _scores(tasks[output.task])


def _labels(
    result: pb.TaskResult, statuses: Sequence[pb.SentenceStatus], sentences: Sequence[str]
) -> list[bytes]:
    match result.WhichOneof("answer"):
        case "single_label":
            return _names(result.labels, result.single_label.label_indices)
        case "binary":
            return _names(result.labels, result.binary.label_indices)
        case "multi_label":
            rows = [
                [
                    {"label": result.labels[index], "score": score}
                    for index, score in zip(each.label_indices, each.scores, strict=True)
                ]
                for each in result.multi_label.sentences
            ]
        case _:
            rows = [
                [
                    {
                        "label": entity.label,
                        "start": entity.start,
                        "end": entity.end,
                        "score": entity.score,
                        "text": text[entity.start : entity.end],
                    }
                    for entity in each.entities
                ]
                for each, text in zip(result.token.sentences, sentences, strict=True)
            ]
    return [
        json.dumps(row, ensure_ascii=False).encode() if status.code == pb.SENTENCE_CODE_OK else b""
        for row, status in zip(rows, statuses, strict=True)
    ]


def _names(labels: Sequence[str], indices: Sequence[int]) -> list[bytes]:
    names = [label.encode() for label in labels]
    return [names[index] if index >= 0 else b"" for index in indices]


def _scores(result: pb.TaskResult) -> FloatArray:
    """The probability of each label that was given, of a binary task, too."""
    if result.WhichOneof("answer") == "single_label":
        return np.array(result.single_label.scores, dtype=np.float32)
    yes = np.array(result.binary.probabilities, dtype=np.float32)
    indices = np.array(result.binary.label_indices)
    return np.where(indices == 1, yes, np.where(indices == 0, 1 - yes, np.float32(0)))
