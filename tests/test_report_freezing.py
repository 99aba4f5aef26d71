"""What was frozen when."""

import re
from dataclasses import replace

from html_page import Page
from small_summary import make_summary
from twinhead.trainer.history import History, Part, StageRecord
from twinhead.trainer.report_freezing import freezing_section


def of(*stages):
    summary = make_summary()
    return freezing_section(replace(summary, history=History(stages=list(stages))))


def parts(*trained):
    names = ("embeddings", "head topic")
    return tuple(Part(*each) for each in zip(names, (23_800_000, 1540), trained, strict=True))


def test_every_part_has_its_bar_over_the_epochs():
    markup = of(
        StageRecord(0, 0, "start", ("encoder",), parts(False, True)),
        StageRecord(90, 3, "<stalled>", (), parts(True, True)),
    )
    stages, timeline = Page(markup).tables
    assert stages[1][:7] == ["1", "0", "0", "start", "encoder", "1.5 k", "<\u00a00.1\u00a0%"]
    assert stages[2][:7] == [
        "2", "3", "90", "<stalled>", "nothing is frozen", "23.8 M", "100.0\u00a0%",
    ]  # fmt: skip
    assert [row[:2] for row in timeline[1:]] == [["head topic", "1.5 k"], ["embeddings", "23.8 M"]]
    bars = re.findall(r'<rect class="(\w+)" x="([^"]*)" width="([^"]*)"', markup)
    assert bars == [
        ("c0", "0.00%", "100.00%"),
        ("c0", "100.00%", "0.00%"),
        ("idle", "0.00%", "100.00%"),
        ("c0", "100.00%", "0.00%"),
    ]


def test_the_bars_are_as_long_as_the_epochs():
    markup = freezing_section(make_summary())
    bars = re.findall(r'<rect class="(\w+)" x="[^"]*" width="([^"]*)"', markup)
    assert bars[-3:] == [("idle", "33.33%"), ("idle", "33.33%"), ("c0", "33.33%")]


def test_nothing_is_told():
    assert of() == "<p>Nothing was recorded.</p>"
