"""The figures of one task on labelled rows: what is right, of which label, and how sure it was."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax
from sklearn.metrics import average_precision_score, roc_auc_score

from ..model.config import TaskConfig, TaskKind
from ..model.entity_tags import OUTSIDE, TagSpan, spans_of, split_tag, to_iob2

# The target of a word that has no label.
UNLABELLED = -100
# Of the expected calibration error, as in Guo et al. 2017.
BINS = 15
# The matrix grows with the square of the labels: this is a million cells, 2 MB of JSON.
MAX_CONFUSION_LABELS = 1000


@dataclass(frozen=True)
class LabelMetrics:
    """One label against all others. A ratio of nothing to nothing is 0."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    """Rows (of a token task: entities) that have the label."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Decisions of about the same confidence."""

    confidence: float
    """Mean confidence of the decisions in the bin."""
    accuracy: float
    """The part of them that is right."""
    count: int


@dataclass(frozen=True)
class TaskMetrics:
    """The figures of one task."""

    task: str
    kind: TaskKind
    labels: tuple[str, ...]
    """What `per_label` is about, in its order: the task's labels; of a token task its entity
    types."""
    rows: int
    """Labelled sentences."""
    figures: Mapping[str, float]
    per_label: tuple[LabelMetrics, ...]
    confusion_labels: tuple[str, ...]
    """Axes of `confusion`: `labels`; of a token task its types of words, `O` among them."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Rows (of a token task: words), [true][predicted]. None for a multi-label task, and for more
    than `MAX_CONFUSION_LABELS` labels."""
    reliability: tuple[ReliabilityBin, ...]
    """The bins that hold something, from the least confident on."""

    @property
    def primary(self) -> float:
        """What models are compared by: accuracy, entity-level F1 or, of many labels, macro F1."""
        names = {TaskKind.TOKEN: "f1", TaskKind.MULTI_LABEL: "macro_f1"}
        return self.figures[names.get(self.kind, "accuracy")]

    def as_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers. JSON has no NaN and no infinity: they become None."""
        return {
            "task": self.task,
            "kind": self.kind.value,
            "labels": list(self.labels),
            "rows": self.rows,
            "figures": _json_numbers(self.figures),
            "per_label": [_json_numbers(asdict(label)) for label in self.per_label],
            "confusion_labels": list(self.confusion_labels),
            "confusion": None if self.confusion is None else [list(row) for row in self.confusion],
            "reliability": [_json_numbers(asdict(part)) for part in self.reliability],
        }


@dataclass(frozen=True)
class _Counts:
    """How often each label is predicted rightly, is predicted, and is true, [labels] each."""

    hits: NDArray[np.int64]
    predicted: NDArray[np.int64]
    support: NDArray[np.int64]

    def per_label(self, labels: Sequence[str]) -> tuple[LabelMetrics, ...]:
        columns = (array.tolist() for array in (*self._ratios(), self.support))
        return tuple(map(LabelMetrics, labels, *columns))

    def averages(self) -> dict[str, float]:
        ratios = dict(zip(("precision", "recall", "f1"), self._ratios(), strict=True))
        # A label that is neither true nor predicted says nothing. A macro average with its zeros
        # would fall with each label that the rows happen to lack.
        macro = (self.support + self.predicted > 0).astype(np.int64)
        return {
            f"{average}_{name}": float(ratio @ weights / max(1, weights.sum()))
            for average, weights in (("macro", macro), ("weighted", self.support))
            for name, ratio in ratios.items()
        }

    def micro(self) -> dict[str, float]:
        every = (self.hits, self.predicted, self.support)
        totals = _Counts(*(np.array([array.sum()]) for array in every))
        (total,) = totals.per_label([""])
        return {"precision": total.precision, "recall": total.recall, "f1": total.f1}

    def _ratios(self) -> tuple[NDArray[np.float64], ...]:
        """Precision, recall and F1."""
        return (
            self.hits / np.maximum(1, self.predicted),
            self.hits / np.maximum(1, self.support),
            2 * self.hits / np.maximum(1, self.predicted + self.support),
        )


def measure(
    task: TaskConfig,
    logits: NDArray[np.float32],
    targets: NDArray[np.int64],
    *,
    temperature: float = 1.0,
) -> TaskMetrics:
    """The figures of a task that answers for whole sentences.

    All kinds: `loss` is the mean negative log-likelihood (natural logarithm) and `ece` the
    expected calibration error (Guo et al. 2017). `macro_` and `weighted_` precision, recall and f1
    average over labels: macro over those that are true or predicted somewhere, weighted by
    support. `single_label` and `binary` have `accuracy`; `binary` has `average_precision` and
    `roc_auc` of "yes", where both answers occur in `targets`; `multi_label` has `exact_match` and
    `micro_f1`, and its loss and `ece` are over all decisions, rows times labels.

    The thresholds of a task decide everything but `ece` and the bins. There, a yes or no is what
    is more probable (yes from 0.5 on), and its confidence is that probability: an answer that a
    threshold prefers to a more probable one has no confidence that it could be held to.

    Args:
        task: its labels and thresholds.
        logits: [rows, labels]; of a binary task [rows, 1].
        targets: `single_label`: the label's index, [rows]; `binary`: 0 or 1, [rows];
            `multi_label`: 0 or 1, [rows, labels]. No row is without label.
        temperature: what the logits are divided by before they become probabilities.

    Raises:
        ValueError: there are no rows, the task is a token task, shapes or targets do not fit it,
            logits are not finite, or the temperature is not positive.
    """
    if task.kind is TaskKind.TOKEN:
        raise ValueError(f"{task.name} is a token task: use measure_tokens")
    scaled = finite_logits(logits) / _positive(temperature)
    _check(task, scaled, targets)
    if task.kind is TaskKind.SINGLE_LABEL:
        return _single_label(task, scaled, targets)
    if task.kind is TaskKind.BINARY:
        return _binary(task, scaled, targets)
    return _multi_label(task, scaled, targets)


def measure_tokens(
    task: TaskConfig,
    logits: Sequence[NDArray[np.float32]],
    targets: Sequence[NDArray[np.int64]],
    *,
    temperature: float = 1.0,
) -> TaskMetrics:
    """The figures of a token task.

    An entity is right when its first word, last word and type are (the CoNLL-2003 evaluation,
    Tjong Kim Sang & De Meulder 2003); `precision`, `recall` and `f1` count all of them, `macro_`
    and `weighted_` figures average over types as in `measure`. Tags without prefix, such as parts
    of speech, are entities of one word. `accuracy`, `loss` and `ece` are of the tags of words.

    Targets may be IOB1 or IOB2: they are read as IOB2, which is what a task's labels are. A word
    without label is in no figure of words, and `O` in targets and predictions when entities are
    looked for: nobody knows what would be right there.

    Args:
        task: its labels are tags.
        logits: of each sentence, [words, labels].
        targets: of each sentence, the index of each word's tag, [words]; `UNLABELLED` for none.
        temperature: what the logits are divided by before they become probabilities.

    Raises:
        ValueError: no word has a label, the task is not a token task, shapes or targets do not
            fit it, logits are not finite, or the temperature is not positive.
    """
    if task.kind is not TaskKind.TOKEN:
        raise ValueError(f"{task.name} is not a token task: use measure")
    if len(logits) != len(targets):
        raise ValueError(f"{task.name}: {len(logits)} sentences, but targets of {len(targets)}")
    _positive(temperature)
    index_of = {label: index for index, label in enumerate(task.labels)}
    hits, given, support = Counter[str](), Counter[str](), Counter[str]()
    words: list[NDArray[np.float64]] = []
    tags: list[int] = []
    for sentence, indices in zip(logits, targets, strict=True):
        if sentence.shape != (len(indices), task.logits):
            raise ValueError(
                f"{task.name}: logits of shape {sentence.shape}, not {(len(indices), task.logits)}"
            )
        labelled = indices != UNLABELLED
        if not labelled.any():
            continue
        words.append(finite_logits(sentence[labelled]))
        _check_range(task, indices[labelled], len(task.labels))
        # Words without label are left out here: what follows one continues what was before it.
        raw: list[int] = indices[labelled].tolist()
        iob2 = to_iob2([task.labels[index] for index in raw])
        tags += [index_of.get(tag, index) for tag, index in zip(iob2, raw, strict=True)]
        true = _spans(task, indices, labelled)
        predicted = _spans(task, sentence.argmax(axis=1), labelled)
        hits.update(span.label for span in true & predicted)
        given.update(span.label for span in predicted)
        support.update(span.label for span in true)
    if not words:
        raise ValueError(f"{task.name}: there are no labelled words to measure on")

    # The type of `O` is the empty string, which no other tag has.
    word_types = tuple(dict.fromkeys(split_tag(label)[1] for label in task.labels))
    types = tuple(name for name in word_types if name)
    counts = _Counts(*(np.array([one[name] for name in types]) for one in (hits, given, support)))
    place = {name: index for index, name in enumerate(word_types)}
    type_of = np.array([place[split_tag(label)[1]] for label in task.labels])
    scaled, true_tags = np.concatenate(words) / temperature, np.array(tags)
    predicted_tags = scaled.argmax(axis=1)
    right = predicted_tags == true_tags
    reliability = _reliability(_top_confidence(scaled), right)
    figures = {
        **counts.micro(),
        **counts.averages(),
        "accuracy": float(np.mean(right)),
        "loss": negative_log_likelihood(task.kind, scaled, true_tags),
        "ece": _calibration_error(reliability),
    }
    return TaskMetrics(
        task=task.name,
        kind=task.kind,
        labels=types,
        rows=len(words),
        figures=figures,
        per_label=counts.per_label(types),
        confusion_labels=tuple(name or OUTSIDE for name in word_types),
        confusion=_confusion(type_of[true_tags], type_of[predicted_tags], len(word_types)),
        reliability=reliability,
    )


def negative_log_likelihood(
    kind: TaskKind, logits: NDArray[np.float64], targets: NDArray[np.int64]
) -> float:
    """Mean negative log-likelihood of the targets, natural logarithm; neither array is empty.

    Args:
        kind: `single_label` and `token` are a softmax, the others sigmoids.
        logits: [rows, labels]; divided by the temperature.
        targets: as in `measure`; of a token task [words], each with a label.
    """
    if kind in (TaskKind.SINGLE_LABEL, TaskKind.TOKEN):
        likelihoods = log_softmax(logits, axis=1)[np.arange(len(targets)), targets]
    else:
        likelihoods = log_expit(np.where(targets.reshape(logits.shape) == 1, logits, -logits))
    return -float(np.mean(likelihoods))


def finite_logits(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The logits in double precision.

    Raises:
        ValueError: one of them is infinite or NaN.
    """
    if not np.isfinite(logits).all():
        raise ValueError("the logits are not finite: the training has diverged")
    return logits.astype(np.float64)


