"""The frame of a page."""

from importlib.metadata import version

import pytest
from html_page import Page, check_closed
from twinhead.client.report.page import Section, cards, facts, note, render_page

HACK = "<script>document.documentElement.dataset.hacked=1</script>"
SECTIONS = [Section("one", f"One {HACK}", "<p>first</p>"), Section("two", "Two", "<p>second</p>")]


def test_sections_have_their_heading_and_the_navigation_leads_to_them():
    page = Page(render_page("A title", "a test", facts([("rows", "<b>7</b>")]), SECTIONS))
    assert page.texts["one"] == f"One {HACK}first"
    assert page.texts["two"] == "Twosecond"
    assert [value for tag, name, value in page.attributes if name == "href"] == ["#one", "#two"]
    assert "rows7" in page.texts[None]
    assert f"Made by Twinhead {version('twinhead')}" in page.texts[None]


@pytest.mark.parametrize("script", ["", "document.documentElement.dataset.ready = 'yes'"])
def test_only_the_own_style_and_script_act(script):
    text = render_page(HACK, "a test", "", SECTIONS, style="p { margin: 0 }", script=script)
    check_closed(text, Page(text))
    assert text.count("<script") == bool(script)
    assert ("script-src" in text) == bool(script)


def test_notes_and_cards_of_nothing_are_nothing():
    assert note([]) == cards([]) == ""
    assert Page(note(["one", "two"])).tags.count("li") == 2
    assert Page(cards(["one", "two"])).tags.count("div") == 3
