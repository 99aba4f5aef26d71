"""CSV and TSV: cells."""

import json

import pyarrow.parquet as pq
from written_files import NEW, TYPED, convert, load, save


def test_parquet_values_become_csv_cells(tmp_path):
    pq.write_table(TYPED.drop(["at", "raw", "flag"]), tmp_path / "in.parquet")
    convert(tmp_path / "in.parquet", tmp_path / "out.csv")
    first, second, _ = load(tmp_path / "out.csv")
    assert (first["id"], first["day"], first["price"]) == ("7", "2024-02-29", "1.50")
    assert json.loads(first["tags"]) == ["a", "b"]
    assert json.loads(first["meta"]) == {"k": 1, "v": [1.5]}
    assert (second["id"], second["text"], second["meta"]) == ("", "", "")


def test_json_lines_become_csv_with_nested_values_as_json(tmp_path):
    rows = [{"text": "one", "n": 1, "m": {"ü": [1]}}, {"n": None, "text": "two"}]
    convert(save(tmp_path / "in.jsonl", rows), tmp_path / "out.csv")
    first, second = load(tmp_path / "out.csv")
    assert list(first) == ["text", "n", "m", *NEW.names]
    assert (first["n"], first["m"]) == ("1", '{"ü": [1]}')
    assert (second["text"], second["n"], second["m"]) == ("two", "", "")
