"""Markdown that shows just the texts it was given."""

import pytest
import yaml
from small_summary import TOPICS
from twinhead.trainer.markdown import escaped, listed, table, yaml_string


def test_what_means_something_is_escaped():
    assert escaped("a|b_c*\n`d` [e](f) & <g> \\ #h") == (
        r"a&#124;b\_c\* \`d\` \[e\](f) &amp; &lt;g&gt; \\ \#h"
    )
    assert escaped("https://x.y www.x.y a@b a: b") == r"https\://x.y www\.x.y a\@b a: b"
    assert escaped("0.95 (macro-F1)") == "0.95 (macro-F1)"


def test_lists_end_where_nobody_reads_on():
    assert listed(["a", "b\nc"], 2) == "a, b c"
    assert listed(["a"] * 1002, 1) == "a and 1,001 more"
    assert listed([], 3) == ""


def test_a_table_is_one():
    assert list(table(["one", "two"], [["a|b", "c"], ["d\ne", ""]])) == [
        "| one | two |",
        "|---|---|",
        "| a&#124;b | c |",
        "| d e |  |",
        "",
    ]
    assert list(table(["one"], [])) == []


@pytest.mark.parametrize("text", [*TOPICS, "- a: b", "yes", "12", "#", "\x07", "\u2028", "null"])
def test_yaml_reads_the_same_line(text):
    read = yaml.safe_load(f"key: {yaml_string(text)}")["key"]
    assert read == " ".join(text.split()).replace("\x07", "\ufffd")
