"""Logits to the answer of a task, as people read it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import task_kind_pb2

from ..model.config import TaskConfig, TaskKind
from ..model.entity_tags import spans_of
from ..model.tokenizer import TokenizedSentence
from ..model.words import first_tokens, split_words
from .engines.engine import FloatArray
from .tensor_wire import float32_tensor, packed_floats

TASK_KINDS = {
    TaskKind.SINGLE_LABEL: task_kind_pb2.TASK_KIND_SINGLE_LABEL,
    TaskKind.BINARY: task_kind_pb2.TASK_KIND_BINARY,
    TaskKind.MULTI_LABEL: task_kind_pb2.TASK_KIND_MULTI_LABEL,
    TaskKind.TOKEN: task_kind_pb2.TASK_KIND_TOKEN,
}


def single_label_answer(
    task: TaskConfig, logits: FloatArray, answered: NDArray[np.bool_]
) -> pb.SingleLabelAnswer:
    """The most probable label of each row, [rows, labels]; none where not `answered`."""
    scores = np.where(answered, _top_probabilities(task, logits), 0.0)
    indices = np.where(answered, logits.argmax(axis=1), -1)
    answer = pb.SingleLabelAnswer(label_indices=indices.tolist())
    packed_floats(answer, pb.SingleLabelAnswer.SCORES_FIELD_NUMBER, scores)
    return answer


def binary_answer(
    task: TaskConfig, logits: FloatArray, answered: NDArray[np.bool_]
) -> pb.BinaryAnswer:
    """Yes or no for each row, [rows, 1]; neither where not `answered`."""
    probabilities = np.where(answered, sigmoid(_calibrated(task, logits[:, 0])), 0.0)
    indices = np.where(answered, probabilities >= task.effective_thresholds[0], -1)
    answer = pb.BinaryAnswer(label_indices=indices.astype(np.int64).tolist())
    packed_floats(answer, pb.BinaryAnswer.PROBABILITIES_FIELD_NUMBER, probabilities)
    return answer


def multi_label_answer(
    task: TaskConfig, logits: FloatArray, answered: NDArray[np.bool_]
) -> pb.MultiLabelAnswer:
    """The labels of each row that reach their thresholds, [rows, labels]."""
    probabilities = sigmoid(_calibrated(task, logits))
    given = (probabilities >= np.array(task.effective_thresholds)) & answered[:, None]
    answer = pb.MultiLabelAnswer()
    for values, row, chosen in zip(logits, probabilities, given, strict=True):
        indices = np.flatnonzero(chosen)
        # By logits: probabilities that round to 1 are alike, and more so at a low temperature.
        indices = indices[np.argsort(-values[indices], kind="stable")]
        answer.sentences.add(label_indices=indices.tolist(), scores=row[indices].tolist())
    return answer


def token_answer(
    task: TaskConfig,
    logits: Sequence[FloatArray],
    sentences: Sequence[str],
    tokenized: Sequence[TokenizedSentence | None],
    *,
    with_logits: bool,
) -> pb.TokenAnswer:
    """The entities of each sentence.

    Args:
        task: the token task.
        logits: of each sentence, [tokens, labels], special tokens included.
        sentences: as the caller sent them.
        tokenized: with offsets; None where there is no answer.
        with_logits: whether to return the logits of the tokens, too.
    """
    answer = pb.TokenAnswer()
    for text, tokens, rows in zip(sentences, tokenized, logits, strict=True):
        entities = answer.sentences.add()
        if tokens is not None and tokens.offsets is not None:
            entities.entities.extend(_entities(task, rows, text, tokens.offsets))
    if with_logits:
        answer.logits.CopyFrom(_token_logits(logits, tokenized, task.logits))
    return answer


def decisions(task: TaskConfig, logits: FloatArray) -> NDArray[Any]:
    """What the answer says, without scores, in a form that can be compared.

    Returns:
        Of logits [..., labels] the place of the label [...]; for binary and multi_label, which
        labels reach their thresholds, [..., labels].
    """
    if task.kind in (TaskKind.SINGLE_LABEL, TaskKind.TOKEN):
        return logits.argmax(axis=-1)
    return sigmoid(_calibrated(task, logits)) >= np.array(task.effective_thresholds)


def sigmoid(logits: FloatArray) -> FloatArray:
    """The logistic function, without overflow for large negative values."""
    exponentials = np.exp(-np.abs(logits))
    upper = np.where(logits >= 0, np.float32(1), exponentials)
    return np.divide(upper, 1 + exponentials, dtype=np.float32)


def _calibrated(task: TaskConfig, logits: FloatArray) -> FloatArray:
    """Logits divided by the task's temperature (Guo et al. 2017, arXiv:1706.04599)."""
    return np.divide(logits, task.temperature, dtype=np.float32)


def _top_probabilities(task: TaskConfig, logits: FloatArray) -> FloatArray:
    """Softmax probability of the top label of each row, [rows, labels]."""
    # The largest exponential is 1, so the top label's probability is 1 over their sum.
    below_top = _calibrated(task, logits - logits.max(axis=1, keepdims=True))
    return np.divide(1.0, np.exp(below_top).sum(axis=1), dtype=np.float32)


def _entities(
    task: TaskConfig, logits: FloatArray, text: str, offsets: Sequence[tuple[int, int]]
) -> list[pb.Entity]:
    end_of_read = max((end for _, end in offsets), default=0)
    words = split_words(text[:end_of_read])
    chosen = first_tokens(words, offsets)
    # Words that share a token have one label between them: they are one word here.
    first_word = {
        token: word for word, token in zip(reversed(words), reversed(chosen), strict=True)
    }
    last_word = {token: word for word, token in zip(words, chosen, strict=True)}
    tokens = [token for token in first_word if token >= 0][::-1]
    if not tokens:
        return []
    words = [(first_word[token][0], last_word[token][1]) for token in tokens]
    rows = logits[tokens]
    best = rows.argmax(axis=1)
    scores = _top_probabilities(task, rows)
    return [
        pb.Entity(
            label=span.label,
            start=words[span.first][0],
            end=words[span.last][1],
            score=float(scores[span.first : span.last + 1].mean()),
        )
        for span in spans_of([task.labels[index] for index in best])
    ]


def _token_logits(
    logits: Sequence[FloatArray], tokenized: Sequence[TokenizedSentence | None], labels: int
) -> pb.TokenLogits:
    message = pb.TokenLogits()
    kept: list[FloatArray] = [np.zeros((0, labels), dtype=np.float32)]
    for rows, tokens in zip(logits, tokenized, strict=True):
        offsets = tokens.offsets if tokens is not None and tokens.offsets is not None else []
        real = [index for index, (start, end) in enumerate(offsets) if start < end]
        message.token_counts.append(len(real))
        message.starts.extend(offsets[index][0] for index in real)
        message.ends.extend(offsets[index][1] for index in real)
        kept.append(rows[real])
    message.values.CopyFrom(float32_tensor(np.concatenate(kept)))
    return message
