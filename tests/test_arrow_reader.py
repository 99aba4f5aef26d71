"""Arrow's IPC format: files and streams, whole and damaged."""

import pyarrow as pa
import pyarrow.feather as feather
import pytest
from read_files import COMPRESS, as_arrow, read, read_to_fault, saved
from twinhead.client.files.row_batch import MAX_ROWS
from twinhead.client.files.row_reader import open_reader

WORDS = [f"word {n}" for n in range(2 * MAX_ROWS + 5)]


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("rows_at_once", [None, 999])
def test_files_and_streams_are_read_and_large_batches_cut(tmp_path, stream, rows_at_once, ending):
    data = as_arrow(pa.table({"text": WORDS}), stream=stream, rows_at_once=rows_at_once)
    path = saved(tmp_path, f"in.arrow{ending}", COMPRESS[ending](data))
    with open_reader(path) as reader:
        batches = list(reader.batches())
        size = reader.size
    assert [text for batch in batches for text in batch.texts] == WORDS
    assert max(len(batch.texts) for batch in batches) == (rows_at_once or MAX_ROWS)
    positions = [batch.position for batch in batches]
    assert positions == sorted(positions)
    assert positions[0] > 0
    assert size is not None
    assert 0.9 * size <= positions[-1] <= size


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_feather_is_read(tmp_path, compression):
    """As pandas writes it: with metadata of its own, and compressed inside."""
    table = pa.table({"text": WORDS}).replace_schema_metadata({"pandas": "{}"})
    path = str(tmp_path / "in.feather")
    feather.write_feather(table, path, compression=compression)
    assert read(path)[0] == WORDS
    with open_reader(path) as reader:
        assert reader.schema == pa.schema([("text", pa.string())])
        assert not reader.schema.metadata


def test_old_feather_is_told(tmp_path):
    path = saved(tmp_path, "in.feather", b"FEA1" + bytes(60))
    assert read_to_fault(path)[1] == (
        f"{path}: not a readable Arrow file: it is Feather of version 1; "
        "write it again in version 2"
    )


def test_dictionaries_may_grow_from_batch_to_batch(tmp_path):
    parts = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", "a"]).dictionary_encode()]
    table = pa.table({"text": pa.chunked_array(parts)})
    path = saved(tmp_path, "in.arrows", as_arrow(table, stream=True))
    assert read(path)[0] == ["a", "b", "c", "a"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_that_is_cut_off_is_told(tmp_path, stream):
    data = as_arrow(pa.table({"text": WORDS}), stream=stream, rows_at_once=1000)
    path = saved(tmp_path, "in.arrow", data[: len(data) // 2])
    texts, message = read_to_fault(path)
    assert texts == WORDS[: len(texts)]
    if stream:
        assert 3000 <= len(texts) < 5000
        assert f"damaged after row {len(texts)}: " in message
    else:  # its end tells where everything is
        assert "not a readable Arrow file: " in message


def test_offsets_that_point_outside_are_told_and_not_followed(tmp_path):
    table = pa.table({"text": WORDS, "id": list(range(len(WORDS)))})
    data = bytearray(as_arrow(table, rows_at_once=MAX_ROWS))
    # The first offsets of the second batch, as they stand in the file.
    lengths = [len(text) for text in WORDS[MAX_ROWS : MAX_ROWS + 2]]
    start = data.find(b"".join(n.to_bytes(4, "little") for n in (0, lengths[0], sum(lengths))))
    assert start > len(data) // 3
    data[start + 4 : start + 8] = b"\xff\xff\xff\x7f"
    texts, message = read_to_fault(saved(tmp_path, "in.arrow", bytes(data)))
    assert texts == WORDS[:MAX_ROWS]
    assert f"damaged after row {MAX_ROWS}: " in message
