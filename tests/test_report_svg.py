"""Plots as parts of a page: the same in any style, and in the page's colours."""

import re
import sys

import matplotlib
from html_page import Page
from matplotlib.figure import Figure
from small_summary import SCRIPT, make_history
from twinhead.trainer.report_curves import schedule, task_curves
from twinhead.trainer.report_plots import (
    confusion_matrix,
    freezing_timeline,
    reliability_diagram,
)
from twinhead.trainer.report_svg import BLUE, as_svg
from twinhead.trainer.task_metrics import ReliabilityBin

BINS = (ReliabilityBin(0.3, 0.2, 5), ReliabilityBin(0.93, 0.9, 60))


def drawn():
    history = make_history(["topic", "mood"])
    return [
        task_curves(history, "topic", 160),
        schedule(history),
        freezing_timeline(history.stages, 3),
        confusion_matrix(["a|b", SCRIPT], [[31, 2], [0, 17]]),
        reliability_diagram(BINS, BINS[:1]),
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


@as_svg
def titled(text):
    figure = Figure(figsize=(2, 2))
    figure.subplots().set_title(text, color=BLUE)
    return figure


def test_text_stays_what_it_is():
    text = f'color: {BLUE} <g id="x"> url(#y)'
    svg = titled(text)
    assert text in Page(svg).texts[None]
    assert "var(--blue)" in svg


def test_ids_of_two_plots_differ():
    first, second = (set(re.findall(r' id="([^"]*)"', titled(text))) for text in "ab")
    assert first
    assert not first & second
