"""Lines of text that clients get wrong, and what the Python client says of them."""

import csv
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from conftest import ROOT
from twinhead.client import (
    BinaryAnswer,
    Client,
    InferOptions,
    InferResult,
    MultiLabelAnswer,
    SingleLabelAnswer,
    TokenAnswer,
)

PARTS = (
    "Ann lives in Rome",
    "👩‍👩‍👧‍👦 family",
    "🇩🇪 and 🇯🇵",
    "e\u0301 a\u0308 o\u0302",  # letters with combining marks
    "東京へ行きます",
    "서울",
    "שלום עולם",
    "नमस्ते",
    "\U0001d4b3\U0001d4ce\U0001d4cf \U00010348",  # letters beyond the first 65,536
    "🏛️☀︎",
    "naïve café",
    "\u2028",  # ends a line for some, and not here
    "a\u0085b\x0bc",
    "\t tab",
    '"quoted" \\ <b>&amp;</b>',
    "zero\u200bwidth\ufeff",
    "Paris, Texas",
)
ODD = (
    "",
    "   ",
    "\u3000",
    "\x01\x02",
    "😀",
    "\ufeffnot at the beginning of the file",
    "word " * 700,
    "é" * 3000,
    "🏅" * 300,
    "lone \r inside",
    "x",
    "-1.5e3",
)
COUNT = 500


def example_lines() -> list[str]:
    """Lines that are always the same."""
    rng = random.Random(7)
    with (ROOT / "examples/sentences.csv").open(encoding="utf-8", newline="") as stream:
        plain = [row["text"] for row in csv.DictReader(stream)]
    lines = [*ODD, *PARTS, *plain]
    while len(lines) < COUNT:
        lines.append(" ".join(rng.choices([*PARTS, *plain[:20]], k=rng.randint(1, 8))))
    lines = [line.replace("\n", " ") for line in lines[:COUNT]]
    rng.shuffle(lines)
    return lines


def expected_lines(
    target: str, lines: Sequence[str], batch_size: int, options: InferOptions
) -> Iterator[dict[str, Any]]:
    """What an example client prints, from the Python client's answers; floats are float32."""
    with Client(target) as client:
        for first in range(0, len(lines), batch_size):
            batch = lines[first : first + batch_size]
            result = client.infer(batch, options)
            for row, text in enumerate(batch):
                yield {"line": first + row + 1, "text": text} | _row(result, row, text)


def _row(result: InferResult, row: int, text: str) -> dict[str, Any]:
    status = result.statuses[row]
    said: dict[str, Any] = {
        "status": status.code,
        "tokens": status.tokens,
        "truncated": status.truncated,
        "model_version": result.model_version,
    }
    if not status.ok:
        return said | {"message": status.message}
    for name, answer in result.tasks.items():
        match answer:
            case SingleLabelAnswer() | BinaryAnswer():
                said[name] = {"label": answer.labels[row], "score": answer.scores[row]}
            case MultiLabelAnswer():
                given = zip(answer.labels[row], answer.scores[row], strict=True)
                said[name] = [{"label": label, "score": score} for label, score in given]
            case TokenAnswer():
                said[name] = [
                    {
                        "label": each.label,
                        "start": each.start,
                        "end": each.end,
                        "text": text[each.start : each.end],
                        "score": np.float32(each.score),
                    }
                    for each in answer.entities[row]
                ]
            case _:
                raise AssertionError(answer)
    if result.embeddings is not None:
        said["embedding"] = list(result.embeddings[row])
    return said


def as_float32(value: Any) -> Any:
    """What was read from JSON, with its fractions and scores as the float32 that they stand for."""
    match value:
        case dict():
            return {
                key: np.float32(each) if key == "score" else as_float32(each)
                for key, each in value.items()
            }
        case list():
            numbers = bool(value) and all(isinstance(each, int | float) for each in value)
            return [np.float32(each) if numbers else as_float32(each) for each in value]
        case _:
            return value
