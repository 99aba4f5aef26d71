"""Tables of single rows."""

from html_page import Page
from small_label_run import HOSTILE, Run, tallies_of
from twinhead.client.label_report.label_report_rows import FailedRow, extreme_table, failed_section


def cells(markup):
    (table,) = Page(markup).tables
    return table


def test_extreme_rows_have_number_text_label_and_score():
    topic = tallies_of(Run(100))[0]
    table = cells(extreme_table(topic, topic.least.rows, "Least", shown=True))
    assert table[0] == ["row", "text", "label", "score"]
    assert len(table) == 21
    first = topic.least.rows[0]
    assert table[1] == [
        f"{first.row + 1}",
        first.text,
        topic.name(first.given[0].label),
        f"{first.score:.3f}",
    ]


def test_of_many_labels_each_has_its_score():
    names = tallies_of(Run(100))[3]
    markup = extreme_table(names, names.least.rows, "Least", shown=False)
    assert "least certain entity" in markup
    assert "<details>" in markup
    assert "Rome <b> · LOC 0.25" in cells(markup)[1][2]


def test_failed_rows_have_their_reasons():
    shown = [FailedRow(number, text, f"why <{number}>") for number, text in enumerate(HOSTILE)]
    shown.append(FailedRow(1999, " ", "empty"))
    markup = failed_section(2000, 4000, {"too long": 500, "<empty>": 1500}, shown)
    page = Page(markup)
    reasons, rows = page.tables
    assert [row[:2] for row in reasons[1:]] == [["<empty>", "1,500"], ["too long", "500"]]
    assert rows[1] == ["1", HOSTILE[0], "why <0>"]
    assert rows[-1] == ["2,000", "(empty)", "empty"]
    assert max(len(row[1]) for row in rows) == 240
    assert "The first 9 of them" in markup


def test_when_all_are_shown_it_says_so():
    markup = failed_section(1, 1, {}, [FailedRow(0, "text", "why")])
    assert "All of them" in markup
    assert len(Page(markup).tables) == 1
