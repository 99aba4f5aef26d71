"""Parquet: types, embeddings, row groups."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from twinhead.client.files.row_batch import MAX_ROWS
from written_files import NEW, TEXTS, TYPED, VECTOR, convert, load, save, text_rows


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_parquet_keeps_types_and_nulls(tmp_path, ending):
    pq.write_table(TYPED, tmp_path / "in.parquet")
    source = tmp_path / f"in.parquet{ending}"
    if ending:
        source.write_bytes(gzip.compress((tmp_path / "in.parquet").read_bytes()))
    convert(source, tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.schema == pa.schema([*TYPED.schema, *NEW])
    # NaN differs from itself: compare that column as text.
    assert written.select(TYPED.column_names).drop("ratio") == TYPED.drop("ratio")
    assert repr(written["ratio"].to_pylist()) == repr(TYPED["ratio"].to_pylist())


def test_parquet_row_groups_with_other_dictionaries_are_kept(tmp_path):
    values = [f"value {n // 100}" for n in range(1000)]
    chunks = [pa.array(values[n : n + 100]).dictionary_encode() for n in range(0, 1000, 100)]
    table = pa.table({"text": pa.chunked_array(chunks)})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=100)
    convert(tmp_path / "in.parquet", tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written["text"].to_pylist() == values
    assert written.schema.field("text").type == table.schema.field("text").type


@pytest.mark.parametrize("source", ["csv", "jsonl", "parquet"])
def test_parquet_embeddings_are_fixed_size_lists_of_float32(tmp_path, source):
    new = pa.schema([*NEW, ("embedding", VECTOR)])
    rows = text_rows(TEXTS, MAX_ROWS + 4)
    convert(save(tmp_path / f"in.{source}", rows), tmp_path / "out.parquet", new)
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.schema.field("embedding").type == VECTOR
    assert written["embedding"].to_pylist() == [
        None if number % 3 == 0 else [number, 0.5, -1.25] for number in range(1, len(rows) + 1)
    ]


def test_all_but_embeddings_is_written_with_dictionaries(tmp_path):
    rows = [{"text": "a", "a.b": 1, "tags": ["x"], "deep": {"tags": ["x"]}}] * 99
    new = pa.schema([*NEW, ("embedding", VECTOR)])
    convert(save(tmp_path / "in.jsonl", rows), tmp_path / "out.parquet", new)
    group = pq.ParquetFile(tmp_path / "out.parquet").metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    without = {column.path_in_schema for column in columns if not column.has_dictionary_page}
    assert without == {"embedding.list.element", "truncated"}  # booleans are bits


def test_a_long_parquet_file_has_several_row_groups(tmp_path):
    rows = [{"text": f"word {n}"} for n in range(2 * MAX_ROWS + 9000)]
    convert(save(tmp_path / "in.jsonl", rows), tmp_path / "out.parquet")
    assert pq.ParquetFile(tmp_path / "out.parquet").metadata.num_row_groups == 3
    assert [row["text"] for row in load(tmp_path / "out.parquet")] == [r["text"] for r in rows]
