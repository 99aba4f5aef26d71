"""Small tasks, made-up logits, and what scikit-learn says of them."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer.encoded_rows import MISSING
from twinhead.trainer.task_metrics import TaskMetrics

TOPIC = TaskConfig(name="topic", labels=("a", "b", "c"))
SPAM = TaskConfig(name="spam", kind=TaskKind.BINARY, labels=("no", "yes"))
TAGS = TaskConfig(name="tags", kind=TaskKind.MULTI_LABEL, labels=("a", "b", "c", "d"))
ENTITIES = TaskConfig(
    name="entities",
    kind=TaskKind.TOKEN,
    labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"),
)
SPEECH = TaskConfig(name="speech", kind=TaskKind.TOKEN, labels=("NOUN", "VERB", "DET"))


def float32(values: object) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def logits_of(probabilities: object) -> np.ndarray:
    """Of sigmoids, in single precision."""
    values = np.array(probabilities, dtype=np.float64)
    return float32(np.log(values / (1 - values)))


def indices(task: TaskConfig, tags: str) -> np.ndarray:
    """The targets of tags; `?` has no label."""
    return np.array([MISSING if tag == "?" else task.labels.index(tag) for tag in tags.split()])


def words(task: TaskConfig, tags: str, margin: float = 4.0) -> np.ndarray:
    """Logits that predict the tags."""
    return float32(margin * np.eye(task.logits)[indices(task, tags)])


def check_against_sklearn(measured: TaskMetrics, targets: np.ndarray, predicted: np.ndarray):
    for average in ("macro", "weighted"):
        wanted = precision_recall_fscore_support(
            targets, predicted, average=average, zero_division=0
        )
        names = [f"{average}_{name}" for name in ("precision", "recall", "f1")]
        assert [measured.figures[name] for name in names] == pytest.approx(wanted[:3])
    each = precision_recall_fscore_support(
        targets, predicted, labels=range(len(measured.labels)), zero_division=0
    )
    for position, label in enumerate(measured.per_label):
        assert label.label == measured.labels[position]
        assert [label.precision, label.recall, label.f1, label.support] == pytest.approx(
            [part[position] for part in each]
        )
