"""Answers to all kinds of tasks that follow from the text alone, as a worker sends and a user reads
them: whatever way an answer takes, it can be seen whose it is."""

import math
import random
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from twinhead.client import ModelInfo, TaskInfo
from twinhead.model.config import TaskConfig
from twinhead.server.answers import (
    TASK_KINDS,
    binary_answer,
    multi_label_answer,
    single_label_answer,
)
from twinhead.server.tensor_wire import float32_tensor
from twinhead.v1 import inference_service_pb2 as pb

DIMENSIONS = 3
CONFIGS = (
    TaskConfig(name="topic", labels=("World", "[/Sports]", "Sci, Tech"), temperature=2.5),
    TaskConfig(name="urgent", kind="binary", labels=("no", "yes"), thresholds=(0.7,)),
    TaskConfig(
        name="tags",
        kind="multi_label",
        labels=("a", "b", "c"),
        thresholds=(0.5, 0.2, 0.9),
        temperature=0.4,
    ),
    TaskConfig(name="names", kind="token", labels=("O", "B-PER", "I-PER", "B-ORG", "I-ORG")),
)
TASKS = {
    task.name: TaskInfo(
        task.name, task.kind.value, task.labels, task.effective_thresholds, task.temperature
    )
    for task in CONFIGS
}
MODEL = ModelInfo(
    version="v1",
    encoder="none",
    tasks=TASKS,
    embedding_dimensions=DIMENSIONS,
    normalize=False,
    engine="none",
    precision="float32",
    device="cpu",
    worker_release="0",
    sentences_per_request=64,
    request_bytes=1_000_000,
    tokens_per_sentence=64,
    characters_per_sentence=40,
)

_CODES = {
    "": pb.SENTENCE_CODE_OK,
    "empty": pb.SENTENCE_CODE_EMPTY,
    "too long": pb.SENTENCE_CODE_TOO_LONG,
    "invalid": pb.SENTENCE_CODE_INVALID,
}


def failure(text: str) -> str:
    """Why a text has no answer, empty for those that have one."""
    if not text.strip():
        return "empty"
    return "too long" if text.startswith("long") else "invalid" if text.startswith("\0") else ""


def logits(text: str, task: str, count: int) -> list[float]:
    source = random.Random(zlib.crc32(f"{task} {text}".encode("utf-8", "surrogatepass")))
    return [float(np.float32(source.gauss(0, 3))) for _ in range(count)]


def embedding(text: str) -> list[float]:
    """NaN in that of a text that says so: what a model gives that has gone astray."""
    values = logits(text, "embedding", DIMENSIONS)
    return [math.nan, *values[1:]] if text.startswith("nan") else values


def entities(text: str) -> list[dict[str, Any]]:
    """Words that begin with a capital, organisations when they end with one."""
    return [
        {
            "text": found.group(),
            "label": "ORG" if found.group()[-1].isupper() else "PER",
            "start": found.start(),
            "end": found.end(),
            "score": 1 / (2 + len(found.group())),
        }
        for found in re.finditer(r"\b[A-ZÜ]\w*", text)
    ]


def respond(
    texts: Sequence[str], *, embeddings: bool = True, version: str = "v1"
) -> pb.InferResponse:
    """What a worker answers, with logits."""
    response = pb.InferResponse(model_version=version)
    answered = np.array([not failure(text) for text in texts], dtype=bool)
    for task in CONFIGS:
        values = np.zeros((len(texts), task.logits), np.float32)
        for row in np.flatnonzero(answered):
            values[row] = logits(texts[row], task.name, task.logits)
        result = response.tasks.add(name=task.name, kind=TASK_KINDS[task.kind], labels=task.labels)
        match task.kind.value:
            case "single_label":
                result.single_label.CopyFrom(single_label_answer(task, values, answered))
            case "binary":
                result.binary.CopyFrom(binary_answer(task, values, answered))
            case "multi_label":
                result.multi_label.CopyFrom(multi_label_answer(task, values, answered))
            case _:
                _add_entities(result.token, texts)
                continue
        result.logits.CopyFrom(float32_tensor(values))
    for text in texts:
        why = failure(text)
        response.statuses.add(
            code=_CODES[why],
            message=why and f"the sentence is {why}",
            truncated="cut" in text or why == "too long",
        )
    if embeddings:
        rows = [[0.0] * DIMENSIONS if failure(text) else embedding(text) for text in texts]
        response.embeddings.CopyFrom(float32_tensor(np.array(rows, np.float32)))
    return response


def _add_entities(answer: pb.TokenAnswer, texts: Sequence[str]) -> None:
    answer.SetInParent()  # it is there without sentences, too
    for text in texts:
        found = [] if failure(text) else entities(text)
        answer.sentences.add(
            entities=[
                pb.Entity(**{name: each[name] for name in ("label", "start", "end", "score")})
                for each in found
            ]
        )


def expected_row(
    text: str, *, embeddings: bool = True, scores: bool = False, version: str = "v1"
) -> dict[str, Any]:
    """The new columns of a row, in plain Python."""
    topic = logits(text, "topic", 3)
    powers = [math.exp((value - max(topic)) / TASKS["topic"].temperature) for value in topic]
    topics = [power / sum(powers) for power in powers]
    urgent = _sigmoid(logits(text, "urgent", 1)[0])
    tags = [_sigmoid(value / TASKS["tags"].temperature) for value in logits(text, "tags", 3)]
    given = [
        n for n, (tag, least) in enumerate(zip(tags, (0.5, 0.2, 0.9), strict=True)) if tag >= least
    ]
    given.sort(key=lambda n: -tags[n])
    row: dict[str, Any] = {
        "topic": TASKS["topic"].label_names[topics.index(max(topics))],
        "topic_score": max(topics),
    }
    if scores:
        names = TASKS["topic"].label_names
        row |= {f"topic_score_{name}": each for name, each in zip(names, topics, strict=True)}
    row |= {"urgent": "yes" if urgent >= 0.7 else "no", "urgent_probability": urgent}
    row |= {"tags": ["abc"[n] for n in given], "tags_scores": [tags[n] for n in given]}
    if scores:
        row |= {f"tags_score_{name}": each for name, each in zip("abc", tags, strict=True)}
    row["names"] = entities(text)
    if embeddings:
        row["embedding"] = embedding(text)
    row["truncated"] = "cut" in text
    why = failure(text)
    if why:
        row = dict.fromkeys(row)
    row["error"] = f"the sentence is {why}" if why else None
    row["model_version"] = version
    return row


def failed_row(message: str, **options: bool) -> dict[str, Any]:
    """The new columns of a row whose request the workers failed on."""
    return {**dict.fromkeys(expected_row("text", **options)), "error": message}


def same(found: Any, expected: Any) -> bool:
    """Whether values are alike; numbers as far as a float32 tells them apart."""
    if isinstance(expected, float):
        both_nan = isinstance(found, float) and math.isnan(found) and math.isnan(expected)
        return both_nan or (
            isinstance(found, float) and math.isclose(found, expected, rel_tol=2e-6, abs_tol=2e-6)
        )
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(same(found[k], expected[k]) for k in expected)
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(map(same, found, expected))
        )
    return type(found) is type(expected) and found == expected


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
