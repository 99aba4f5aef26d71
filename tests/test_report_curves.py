"""The curves: what they show, also of a run that has next to nothing to show."""

import re

import pytest
from html_page import Page
from small_summary import make_history, make_summary
from twinhead.trainer.history import History, StepRecord
from twinhead.trainer.report_curves import (
    changing_weights,
    schedule,
    task_curves,
    training_section,
)


def test_curves():
    text = Page(task_curves(make_history(["topic"]), "topic", 160)).texts[None]
    for word in ("topic: loss", "stage 2", "stage 3", "best", "accuracy", "macro F1", "step"):
        assert word in text
    assert "stage 1" not in text
    assert "Nothing was recorded" not in text


def test_the_points_are_those_of_the_history():
    history = make_history(["topic"])
    shown = re.findall(
        r"<title>accuracy, step ([\d,]+): ([\d.]+)</title>", task_curves(history, "topic", 160)
    )
    assert shown == [
        (f"{one.step:,}", f"{one.figures['topic']['accuracy']:.4g}") for one in history.validations
    ]


def test_the_figures_are_the_leading_ones_of_the_task():
    history = make_history(["topic", "entities"])
    shown = Page(task_curves(history, "entities", 160)).texts[None]
    assert "F1" in shown.replace("macro F1", "")
    assert "accuracy" not in shown


@pytest.mark.parametrize("history", [History(), History(steps=make_history(["a"]).steps[:1])])
def test_curves_of_next_to_nothing(history):
    assert "Nothing was recorded" in Page(task_curves(history, "a", 0)).texts[None]
    if history.steps:
        assert "Rows per second" in Page(schedule(history)).texts[None]


def test_long_curves_are_thinned():
    short, long = (task_curves(make_history(["topic"], steps), "topic", 1) for steps in (396, 9960))
    assert len(long) < 1.3 * len(short)


def test_weights_that_change():
    def history(*weights):
        steps = [
            StepRecord(step, 0.1, 1.0, {"a": 1.0}, {"a": weight, "b": 1.0}, 1e-4, 1.0)
            for step, weight in enumerate(weights, 1)
        ]
        return History(steps=steps)

    assert changing_weights(history(1.0, 1.2)) == ["a"]
    assert changing_weights(history(1.0, 1.0)) == []
    assert "Weights of the losses" in Page(schedule(history(1.0, 1.2))).texts[None]


def test_the_section_tells_what_else_was_done():
    text = Page(training_section(make_summary())).texts[None]
    assert "Losses become one by: learned uncertainty" in text
    assert "computed once for 2,820 rows" in text
    assert "those before training: 0.987." in text
    assert "half precision: embeddings, layer 0." in text
