"""Arrow's IPC file format: types, embeddings, dictionaries that grow."""

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from twinhead.client.files.columnar_writer import GROUP_ROWS
from written_files import NEW, TEXTS, TYPED, VECTOR, convert, save, text_rows


def opened(path) -> pa.RecordBatchFileReader:
    return pa.ipc.open_file(pa.memory_map(str(path)))


@pytest.mark.parametrize("source", ["parquet", "arrow"])
def test_types_and_nulls_are_kept(tmp_path, source):
    if source == "parquet":
        pq.write_table(TYPED, tmp_path / "in.parquet")
    else:
        feather.write_feather(TYPED, tmp_path / "in.arrow")
    convert(tmp_path / f"in.{source}", tmp_path / "out.arrow")
    written = opened(tmp_path / "out.arrow").read_all()
    assert written.schema == pa.schema([*TYPED.schema, *NEW])
    written.validate(full=True)
    assert written.select(TYPED.column_names).drop("ratio") == TYPED.drop("ratio")
    assert repr(written["ratio"].to_pylist()) == repr(TYPED["ratio"].to_pylist())
    assert feather.read_table(tmp_path / "out.arrow").num_rows == TYPED.num_rows


def test_embeddings_are_fixed_size_lists_of_float32(tmp_path):
    new = pa.schema([*NEW, ("embedding", VECTOR)])
    convert(save(tmp_path / "in.csv", text_rows(TEXTS, 9)), tmp_path / "out.arrow", new)
    written = opened(tmp_path / "out.arrow").read_all()
    assert written.schema.field("embedding").type == VECTOR
    assert written["embedding"].to_pylist() == [
        None if number % 3 == 0 else [number, 0.5, -1.25] for number in range(1, 10)
    ]


def test_batches_are_groups_and_can_be_mapped(tmp_path):
    rows = [{"text": f"word {n}"} for n in range(GROUP_ROWS + 3)]
    convert(save(tmp_path / "in.csv", rows), tmp_path / "out.arrow")
    before = pa.total_allocated_bytes()
    file = opened(tmp_path / "out.arrow")
    batches = [file.get_batch(number) for number in range(file.num_record_batches)]
    assert pa.total_allocated_bytes() - before < 10_000  # not compressed: nothing is copied
    assert [batch.num_rows for batch in batches] == [GROUP_ROWS, 3]


@pytest.mark.parametrize("kind", [pa.string(), pa.int32()])
def test_dictionaries_that_differ_from_batch_to_batch_become_one_that_grows(tmp_path, kind):
    numbers = [None if n % 7 == 0 else n // 1000 for n in range(3 * GROUP_ROWS)]
    values = pa.array(numbers, pa.int32()).cast(kind)
    chunks = [values.slice(n, 1000).dictionary_encode() for n in range(0, len(values), 1000)]
    table = pa.table({"text": ["a"] * len(values), "kind": pa.chunked_array(chunks)})
    with pa.ipc.new_stream(tmp_path / "in.arrows", table.schema) as writer:
        writer.write_table(table)
    convert(tmp_path / "in.arrows", tmp_path / "out.arrow")
    written = opened(tmp_path / "out.arrow").read_all()
    assert written.schema.field("kind").type == pa.dictionary(pa.int32(), kind)
    assert written["kind"].to_pylist() == values.to_pylist()
