"""JSON lines: rows that differ, and lines that are broken."""

import json
from pathlib import Path

import pytest
from read_files import read, read_to_fault, saved


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('["hello"]', "is not a JSON object"),
        ('"hello"', "is not a JSON object"),
        ("null", "is not a JSON object"),
        ('{"text": "hello"', "is not valid JSON: Expecting ',' delimiter at column 17"),
        ("text", "is not valid JSON: Expecting value at column 1"),
        ('{"text": 5}', "'text' is not text but 5"),
        ('{"text": ["hello"]}', "'text' is not text but [\"hello\"]"),
        ('{"text": false}', "'text' is not text but false"),
        ('{"text": "half \\ud83d"}', "holds half of a surrogate pair"),
        ('{"text": "a", "id": "\\uDE00"}', "holds half of a surrogate pair"),
        ('{"text": "a", "\\ude00": 1}', "holds half of a surrogate pair"),
        ('{"text": "a", "n": ' + "9" * 5000 + "}", "holds a number of too many digits"),
        ('{"text": "a", "n": ' + "[" * 5000 + "]" * 5000 + "}", "is nested too deeply"),
    ],
)
def test_a_broken_json_line_is_named_after_the_rows_before_it(tmp_path, line, message):
    good = [json.dumps({"text": f"word {n}"}) for n in range(300)]
    lines = [*good[:10], "", *good[10:], line, '{"text": "after"}']  # lines are not rows
    path = saved(tmp_path, "in.jsonl", "\n".join(lines))
    texts, said = read_to_fault(path)
    assert texts == [f"word {n}" for n in range(300)]
    assert said.startswith(f"{path}: row 301 (line 302)")
    assert message in said


def test_json_texts_may_be_null_or_missing_and_rows_differ(tmp_path):
    rows = [
        {"text": "one", "id": 1},
        {"text": None},
        {"id": 3},
        {"more": [1], "text": "\U0001f950"},
    ]
    path = saved(tmp_path, "in.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert "\\ud83e\\udd50" in Path(path).read_text()  # a whole pair is no half
    assert read(path) == (["one", "", "", "\U0001f950"], rows)
