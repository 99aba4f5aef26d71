"""What a finished run tells: the one source of report, model card and final output."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.config import ModelConfig
from .history import History
from .recipe import Recipe
from .task_metrics import TaskMetrics


@dataclass(frozen=True)
class DataSummary:
    """What was read of one split of one data set."""

    dataset: str
    split: str
    """train, validation or test."""
    rows: int
    labels: Mapping[str, Mapping[str, int]]
    """Task name to label name to count of rows (of entities, for a token task)."""
    duplicates: int
    """Rows whose text another row before it in the split has."""
    conflicts: int
    """Those of them with another label."""
    leaks: int
    """Rows whose text is among the training rows of any data set, or of test rows among the
    validation rows, too; 0 for the training rows themselves."""


@dataclass(frozen=True)
class Evaluation:
    """The figures of one task on some rows."""

    split: str
    """train (a sample of the seen rows), validation or test."""
    dataset: str | None
    """None: all data sets of the split together."""
    metrics: TaskMetrics
    """Of a finished run: measured with the temperature that was fitted."""


@dataclass(frozen=True)
class Mistake:
    """A validation row that the model is sure about, and wrong."""

    origin: str
    """File and line."""
    text: str
    expected: str
    answered: str
    confidence: float


@dataclass(frozen=True)
class RunSummary:
    """A finished run.

    All evaluations are measured with the temperatures that were fitted. Each task has one with
    `dataset` None for each split that has rows with its label; where these rows are of several
    data sets, there is one for each of these, too.
    """

    title: str
    recipe: Recipe
    config: ModelConfig
    version: str
    """Version id of the checkpoint."""
    history: History
    data: tuple[DataSummary, ...]
    evaluations: tuple[Evaluation, ...]
    mistakes: Mapping[str, tuple[Mistake, ...]]
    """Of each task those among the validation rows, the most confident first."""
    temperatures: Mapping[str, float]
    """Of each task, fitted on validation; 1 where it was not."""
    uncalibrated: Mapping[str, TaskMetrics]
    """Of each task with labelled validation rows, the figures on all of them with temperature 1:
    what temperature scaling began with."""
    best_step: int
    """After how many steps the weights were best."""
    seconds: float
    cache: str
    """What the frozen-prefix cache did, in a sentence; empty without one."""
    kept_embeddings: float | None
    """Mean cosine of the validation rows' embeddings to those before training; None where the
    recipe does not keep them."""
    rounded: tuple[str, ...]
    """The parts of which weights were rounded to half precision."""
    environment: Mapping[str, str]
    """Releases and hardware: twinhead, torch, transformers, device, precision, processes."""

    @property
    def improved(self) -> bool:
        """Whether validation is better than with the checkpoint that training began with.

        True without one.
        """
        scores = {record.step: record.score for record in self.history.validations}
        return 0 not in scores or scores[self.best_step] > scores[0]
