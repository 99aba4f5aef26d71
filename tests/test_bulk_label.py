"""The labelling pipeline itself: order, bounds, batches that fail; the command is tested apart."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from twinhead.client import Client, FileError, InvalidRequestError
from twinhead.client.bulk_label import LabelOptions, bulk_label
from twinhead.client.row_reader import open_reader
from twinhead.client.row_writer import OutputFile


def run(target, source, out, options=None, on_progress=lambda rows, position: None):
    with open_reader(str(source), None, None, "utf-8") as reader, Client(target) as client:
        output = OutputFile(str(out), None, str(source))
        try:
            summary = bulk_label(client, reader, output, options or LabelOptions(), on_progress)
        except BaseException:
            output.abandon()
            raise
        output.complete()
    return summary


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("".join(f"w{n} w{n % 7}\n" for n in range(2000)))
    return path


def test_rows_keep_their_order_and_get_their_own_answers(debug_worker, source, tmp_path):
    seen = []
    summary = run(
        debug_worker.target,
        source,
        tmp_path / "out.parquet",
        LabelOptions(embeddings=True, in_flight=3),
        lambda rows, position: seen.append((rows, position)),
    )
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["text"].to_pylist() == source.read_text().splitlines()
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 4)
    with Client(debug_worker.target) as client:
        last = client.infer(table["text"].to_pylist()[-5:])
    assert table["size"].to_pylist()[-5:] == last["size"].labels
    np.testing.assert_allclose(table["embedding"].to_pylist()[-5:], last.embeddings, rtol=1e-5)
    assert (summary.rows, summary.labelled) == (2000, 2000)
    assert [rows for rows, _ in seen] == sorted(rows for rows, _ in seen)
    assert seen[-1] == (2000, source.stat().st_size)


def test_a_worker_that_takes_small_requests_gets_small_ones(start_debug_worker, source, tmp_path):
    worker = start_debug_worker(sentences_per_request=50)
    assert run(worker.target, source, tmp_path / "out.csv").rows == 2000


def test_a_batch_that_fails_keeps_its_rows_with_the_error(debug_worker, source, tmp_path):
    debug_worker.engine.fail_on = "w300"
    summary = run(debug_worker.target, source, tmp_path / "out.parquet", LabelOptions(in_flight=1))
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.num_rows == 2000
    errors = table["error"].to_pylist()
    assert errors[300] is not None
    assert "reference" in errors[300]
    assert errors[0] is None
    assert summary.failed == {"worker failed": sum(error is not None for error in errors)}
    assert summary.failed.total() <= 256


def test_tasks_are_checked_before_anything_is_sent(debug_worker, source, tmp_path):
    with pytest.raises(InvalidRequestError, match="no task 'mood'; it has parity, size"):
        run(debug_worker.target, source, tmp_path / "out.csv", LabelOptions(tasks=["mood"]))
    assert debug_worker.engine.passes == []


def test_a_column_that_only_some_rows_have_may_not_be_overwritten(debug_worker, tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "w1"}\n{"text": "w2", "size": "mine"}\n')
    with pytest.raises(FileError, match=r"'size' already.*--prefix"):
        run(debug_worker.target, source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
