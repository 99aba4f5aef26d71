"""The plots: what they show, and that they are the page's own."""

import sys

import matplotlib
import pytest
from test_report import SCRIPT, Page, make_history
from twinhead.trainer.history import History, Part, StageRecord, StepRecord
from twinhead.trainer.metrics import ReliabilityBin
from twinhead.trainer.report_plots import (
    changing_weights,
    confusion_matrix,
    freezing_timeline,
    one_line,
    reliability_diagram,
    schedule,
    short_count,
    shortened,
    task_curves,
)

BINS = (ReliabilityBin(0.3, 0.2, 5), ReliabilityBin(0.93, 0.9, 60))


def words_of(svg):
    return Page(svg).texts[None].split()


def drawn():
    history = make_history(["topic", "mood"])
    return [
        task_curves(history, "topic", ["accuracy", "macro_f1"], 160),
        schedule(history),
        freezing_timeline(history.stages, 3),
        confusion_matrix(["a|b", SCRIPT], [[31, 2], [0, 17]]),
        reliability_diagram(BINS),
    ]


def test_the_same_plot_is_the_same_text_in_any_style():
    first = drawn()
    assert "matplotlib.pyplot" not in sys.modules  # which has global state, and picks a backend
    before = {name: value for name, value in matplotlib.rcParams.items() if name != "backend"}
    with matplotlib.rc_context({"font.size": 30, "svg.fonttype": "path", "axes.facecolor": "red"}):
        assert drawn() == first
    assert {name: matplotlib.rcParams[name] for name in before} == before


def test_colours_are_the_page_s():
    for svg in drawn():
        assert svg.startswith("<svg")
        assert "var(--ink)" in svg
        assert "#0102" not in svg
        assert "<metadata" not in svg


def test_curves():
    svg = task_curves(make_history(["topic"]), "topic", ["accuracy", "macro_f1"], 160)
    text = Page(svg).texts[None]
    for word in ("topic: loss", "stage 2", "stage 3", "best", "accuracy", "macro F1", "step"):
        assert word in text
    assert "stage 1" not in text
    assert "nothing recorded" not in text


@pytest.mark.parametrize("history", [History(), History(steps=make_history(["a"]).steps[:1])])
def test_curves_of_next_to_nothing(history):
    assert "nothing recorded" in Page(task_curves(history, "a", ["accuracy"], 0)).texts[None]
    if history.steps:
        assert "rows per second" in Page(schedule(history)).texts[None]


def test_long_curves_are_thinned():
    short, long = (
        task_curves(make_history(["topic"], steps), "topic", ["accuracy"], 1)
        for steps in (996, 9960)
    )
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


def test_the_timeline_has_every_part():
    parts = (Part("embeddings", 23_800_000, False), Part("head topic", 1540, True))
    text = Page(freezing_timeline([StageRecord(0, 0, "start", (), parts)], 0)).texts[None]
    for word in ("embeddings", "23.8 M", "head topic", "1.5 k", "trained", "frozen", "epochs"):
        assert word in text


def test_confusion_numbers():
    words = words_of(confusion_matrix(["a|b", "$x^2$"], [[31, 0], [12, 45_678]]))
    for word in ("31", "12", "46k", "a|b", "$x^2$", "answered", "expected"):
        assert word in words


def test_a_confusion_matrix_of_many_labels_has_names_or_numbers_of_labels():
    def matrix(size):
        names = [f"label{index}" for index in range(size)]
        return words_of(
            confusion_matrix(names, [[77 * (a == b) for a in range(size)] for b in range(size)])
        )

    assert "77" in matrix(16)
    assert "77" not in matrix(17)
    assert "label39" in matrix(40)
    long = words_of(confusion_matrix([f"{'a' * 30}{end}" for end in "xy"], [[1, 0], [0, 1]]))
    assert {"aaaaaaaaaaaaa…aaaaaaax", "aaaaaaaaaaaaa…aaaaaaay"} <= set(long)
    assert not [word for word in matrix(60) if word.startswith("label") and word != "label"]
    assert "60" in matrix(60)


def test_texts_stay_on_their_line():
    assert one_line(" a\n\tb\u2028c\x07\u202e\ud800") == "a b c\ufffd\ufffd\ufffd"
    assert one_line("👩\u200d🔬 日本") == "👩\u200d🔬 日本"
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"


def test_counts():
    assert [short_count(count) for count in (512, 1540, 22_713_216, 7 * 10**9)] == [
        "512",
        "1.5 k",
        "22.7 M",
        "7.0 G",
    ]