def _single_label(
    task: TaskConfig, logits: NDArray[np.float64], targets: NDArray[np.int64]
) -> TaskMetrics:
    predicted = logits.argmax(axis=1)
    reliability = _reliability(_top_confidence(logits), predicted == targets)
    return _one_of(task, logits, targets, predicted, reliability, {})


def _binary(
    task: TaskConfig, logits: NDArray[np.float64], targets: NDArray[np.int64]
) -> TaskMetrics:
    probabilities = expit(logits[:, 0])
    predicted = (probabilities >= task.effective_thresholds[0]).astype(np.int64)
    ranking = {}
    if 0 < targets.sum() < len(targets):
        # Of the logits: probabilities of sure answers round to 1 and lose their order.
        ranking = {
            "average_precision": float(average_precision_score(targets, logits[:, 0])),
            "roc_auc": float(roc_auc_score(targets, logits[:, 0])),
        }
    reliability = _two_sided_reliability(probabilities, targets)
    return _one_of(task, logits, targets, predicted, reliability, ranking)


def _one_of(
    task: TaskConfig,
    logits: NDArray[np.float64],
    targets: NDArray[np.int64],
    predicted: NDArray[np.int64],
    reliability: tuple[ReliabilityBin, ...],
    ranking: Mapping[str, float],
) -> TaskMetrics:
    """Of a task that gives each row one of its labels."""
    right, size = predicted == targets, len(task.labels)
    counts = _Counts(
        *(np.bincount(one, minlength=size) for one in (targets[right], predicted, targets))
    )
    figures = {
        "accuracy": float(np.mean(right)),
        **counts.averages(),
        "loss": negative_log_likelihood(task.kind, logits, targets),
        "ece": _calibration_error(reliability),
        **ranking,
    }
    return TaskMetrics(
        task=task.name,
        kind=task.kind,
        labels=task.labels,
        rows=len(targets),
        figures=figures,
        per_label=counts.per_label(task.labels),
        confusion_labels=task.labels,
        confusion=_confusion(targets, predicted, size),
        reliability=reliability,
    )


