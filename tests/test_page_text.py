"""Texts and numbers as a page shows them."""

import json

import pytest
from twinhead.client.report.page_text import (
    counted,
    duration,
    escaped,
    escaped_lines,
    one_line,
    percent,
    script_json,
    whole_line,
)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        (" a\tb\r\n\u2028c\u00a0d ", "a b c d"),
        (
            "nul \0 escape \x1b turn \u202e isolate \u2066 end",
            "nul � escape � turn � isolate � end",
        ),
        ("half \ud800 pair", "half � pair"),
        ("👩‍👩‍👧 日本 مرحبا", "👩‍👩‍👧 日本 مرحبا"),
    ],
)
def test_texts_are_on_one_line_without_what_cannot_be_shown(text, line):
    assert one_line(text) == line
    one_line(text).encode("utf-8")


def test_long_texts_are_cut():
    assert one_line("x" * 2_000_000, 10) == "x" * 9 + "…"
    assert one_line("x" * 10, 10) == "x" * 10
    assert one_line("four and more", 5) == "four…"


def test_a_whole_line_is_not_cut():
    assert whole_line("x" * 5_000 + " \n y") == "x" * 5_000 + " y"


def test_lines_stay_lines():
    assert escaped_lines("a  = <b>\n\u202e\x00\n") == "a  = &lt;b&gt;\n\ufffd\ufffd\n"


def test_markup_is_escaped():
    assert escaped("<b title='a' x=\"b\">&") == (
        "&lt;b title=&#x27;a&#x27; x=&quot;b&quot;&gt;&amp;"
    )


def test_json_cannot_end_its_script_element():
    value = ["</script><!--<script>", "a & b", "\u2028\u2029", "日本 🏅"]
    text = script_json(value)
    assert not set(text) & set("<>&\u2028\u2029")
    assert "日本" in text
    assert json.loads(text) == value


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0.0 %"),
        (0, 9, "0.0 %"),
        (1, 9_999, "< 0.1 %"),
        (1, 3, "33.3 %"),
        (9_999, 10_000, "> 99.9 %"),
        (7, 7, "100.0 %"),
    ],
)
def test_shares(part, whole, text):
    assert percent(part, whole).replace("\u00a0", " ") == text


def test_counts_have_their_noun():
    assert counted(1, "row") == "1 row"
    assert counted(2000, "row") == "2,000 rows"
    assert counted(0, "entity", "entities") == "0 entities"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (4.23, "4.2 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
