"""Charts of lines."""

import re

import pytest
from html_page import Page
from twinhead.client.report.page_chart import Line, Mark, line_chart

HACK = "<script>alert(1)</script>"


def ticks_of(markup, anchor):
    return re.findall(rf'text-anchor="{anchor}">([^<]*)</text>', markup)


def test_points_are_where_they_belong():
    points = [(0, 0), (5, 1), (10, 0.5)]
    markup = line_chart("t", [Line("one", points, "c3 dots")], "step", x=(0, 10), y=(0, 1))
    Page(markup)
    (path,) = re.findall(r'<g class="c3 dots"><path d="M([^"]*)"', markup)
    assert [place.split() for place in path.split("L")] == [
        ["48.0", "186.0"],
        ["249.0", "8.0"],
        ["450.0", "97.0"],
    ]
    assert re.findall(r'<circle cx="([^"]*)" cy="([^"]*)"', markup)[1] == ("249.0", "8.0")
    assert "<title>one, step 5: 1</title>" in markup
    assert ticks_of(markup, "middle") == ["0", "2", "4", "6", "8", "10"]
    assert ticks_of(markup, "end") == ["0", "0.2", "0.4", "0.6", "0.8", "1", "step"]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([1, 1], ["0.9", "0.92", "0.94", "0.96", "0.98", "1"]),
        ([0, 0], ["-0.1", "-0.08", "-0.06", "-0.04", "-0.02", "0"]),
        ([-5, 12_000], ["-2,500", "0", "2,500", "5,000", "7,500", "10,000", "12,500"]),
        ([0, 5e-5], ["0", "1.0e-5", "2.0e-5", "3.0e-5", "4.0e-5", "5.0e-5"]),
    ],
)
def test_the_axis_has_round_numbers_around_the_values(values, ticks):
    markup = line_chart("t", [Line("", list(enumerate(values)), "c0")], "step")
    assert ticks_of(markup, "end")[:-1] == ticks


def test_it_begins_where_it_is_told():
    chart = line_chart("t", [Line("", [(1, 7), (2, 8)], "c0")], "step", y_from=0)
    assert ticks_of(chart, "end")[0] == "0"


def test_one_point_is_a_chart():
    chart = line_chart("t", [Line("one", [(0, 3)], "c0 dots")], "step")
    assert chart.count("<circle") == 1
    assert "nan" not in chart


def test_the_legend_names_lines_and_marks_have_theirs():
    lines = [Line(HACK, [(0, 1), (9, 2)], "c0"), Line("", [(0, 1)], "c1"), Line("none", [], "c2")]
    text = Page(line_chart(HACK, lines, "step", marks=[Mark(3, HACK), Mark(4, "best", "dashed")]))
    shown = text.texts[None]
    assert shown.count(HACK) == 3
    assert "best" in shown
    assert "none" not in shown


def test_nothing_is_told():
    assert "Nothing was recorded." in line_chart("t", [Line("one", [], "c0")], "step")


def test_nothing_has_a_style_attribute():
    assert "style=" not in line_chart("t", [Line("one", [(0, 1), (1, 2)], "c0 dots")], "step")
