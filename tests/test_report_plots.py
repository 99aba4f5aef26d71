"""The plots: what they show."""

import re

from html_page import Page
from twinhead.trainer.history import Part, StageRecord
from twinhead.trainer.report_plots import confusion_matrix, freezing_timeline, reliability_diagram
from twinhead.trainer.task_metrics import ReliabilityBin


def words_of(svg):
    return Page(svg).texts[None].split()


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


BEFORE = (ReliabilityBin(0.5, 0.4, 6), ReliabilityBin(0.97, 0.8, 60))
AFTER = (ReliabilityBin(0.3, 0.2, 5), ReliabilityBin(0.8, 0.7, 30), ReliabilityBin(0.93, 0.9, 31))


HOLLOW, FILLED = "fill-opacity: 0; stroke: var(--soft)", "fill: var(--blue); stroke: var(--blue)"


def test_reliability_before_is_hollow_and_after_is_filled():
    svg = reliability_diagram(AFTER, BEFORE)
    assert {"before", "after", "confidence", "decisions"} <= set(words_of(svg))
    # One more of each is in the legend.
    assert svg.count(f'style="{HOLLOW}"') == len(BEFORE) + 1
    assert svg.count(f'style="{FILLED}"') == len(AFTER) + 1
    bars = re.findall(r'<path [^>]*style="fill: ([^;]*); stroke: ([^;]*); stroke-linejoin', svg)
    assert sorted(bars) == [("none", "var(--soft)")] * 2 + [("var(--blue)", "var(--blue)")] * 3


def test_reliability_without_a_before_is_one_curve():
    svg = reliability_diagram(AFTER)
    assert not {"before", "after"} & set(words_of(svg))
    assert "var(--soft)" not in svg
    assert svg.count(f'style="{FILLED}"') == len(AFTER)
