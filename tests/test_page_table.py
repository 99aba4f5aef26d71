"""Tables of a page."""

import re

import pytest
from html_page import Page
from twinhead.client.report.page_table import Column, heat_table, table

COLUMNS = [Column("label", "text given"), Column("rows"), Column("", "plot")]


def test_cells_have_the_classes_of_their_column():
    markup = table(COLUMNS, [["a", "1", "-"], ["b", "2", "="]], "labels", "above")
    page = Page(markup)
    assert page.tables == [[["label", "rows", ""], ["a", "1", "-"], ["b", "2", "="]]]
    assert markup.count('<td class="text given" dir="auto">') == 2
    assert markup.count('<th class="text">') == 1
    assert "<caption>above</caption>" in markup


def test_cells_of_texts_say_what_they_are_where_the_page_is_narrow():
    markup = table(COLUMNS[:2], [["a", "1"]], "rows")
    assert '<td class="text given" dir="auto" data-name="label">a</td>' in markup
    assert '<td data-name="rows">1</td>' in markup
    assert "data-name" not in table(COLUMNS[:2], [["a", "1"]])


def test_a_row_has_a_cell_for_each_column():
    with pytest.raises(ValueError, match="zip"):
        table(COLUMNS, [["a"]])


@pytest.mark.parametrize(
    ("rows", "kind", "scrolls"), [(24, "", False), (25, "", True), (25, "rows", False)]
)
def test_long_tables_scroll_but_for_texts(rows, kind, scrolls):
    page = Page(table(COLUMNS, [["a", "1", "-"]] * rows, kind))
    assert (("div", "tabindex", "0") in page.attributes) == scrolls


def test_heat_is_the_share_of_the_row():
    markup = heat_table("x & y", ["a", "<b>"], ["c", "d"], [[1, 3], [0, 10]], [4, 20])
    page = Page(markup)
    assert page.tables == [
        [
            ["", "c", "d", "all"],
            ["a", "25.0\u00a0%1", "75.0\u00a0%3", "4"],
            ["<b>", "0.0\u00a0%0", "50.0\u00a0%10", "20"],
        ]
    ]
    assert re.findall(r'<td class="(h\d+[^"]*)"', markup) == ["h5", "h15", "h0", "h10"]


def test_a_confusion_shows_what_is_wrong_and_leaves_nothing_blank():
    labels = ["a", "b"]
    markup = heat_table("x", labels, labels, [[3, 1], [0, 10]], [4, 20], confusion=True)
    assert [row[1:] for row in Page(markup).tables[0][1:]] == [
        ["75.0\u00a0%3", "25.0\u00a0%1", "4"],
        ["", "50.0\u00a0%10", "20"],
    ]
    assert re.findall(r'<td class="(h\d+[^"]*)"', markup) == ["h15", "h10 wrong", "h0 wrong", "h10"]
