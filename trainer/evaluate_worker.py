"""Measures the model of a running worker on labelled rows: what callers get, over the wire."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from ..client import (
    BinaryAnswer,
    Client,
    InferOptions,
    InferResult,
    InvalidRequestError,
    ModelInfo,
    MultiLabelAnswer,
    SingleLabelAnswer,
    TaskAnswer,
    TokenAnswer,
    TwinheadError,
    VersionNotLiveError,
    WorkerFailedError,
)
from ..model.config import TaskConfig, TaskKind
from .encoded_rows import offered_labels, word_targets
from .evaluate_model import FailedRow, ModelEvaluation
from .evaluation_rows import EvaluationRows, EvaluationSplit
from .labelled_rows import Label, LabelledRow
from .predictions import Predictions, evaluations_of
from .run_summary import Evaluation
from .task_logits import NOT_OFFERED

# Of a request: as many short sentences as fill a pass, and far below the worker's 16 MiB.
_MAX_ROWS = 256
_MAX_CHARACTERS = 250_000
# Of the logits of tokens, which are nearly all of an answer; clients take 64 MiB.
_ANSWER_BYTES = 16 * 1024 * 1024
# Two integers a token say where it is.
_PLACE_BYTES = 8


def tasks_of(model: ModelInfo) -> dict[str, TaskConfig]:
    """The tasks of a worker's model by name; those of a kind that is unknown here are left out."""
    kinds = {kind.value: kind for kind in TaskKind}
    return {
        task.name: TaskConfig(
            name=task.name,
            kind=kinds[task.kind],
            labels=task.label_names,
            thresholds=tuple(map(_stated, task.thresholds)),
            temperature=_stated(task.temperature),
        )
        for task in model.tasks.values()
        if task.kind in kinds
    }


def evaluate_worker(
    client: Client, model: ModelInfo, data: EvaluationRows, *, on_progress: Callable[[int], None]
) -> ModelEvaluation:
    """Measure every task on the rows that have its labels, at the task's own temperature.

    Figures are computed from logits, so they are those that `evaluate_model` gives for the same
    model.

    Args:
        client: of the worker.
        model: what the worker serves; only this version is measured.
        data: rows with labels of its tasks.
        on_progress: called with the rows done.

    Raises:
        VersionNotLiveError: another model was made live on the way.
        TwinheadError: the worker cannot go on.
    """
    evaluations: list[Evaluation] = []
    failed: list[FailedRow] = []
    done = 0
    for split in data.splits:
        collected = _Collected(split, tasks_of(model))
        for answer, rows in _answers(client, model, split, collected.tasks):
            failed += collected.add(answer, rows)
            done += len(rows)
            on_progress(done)
        predictions = collected.predictions()
        evaluations += evaluations_of(split.name, split.datasets, split.dataset, predictions)
    return ModelEvaluation(
        model.version, data.count - len(failed), tuple(evaluations), tuple(failed)
    )


class _Collected:
    """Logits and targets of a split as they come in."""

    def __init__(self, split: EvaluationSplit, tasks: Mapping[str, TaskConfig]) -> None:
        labelled = {name for row in split.rows for name in row.labels}
        self.tasks = [task for name, task in tasks.items() if name in labelled]
        self._split = split
        self._rows: dict[str, list[int]] = {task.name: [] for task in self.tasks}
        self._logits: dict[str, list[NDArray[np.float32]]] = {t.name: [] for t in self.tasks}
        self._targets: dict[str, list[NDArray[np.int64]]] = {t.name: [] for t in self.tasks}

    def add(self, answer: InferResult | TwinheadError, rows: range) -> list[FailedRow]:
        """Take the answer to some rows; return those that have none."""
        if isinstance(answer, TwinheadError):
            return [FailedRow(self._split.rows[index].origin, str(answer)) for index in rows]
        failed: list[FailedRow] = []
        for place, index in enumerate(rows):
            row, status = self._split.rows[index], answer.statuses[place]
            if not status.ok:
                failed.append(FailedRow(row.origin, status.message or status.code))
                continue
            for task in self.tasks:
                if (label := row.labels.get(task.name)) is None:
                    continue
                logits, targets = _pair(task, row, label, answer.tasks[task.name], place)
                if task.name in row.choices:
                    logits = np.where(offered_labels(task, row), logits, np.float32(NOT_OFFERED))
                if logits.size:  # truncation can cut off all words that have a tag
                    self._rows[task.name].append(index)
                    self._logits[task.name].append(logits)
                    self._targets[task.name].append(targets)
        return failed

    def predictions(self) -> dict[str, Predictions]:
        """All of it, by task."""
        return {
            task.name: Predictions(
                task,
                np.array(self._rows[task.name], dtype=np.int64),
                self._logits[task.name],
                self._targets[task.name],
            )
            for task in self.tasks
        }


