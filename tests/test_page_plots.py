"""Bars, histograms and colours."""

import re

import numpy as np
import pytest
from html_page import Page
from twinhead.client.report.page_plots import (
    COLOURS,
    bar,
    heat,
    histogram,
    label_colours,
    stacked_bar,
)


def test_few_labels_have_the_colours_of_their_places():
    assert label_colours(np.array([0, 5, 9])) == [0, 1, 2]


def test_of_many_labels_the_most_frequent_have_colours_in_the_order_of_the_task():
    counts = np.arange(200)
    colours = label_colours(counts)
    assert colours[:190] == [COLOURS] * 190
    assert colours[190:] == list(range(10))


def test_bars_are_as_long_as_their_shares():
    assert 'width="37.50%"' in bar(0.375, "c3")
    assert 'class="beside"' not in bar(0.375)
    assert '<rect class="beside" x="25.00%"/>' in bar(0.375, beside=0.25)
    drawn = stacked_bar([("a", 0.25, "c0"), ('"><b>', 0.75, "c1")])
    assert re.findall(r' x="([^"]*)" width="([^"]*)"', drawn) == [
        ("0.00%", "25.00%"),
        ("25.00%", "75.00%"),
    ]
    assert "<b>" not in drawn
    Page(drawn)


def test_a_histogram_has_a_bar_for_each_bin():
    drawn = histogram([0, 1, 0, 4], "Scores of <b>")
    Page(drawn)
    assert [float(each) for each in re.findall(r'height="([\d.]+)"/></g>', drawn)] == [
        0,
        25,
        0,
        100,
    ]
    assert "0.75 to 1.00: 4 (80.0\u00a0%)" in drawn
    assert "<b>" not in drawn


def test_a_histogram_of_nothing_is_flat():
    assert set(re.findall(r'height="([\d.]+)"/></g>', histogram([0, 0], "x"))) == {"0.00"}


@pytest.mark.parametrize(("share", "shade"), [(0, "h0"), (0.5, "h10"), (1, "h20"), (1.5, "h20")])
def test_shades(share, shade):
    assert heat(share) == shade


def test_nothing_has_a_style_attribute():
    for drawn in (bar(0.5, "c1"), stacked_bar([("a", 1, "c0")]), histogram([1], "x")):
        assert "style=" not in drawn
