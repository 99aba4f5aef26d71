"""What a network says of rows with known labels, and how right it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from ..model.config import TaskConfig, TaskKind
from ..model.network import Network
from .calibration import fit_temperature
from .encoded_rows import EncodedRows
from .likelihood import scaled_logits
from .metrics import measure
from .row_batches import RowBatches
from .run_summary import Evaluation
from .task_logits import encode, task_logits
from .task_metrics import TaskMetrics
from .token_metrics import measure_tokens


@dataclass(frozen=True)
class Predictions:
    """The logits of one task for the rows that have its label."""

    task: TaskConfig
    rows: NDArray[np.int64]
    """Indices of these rows."""
    logits: Sequence[NDArray[np.float32]]
    """Of each row: [logits], or of a token task [words, labels]."""
    targets: Sequence[NDArray[np.int64]]
    """Of each row: a number, [labels], or of a token task [words]."""

    def of(self, chosen: NDArray[np.bool_]) -> "Predictions":
        """Those of some rows only; one flag for each of `rows`."""
        kept: list[int] = np.flatnonzero(chosen).tolist()
        return Predictions(
            self.task,
            self.rows[kept],
            [self.logits[index] for index in kept],
            [self.targets[index] for index in kept],
        )

    def measure(self) -> TaskMetrics:
        """The figures, at the task's temperature; there must be rows."""
        temperature = self.task.temperature
        if self.task.kind is TaskKind.TOKEN:
            return measure_tokens(self.task, self.logits, self.targets, temperature=temperature)
        logits, targets = np.stack(self.logits), np.stack(self.targets)
        return measure(self.task, logits, targets, temperature=temperature)

    def decided(self) -> list[NDArray[np.int64]]:
        """What is decided of each row at the task's temperature.

        A label's index, yes (1) or no (0), 0 or 1 of each label, or the tags of the words.
        """
        if self.task.kind in (TaskKind.SINGLE_LABEL, TaskKind.TOKEN):
            return [logits.argmax(axis=-1) for logits in self.logits]
        thresholds = np.array(self.task.effective_thresholds)
        return [
            (expit(scaled_logits(logits, self.task.temperature)) >= thresholds).astype(np.int64)
            for logits in self.logits
        ]

    def fit_temperature(self) -> float:
        """The temperature that makes the scores honest on these rows."""
        if not len(self.rows):
            return 1.0
        join = np.concatenate if self.task.kind is TaskKind.TOKEN else np.stack
        return fit_temperature(self.task.kind, join(self.logits), join(self.targets))


def predict(
    network: Network,
    batches: RowBatches,
    chosen: NDArray[np.int64],
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Predictions]:
    """Run the network in evaluation mode on some rows.

    Args:
        network: is in evaluation mode afterwards.
        batches: of all rows.
        chosen: indices of those wanted.
        on_progress: called with the rows done.

    Returns:
        Task name to predictions, of every task.
    """
    found: dict[str, list[tuple[int, NDArray[np.float32]]]] = {
        task.name: [] for task in batches.tasks
    }
    network.eval()
    with torch.no_grad():
        for group, batch in batches.walk(chosen, on_progress):
            for task, logits in task_logits(network, batch, encode(network, batch)):
                rows = group[batch.labelled[task.name].cpu().numpy()]
                values = logits.float().cpu().numpy()
                found[task.name] += zip(rows.tolist(), values, strict=True)
    return {
        task.name: _collected(task, batches.rows, sorted(found[task.name], key=_row_of))
        for task in batches.tasks
    }


def evaluations_of(
    split: str,
    datasets: Sequence[str],
    dataset: NDArray[np.int64],
    predictions: Mapping[str, Predictions],
) -> list[Evaluation]:
    """The figures of each task that has labels, also by data set where it has several.

    Args:
        split: name of the split.
        datasets: names of the data sets.
        dataset: index of the data set of each row of the split.
        predictions: of the tasks.
    """
    found: list[Evaluation] = []
    for predicted in predictions.values():
        if not predicted.rows.size:
            continue
        found.append(Evaluation(split, None, predicted.measure()))
        sources = dataset[predicted.rows]
        present: list[int] = np.unique(sources).tolist()
        if len(present) > 1:
            found += [
                Evaluation(split, datasets[index], predicted.of(sources == index).measure())
                for index in present
            ]
    return found


def score_of(metrics: Mapping[str, TaskMetrics], select: str) -> float:
    """What the best weights are chosen by: a task's main figure, or the mean of all tasks'."""
    if select != "mean":
        return metrics[select].primary
    return sum(measured.primary for measured in metrics.values()) / len(metrics)


def _row_of(item: tuple[int, NDArray[np.float32]]) -> int:
    return item[0]


def _collected(
    task: TaskConfig, rows: EncodedRows, found: Sequence[tuple[int, NDArray[np.float32]]]
) -> Predictions:
    indices = np.array([index for index, _ in found], dtype=np.int64)
    if task.kind is not TaskKind.TOKEN:
        targets = rows.targets[task.name]
        return Predictions(task, indices, [logits for _, logits in found], list(targets[indices]))
    words = [rows.words[task.name][index] for index in indices]
    logits = [values[tokens] for (_, values), (tokens, _) in zip(found, words, strict=True)]
    return Predictions(task, indices, logits, [tags for _, tags in words])
