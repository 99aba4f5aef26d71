"""Parquet: damaged row groups, and memory."""

import random
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_files import as_parquet, read_to_fault, saved
from twinhead.client.files.row_batch import MAX_ROWS
from twinhead.client.files.row_reader import open_reader


def test_damaged_parquet_is_told_after_the_rows_before_it(tmp_path):
    path = tmp_path / "in.parquet"
    words = [f"word {n}" for n in range(2 * MAX_ROWS)]
    pq.write_table(pa.table({"text": words}), path, row_group_size=MAX_ROWS)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset
    data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(data)
    texts, message = read_to_fault(str(path))
    assert texts == words[:MAX_ROWS]
    assert message.startswith(f"{path}: damaged after row {MAX_ROWS}: ")


@pytest.mark.parametrize("row_group_size", [MAX_ROWS, 16 * MAX_ROWS])
def test_parquet_is_never_in_memory_as_a_whole(tmp_path, row_group_size):
    noise = random.Random(6)
    table = pa.table({"text": [f"{noise.getrandbits(2048):x}" for _ in range(16 * MAX_ROWS)]})
    path = str(tmp_path / "in.parquet")
    pq.write_table(table, path, row_group_size=row_group_size)
    size = table.nbytes
    del table
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        with open_reader(path, None, None, "utf-8") as reader:
            most = max(pa.total_allocated_bytes() - before for _ in reader.batches())
        most += tracemalloc.get_traced_memory()[1]  # what is read of the file is Python's
    finally:
        tracemalloc.stop()
    assert most < size / 2


def test_rows_with_large_columns_beside_the_text_are_read_a_few_at_once(tmp_path):
    noise = random.Random(7)
    words = [f"word {n}" for n in range(200)]
    table = pa.table({"text": words, "page": [noise.randbytes(200_000) for _ in words]})
    path = saved(tmp_path, "in.parquet", as_parquet(table))
    with open_reader(path) as reader:
        batches = list(reader.batches())
    assert max(batch.rows.nbytes for batch in batches) < 20_000_000
    assert [text for batch in batches for text in batch.texts] == words


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    data = as_parquet(pa.table({"text": ["one"] * 999}))
    path = saved(tmp_path, "in.parquet", data[:-9])
    assert read_to_fault(path)[1].startswith(f"{path}: not a readable Parquet file: ")
