"""Answers as the page shows them: a row for each sentence, as JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..labelling.label_columns import label_probabilities
from ..report.page_text import one_line
from ..results import (
    BinaryAnswer,
    Entity,
    InferResult,
    ModelInfo,
    MultiLabelAnswer,
    SentenceStatus,
    SingleLabelAnswer,
    TaskAnswer,
    TaskInfo,
    TokenAnswer,
)
from .web_recent import Neighbour

# Of a neighbour: what fits in two lines of a wide page.
_SHOWN_CHARACTERS = 200


def answer_rows(
    sentences: Sequence[str],
    result: InferResult,
    model: ModelInfo,
    neighbours: Sequence[Sequence[Neighbour]],
) -> list[dict[str, Any]]:
    """A row for each sentence.

    Args:
        sentences: those that were asked about.
        result: the answer, with logits.
        model: of the version that answered.
        neighbours: of each sentence.
    """
    tasks = [
        _task_rows(sentences, result.tasks[name], task)
        for name, task in model.tasks.items()
        if name in result.tasks
    ]
    return [
        {
            "status": _status(status),
            "tasks": [rows[place] for rows in tasks] if status.ok else [],
            "neighbours": [
                {
                    "text": one_line(near.text, _SHOWN_CHARACTERS),
                    "similarity": round(near.similarity, 4),
                    "example": near.example,
                }
                for near in neighbours[place]
            ],
        }
        for place, status in enumerate(result.statuses)
    ]


def _status(status: SentenceStatus) -> dict[str, Any]:
    return {
        "code": status.code,
        "message": status.message,
        "truncated": status.truncated,
        "tokens": status.tokens,
        "tokens_used": status.tokens_used,
    }


def _task_rows(
    sentences: Sequence[str], answer: TaskAnswer, task: TaskInfo
) -> Sequence[dict[str, Any]]:
    """What a task says of each sentence; nonsense where a sentence has no answer."""
    said = {"task": task.name, "kind": task.kind}
    match answer:
        case SingleLabelAnswer():
            return [
                {**said, "labels": [label], "bars": _bars(task, scores, [label])}
                for label, scores in zip(
                    answer.labels, label_probabilities(answer, task).tolist(), strict=True
                )
            ]
        case BinaryAnswer():
            # One bar: the other label has what is left.
            return [
                {
                    **said,
                    "labels": [label],
                    "bars": [_bar(task, 1, probability, task.thresholds[0], [label])],
                }
                for label, probability in zip(
                    answer.labels, answer.probabilities.tolist(), strict=True
                )
            ]
        case MultiLabelAnswer():
            return [
                {**said, "labels": labels, "bars": _bars(task, scores, labels)}
                for labels, scores in zip(
                    answer.labels, label_probabilities(answer, task).tolist(), strict=True
                )
            ]
        case TokenAnswer():
            types = _entity_types(task)
            return [
                {
                    **said,
                    "labels": sorted({entity.label for entity in entities}),
                    "parts": _parts(sentence, entities, types),
                }
                for sentence, entities in zip(sentences, answer.entities, strict=True)
            ]
        case _:  # of a kind that a newer worker has
            return [said] * len(sentences)


def _bars(
    task: TaskInfo, scores: Sequence[float], given: Sequence[str | None]
) -> list[dict[str, Any]]:
    """A bar for each label, the most probable first."""
    thresholds = task.thresholds or [None] * len(scores)
    return [
        _bar(task, place, scores[place], thresholds[place], given)
        for place in np.argsort(-np.array(scores), kind="stable").tolist()
    ]


def _bar(
    task: TaskInfo, place: int, score: float, threshold: float | None, given: Sequence[str | None]
) -> dict[str, Any]:
    label = task.label_names[place]
    return {
        "label": label,
        "colour": place,
        "score": _short(score),
        "threshold": threshold,
        "given": label in given,
    }


def _short(score: float) -> float:
    """Six digits: a float32 has no more, and JSON would have seventeen."""
    return float(f"{score:.6g}")


def _entity_types(task: TaskInfo) -> list[str]:
    """Types of entities, in the order of their tags."""
    tags = (tag for tag in task.label_names if tag != "O")
    return list(dict.fromkeys(tag[2:] if tag.startswith(("B-", "I-")) else tag for tag in tags))


def _parts(sentence: str, entities: Sequence[Entity], types: Sequence[str]) -> list[dict[str, Any]]:
    """The sentence cut at its entities.

    Here and not in the browser: offsets count characters, and JavaScript's count UTF-16 units.
    """
    parts: list[dict[str, Any]] = []
    end = 0
    for entity in entities:
        parts.append({"text": sentence[end : entity.start]})
        parts.append(
            {
                "text": sentence[entity.start : entity.end],
                "label": entity.label,
                "score": _short(entity.score),
                "colour": types.index(entity.label) if entity.label in types else len(types),
            }
        )
        end = entity.end
    parts.append({"text": sentence[end:]})
    return [part for part in parts if part["text"]]
