"""JSON lines: values."""

import json

import pyarrow.parquet as pq
import pytest
from written_files import NEW, TYPED, convert, expected_label, load, save


def test_parquet_values_become_json_values(tmp_path):
    pq.write_table(TYPED.drop(["at", "raw"]), tmp_path / "in.parquet")
    convert(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    first, second, third = load(tmp_path / "out.jsonl")
    assert (first["id"], second["id"], third["id"]) == (7, None, -1)
    assert (first["tags"], second["tags"], third["tags"]) == (["a", "b"], [], None)
    assert (first["meta"], second["meta"]) == ({"k": 1, "v": [1.5]}, None)
    assert (first["day"], first["price"], first["flag"]) == ("2024-02-29", "1.50", True)
    assert "NaN" not in (tmp_path / "out.jsonl").read_text()  # JSON has no such value
    assert (first["ratio"], second["ratio"]) == (None, 0.1)


def test_json_lines_keep_nested_values_key_order_and_rows_that_differ(tmp_path):
    rows = [
        {"z": {"b": [1, {"c": None}], "a": 2**70}, "text": "one", "a": 1.0},
        {"text": "two"},
        {"text": None, "ü": "ä\u2028", "z": [], "empty": {}},
    ]
    convert(save(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl")
    written = load(tmp_path / "out.jsonl")
    for number, (row, given) in enumerate(zip(written, rows, strict=True), 1):
        assert list(row) == [*given, *NEW.names]
        assert row == {**given, **expected_label(number, "jsonl")}
    assert "ä" in (tmp_path / "out.jsonl").read_text(encoding="utf-8")  # readable, not escaped


def test_json_lines_are_strict_also_where_the_input_is_not(tmp_path):
    (tmp_path / "in.jsonl").write_text('{"text": "one", "a": NaN, "b": [{"c": -Infinity}], "d": 2}')
    convert(tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    written = (tmp_path / "out.jsonl").read_text()
    row = json.loads(written, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (row["a"], row["b"], row["d"]) == (None, [{"c": None}], 2)