def _answers(
    client: Client, model: ModelInfo, split: EvaluationSplit, tasks: Sequence[TaskConfig]
) -> Iterator[tuple[InferResult | TwinheadError, range]]:
    """The answer to each batch, and which rows it is about."""
    token_labels = sum(task.logits for task in tasks if task.kind is TaskKind.TOKEN)
    options = InferOptions(
        tasks=[task.name for task in tasks],
        embedding=None,
        token_logits=token_labels > 0,
        # Else figures of two models would be mixed when another one is made live.
        model_version=model.version,
    )
    most_rows = min(_MAX_ROWS, model.sentences_per_request)
    if token_labels:
        row_bytes = model.tokens_per_sentence * (4 * token_labels + _PLACE_BYTES)
        most_rows = max(1, min(most_rows, _ANSWER_BYTES // row_bytes))
    # As many characters are read of a sentence; one more tells that there are more.
    texts = [row.text[: model.characters_per_sentence + 1] for row in split.rows]
    sent: deque[range] = deque()

    def batches() -> Iterator[Sequence[str]]:
        for rows in _cut(texts, most_rows):
            sent.append(rows)
            yield texts[rows.start : rows.stop]

    with closing(client.infer_stream(batches(), options)) as answers:
        for answer in answers:
            if isinstance(answer, VersionNotLiveError):
                raise VersionNotLiveError(
                    f"the worker's model was changed while it was measured: {answer}"
                ) from answer
            if isinstance(answer, InvalidRequestError):
                raise answer  # it would be the same for every batch
            yield answer, sent.popleft()


def _cut(texts: Sequence[str], most_rows: int) -> Iterator[range]:
    start = characters = 0
    for index, text in enumerate(texts):
        full = index - start == most_rows or characters + len(text) > _MAX_CHARACTERS
        if index > start and full:
            yield range(start, index)
            start, characters = index, 0
        characters += len(text)
    if start < len(texts):
        yield range(start, len(texts))


def _pair(
    task: TaskConfig, row: LabelledRow, label: Label, answer: TaskAnswer, place: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits and targets of one row, as `Predictions` has them."""
    match answer:
        case TokenAnswer(token_logits=found) if found is not None:
            tokens = found[place]
            offsets = list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))
            chosen, tags = word_targets(task, row, offsets)
            return tokens.values[chosen], tags
        case MultiLabelAnswer(logits=logits) if logits is not None:
            targets = np.array([int(name in label) for name in task.labels], dtype=np.int64)
            return logits[place], targets
        case SingleLabelAnswer(logits=logits) | BinaryAnswer(logits=logits) if logits is not None:
            return logits[place], np.array(task.labels.index(str(label)), dtype=np.int64)
        case _:
            raise WorkerFailedError(f"the worker's answer has no logits of {task.name}")


def _stated(value: float) -> float:
    """A number as it was before it became a float32 of the contract: 0.6, not 0.60000002."""
    return float(str(np.float32(value)))
