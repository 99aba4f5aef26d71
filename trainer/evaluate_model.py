"""Measures a checkpoint on labelled rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..model.checkpoint import Checkpoint
from .encoded_rows import encode_rows
from .evaluation_rows import EvaluationRows, EvaluationSplit
from .padded_batch import CPU_PASS_TOKENS, GPU_PASS_TOKENS
from .predictions import Predictions, evaluations_of, predict
from .row_batches import RowBatches
from .run_summary import Evaluation

# As a worker says it.
_UNREAD = "nothing of the sentence can be read by the model (control characters only?)"


@dataclass(frozen=True)
class FailedRow:
    """A row that has no answer; it is in no figure."""

    origin: str
    """File and line."""
    reason: str


@dataclass(frozen=True)
class ModelEvaluation:
    """The figures of one model."""

    version: str
    """Version id of the model: all figures are of it."""
    rows: int
    """Rows that were measured; most have labels of some tasks only."""
    evaluations: tuple[Evaluation, ...]
    failed: tuple[FailedRow, ...]


def evaluate_model(
    checkpoint: Checkpoint,
    data: EvaluationRows,
    *,
    device: torch.device,
    on_progress: Callable[[int], None],
) -> ModelEvaluation:
    """Measure every task on the rows that have its labels, at the task's own temperature.

    Args:
        checkpoint: the model; its network moves to `device`.
        data: rows with labels of its tasks.
        device: where to compute; in float32.
        on_progress: called with the rows done.
    """
    evaluations: list[Evaluation] = []
    failed: list[FailedRow] = []
    done = 0
    for split in data.splits:
        before = done

        def progressed(rows: int, before: int = before) -> None:
            on_progress(before + rows)

        predictions, lost = _predict(checkpoint, split, device, progressed)
        evaluations += evaluations_of(split.name, split.datasets, split.dataset, predictions)
        failed += lost
        done += len(split.rows)
    return ModelEvaluation(
        checkpoint.version, data.count - len(failed), tuple(evaluations), tuple(failed)
    )


def _predict(
    checkpoint: Checkpoint,
    split: EvaluationSplit,
    device: torch.device,
    progressed: Callable[[int], None],
) -> tuple[dict[str, Predictions], list[FailedRow]]:
    tasks = checkpoint.config.tasks
    rows = encode_rows(split.groups, tasks, checkpoint.tokenizer)
    network = checkpoint.network.to(device)
    budget = CPU_PASS_TOKENS if device.type == "cpu" else GPU_PASS_TOKENS
    batches = RowBatches(rows, tasks, device, budget)
    # A worker does not answer these, either, and the figures of both are to be the same.
    unread = np.flatnonzero(rows.lengths <= checkpoint.tokenizer.special_tokens)
    failed = [FailedRow(rows.rows[index].origin, _UNREAD) for index in unread.tolist()]
    chosen = np.setdiff1d(np.arange(len(rows)), unread)
    return predict(network, batches, chosen, progressed), failed
