"""The data: splits, faults, labels."""

from dataclasses import replace

from html_page import Page
from small_summary import SCRIPT, make_summary
from twinhead.trainer.report_data import data_section


def test_every_split_is_there_with_its_faults():
    table = Page(data_section(make_summary())).tables[0]
    assert table[1] == ["reviews", "train", "1,620", "30", "2", "0"]
    assert table[2] == ["reviews", "test", "200", "0", "0", "17"]
    assert [row[:2] for row in table[3:]] == [["news", "train"], ["news", "validation"]]


def test_labels_are_counted_in_each_split():
    page = Page(data_section(make_summary()))
    topic, urgent, flags, entities = page.tables[1:]
    assert topic[0] == ["label", "reviews, train", "", "reviews, test", "", "news, train", ""]
    assert topic[1] == ["Sports", "200", "", "200", "", "200", ""]
    assert SCRIPT in [row[0] for row in topic]
    assert [row[0] for row in urgent[1:]] == ["no", "yes"]
    assert flags[0] == ["label", "news, validation", ""]
    assert entities[1] == ["PER", "40", "", "40", ""]


def test_without_data_there_are_no_labels():
    page = Page(data_section(replace(make_summary(), data=())))
    assert len(page.tables) == 1
