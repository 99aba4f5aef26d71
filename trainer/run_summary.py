"""What a finished run tells: the one source of report, model card and final output."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.config import ModelConfig
from .history import History
from .metrics import TaskMetrics
from .recipe import Recipe


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
    """Rows whose text is among the training rows, too; 0 for the training rows themselves."""


@dataclass(frozen=True)
class Evaluation:
    """The figures of one task on some rows."""

    split: str
    """train (a sample of the seen rows), validation or test."""
    dataset: str | None
    """None: all data sets of the split together."""
    metrics: TaskMetrics


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
    """A finished run."""

    title: str
    recipe: Recipe
    config: ModelConfig
    version: str
    """Version id of the checkpoint."""
    history: History
    data: tuple[DataSummary, ...]
    evaluations: tuple[Evaluation, ...]
    mistakes: Mapping[str, tuple[Mistake, ...]]
    """Of each task, the most confident first."""
    temperatures: Mapping[str, float]
    """Of each task, fitted on validation; 1 where it was not."""
    uncalibrated_ece: Mapping[str, float]
    """Expected calibration error on validation before temperature scaling."""
    best_step: int
    seconds: float
    cache: str
    """What the frozen-prefix cache did, in a sentence; empty without one."""
    environment: Mapping[str, str]
    """Releases and hardware: twinhead, torch, transformers, device, precision, processes."""
