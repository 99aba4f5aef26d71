"""The figures of a task: the main one, and how they are written down."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from measured import ENTITIES, SPAM, TAGS, TOPIC, float32, indices, words
from twinhead.trainer.metrics import measure
from twinhead.trainer.task_metrics import ReliabilityBin, leading_figures
from twinhead.trainer.token_metrics import measure_tokens

MEASURED = [
    measure(TOPIC, float32([[1, 0, 0], [1, 0, 0], [0, 0, 1]]), np.array([1, 0, 2])),
    measure(SPAM, float32([[1], [-1], [-1], [-1]]), np.array([1, 0, 0, 1])),
    measure(TAGS, float32([[1, -1, -1, -1]]), np.array([[1, 1, 0, 0]])),
    measure_tokens(
        ENTITIES,
        [words(ENTITIES, "O B-PER B-LOC"), words(ENTITIES, "O O")],
        [indices(ENTITIES, "O B-PER B-PER"), indices(ENTITIES, "O O")],
    ),
]


@pytest.mark.parametrize(
    ("measured", "names"),
    [
        (MEASURED[0], ["accuracy", "macro_f1"]),
        (MEASURED[1], ["accuracy", "macro_f1"]),
        (MEASURED[2], ["macro_f1", "exact_match"]),
        (MEASURED[3], ["f1", "macro_f1"]),
    ],
    ids=lambda value: getattr(value, "task", None),
)
def test_the_main_figure(measured, names):
    figures = measured.figures
    assert figures[names[0]] != figures[names[1]]  # so that one does not pass for the other
    assert leading_figures(figures) == names
    assert leading_figures(list(reversed(figures))) == names
    assert measured.main_figure == names[0]
    assert measured.primary == figures[names[0]]


def test_no_figure_leads_where_there_is_none():
    assert leading_figures({"loss": 0.1}) == []
    assert leading_figures({"loss": 0.1, "accuracy": 0.5}) == ["accuracy"]


@pytest.mark.parametrize("measured", MEASURED, ids=lambda measured: measured.kind.value)
def test_json(measured):
    written = json.loads(json.dumps(measured.as_json(), allow_nan=False))
    assert written == measured.as_json()
    assert written["figures"] == measured.figures
    assert written["kind"] == measured.kind.value
    assert len(written["per_label"]) == len(written["labels"])
    assert written["per_label"][0].keys() == {"label", "precision", "recall", "f1", "support"}
    assert written["reliability"][0].keys() == {"confidence", "accuracy", "count"}


def test_json_has_no_nan():
    measured = measure(TOPIC, float32([[1, 0, 0]]), np.array([0]))
    odd = replace(
        measured,
        figures={"loss": math.nan, "accuracy": math.inf, "ece": 0.5},
        reliability=(ReliabilityBin(math.nan, 1.0, 0),),
    ).as_json()
    assert odd["figures"] == {"loss": None, "accuracy": None, "ece": 0.5}
    assert odd["reliability"] == [{"confidence": None, "accuracy": 1.0, "count": 0}]
    json.dumps(odd, allow_nan=False)
