"""The figures of a token task: of whole entities, and of words."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..model.config import TaskConfig, TaskKind
from ..model.entity_tags import OUTSIDE, TagSpan, spans_of, split_tag, to_iob2
from .encoded_rows import MISSING
from .label_counts import LabelCounts, confusion_cells
from .likelihood import negative_log_likelihood, scaled_logits
from .metrics import check_range
from .reliability import calibration_error, softmax_reliability
from .task_metrics import TaskMetrics


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
        targets: of each sentence, the index of each word's tag, [words]; `MISSING` for none.
        temperature: what the logits are divided by before they become probabilities.

    Raises:
        ValueError: no word has a label, the task is not a token task, shapes or targets do not
            fit it, logits are not finite, or the temperature is not positive.
    """
    if task.kind is not TaskKind.TOKEN:
        raise ValueError(f"{task.name} is not a token task: use measure")
    if len(logits) != len(targets):
        raise ValueError(f"{task.name}: {len(logits)} sentences, but targets of {len(targets)}")
    index_of = {label: index for index, label in enumerate(task.labels)}
    hits, given, support = Counter[str](), Counter[str](), Counter[str]()
    words: list[NDArray[np.float32]] = []
    tags: list[int] = []
    for sentence, indices in zip(logits, targets, strict=True):
        if sentence.shape != (len(indices), task.logits):
            raise ValueError(
                f"{task.name}: logits of shape {sentence.shape}, not {(len(indices), task.logits)}"
            )
        labelled = indices != MISSING
        if not labelled.any():
            continue
        words.append(sentence[labelled])
        check_range(task, indices[labelled], len(task.labels))
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
    counts = LabelCounts(
        *(np.array([one[name] for name in types]) for one in (hits, given, support))
    )
    place = {name: index for index, name in enumerate(word_types)}
    type_of = np.array([place[split_tag(label)[1]] for label in task.labels])
    scaled, true_tags = scaled_logits(np.concatenate(words), temperature), np.array(tags)
    predicted_tags = scaled.argmax(axis=1)
    right = predicted_tags == true_tags
    reliability = softmax_reliability(scaled, right)
    figures = {
        **counts.micro(),
        **counts.averages(),
        "accuracy": float(np.mean(right)),
        "loss": negative_log_likelihood(task.kind, scaled, true_tags),
        "ece": calibration_error(reliability),
    }
    return TaskMetrics(
        task=task.name,
        kind=task.kind,
        labels=types,
        rows=len(words),
        figures=figures,
        per_label=counts.per_label(types),
        confusion_labels=tuple(name or OUTSIDE for name in word_types),
        confusion=confusion_cells(type_of[true_tags], type_of[predicted_tags], len(word_types)),
        reliability=reliability,
    )


def _spans(
    task: TaskConfig, indices: NDArray[np.int64], labelled: NDArray[np.bool_]
) -> set[TagSpan]:
    pairs = zip(indices.tolist(), labelled.tolist(), strict=True)
    return set(spans_of([task.labels[index] if known else OUTSIDE for index, known in pairs]))