def _multi_label(
    task: TaskConfig, logits: NDArray[np.float64], targets: NDArray[np.int64]
) -> TaskMetrics:
    probabilities = expit(logits)
    given, true = probabilities >= np.array(task.effective_thresholds), targets == 1
    counts = _Counts(*(one.sum(axis=0) for one in (given & true, given, true)))
    reliability = _two_sided_reliability(probabilities, targets)
    figures = {
        "exact_match": float(np.mean((given == true).all(axis=1))),
        "micro_f1": counts.micro()["f1"],
        **counts.averages(),
        "loss": negative_log_likelihood(task.kind, logits, targets),
        "ece": _calibration_error(reliability),
    }
    return TaskMetrics(
        task=task.name,
        kind=task.kind,
        labels=task.labels,
        rows=len(targets),
        figures=figures,
        per_label=counts.per_label(task.labels),
        confusion_labels=task.labels,
        confusion=None,
        reliability=reliability,
    )


def _spans(
    task: TaskConfig, indices: NDArray[np.int64], labelled: NDArray[np.bool_]
) -> set[TagSpan]:
    pairs = zip(indices.tolist(), labelled.tolist(), strict=True)
    return set(spans_of([task.labels[index] if known else OUTSIDE for index, known in pairs]))


def _top_confidence(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(log_softmax(logits, axis=1).max(axis=1))


def _two_sided_reliability(
    probabilities: NDArray[np.float64], targets: NDArray[np.int64]
) -> tuple[ReliabilityBin, ...]:
    right = (probabilities >= 0.5) == (targets == 1)
    return _reliability(np.maximum(probabilities, 1 - probabilities).ravel(), right.ravel())


def _reliability(
    confidences: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[ReliabilityBin, ...]:
    # Bin m holds ]m / BINS, (m + 1) / BINS]. Confidences may exceed 1 by a rounding error.
    bins = np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    sums = np.bincount(bins, weights=confidences, minlength=BINS)
    hits = np.bincount(bins, weights=right, minlength=BINS)
    return tuple(
        ReliabilityBin(
            float(sums[one] / counts[one]), float(hits[one] / counts[one]), int(counts[one])
        )
        for one in np.flatnonzero(counts)
    )


def _calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    gaps = sum(part.count * abs(part.accuracy - part.confidence) for part in bins)
    return gaps / sum(part.count for part in bins)


def _confusion(
    true: NDArray[np.int64], predicted: NDArray[np.int64], size: int
) -> tuple[tuple[int, ...], ...] | None:
    if size > MAX_CONFUSION_LABELS:
        return None
    cells = np.bincount(true * size + predicted, minlength=size * size).reshape(size, size)
    return tuple(tuple(row) for row in cells.tolist())


def _check(task: TaskConfig, logits: NDArray[np.float64], targets: NDArray[np.int64]) -> None:
    if not len(targets):
        raise ValueError(f"{task.name}: there are no labelled rows to measure on")
    if logits.shape != (len(targets), task.logits):
        raise ValueError(
            f"{task.name}: logits of shape {logits.shape}, not {(len(targets), task.logits)}"
        )
    shape = logits.shape if task.kind is TaskKind.MULTI_LABEL else (len(targets),)
    if targets.shape != shape:
        raise ValueError(f"{task.name}: targets of shape {targets.shape}, not {shape}")
    _check_range(task, targets, len(task.labels) if task.kind is TaskKind.SINGLE_LABEL else 2)


def _check_range(task: TaskConfig, targets: NDArray[np.int64], values: int) -> None:
    if targets.min() < 0 or targets.max() >= values:
        raise ValueError(f"{task.name}: targets must be from 0 to {values - 1}")


def _positive(temperature: float) -> float:
    if not 0 < temperature < math.inf:
        raise ValueError(f"a temperature is a positive number, not {temperature}")
    return temperature


def _json_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
