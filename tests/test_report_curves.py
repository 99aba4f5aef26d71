"""The curves: what they show, also of a run that has next to nothing to show."""

import pytest
from html_page import Page
from small_summary import make_history
from twinhead.trainer.history import History, StepRecord
from twinhead.trainer.report_curves import changing_weights, schedule, task_curves


def test_curves():
    svg = task_curves(make_history(["topic"]), "topic", 160)
    text = Page(svg).texts[None]
    for word in ("topic: loss", "stage 2", "stage 3", "best", "accuracy", "macro F1", "step"):
        assert word in text
    assert "stage 1" not in text
    assert "nothing recorded" not in text


def test_the_figures_are_the_leading_ones_of_the_task():
    history = make_history(["topic", "entities"])
    shown = Page(task_curves(history, "entities", 160)).texts[None].split()
    assert "F1" in shown
    assert "accuracy" not in shown


@pytest.mark.parametrize("history", [History(), History(steps=make_history(["a"]).steps[:1])])
def test_curves_of_next_to_nothing(history):
    assert "nothing recorded" in Page(task_curves(history, "a", 0)).texts[None]
    if history.steps:
        assert "rows per second" in Page(schedule(history)).texts[None]


def test_long_curves_are_thinned():
    short, long = (task_curves(make_history(["topic"], steps), "topic", 1) for steps in (996, 9960))
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
    assert "weights of the losses" in Page(schedule(history(1.0, 1.2))).texts[None]
