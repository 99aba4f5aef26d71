"""Source and sink, as Ray Data calls them."""

import warnings
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
from twinhead.client.files.part_files import PartFiles, PartSummary
from twinhead.client.labelling.label_columns import LabelColumns
from twinhead.client.labelling.ray_rows import REASON, InputFiles, InputRows

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", module=r"ray\b")
    from twinhead.client.labelling.ray_files import PartSink, RowSource


def test_each_file_is_read_by_a_task(tmp_path):
    places = [str(tmp_path / f"{name}.csv") for name in "ba"]
    for number, place in enumerate(places):
        Path(place).write_text(f"text\nrow {number}\n")
    files = InputFiles(places)
    source = RowSource(InputRows(files, pa.schema([("text", pa.string())])))
    tasks = source.get_read_tasks(100)
    read = [[table["text"].to_pylist() for table in task()] for task in tasks]
    assert read == [[["row 0"]], [["row 1"]]]
    assert source.estimate_inmemory_data_size() is None


def test_parts_have_the_number_of_their_task(tmp_path):
    schema = pa.schema([("n", pa.int64())])
    columns = LabelColumns([], 0)
    summary = PartSummary([], "", 0.0)
    sink = PartSink(PartFiles(str(tmp_path), "parquet", schema, columns), summary)
    returned = []
    for task in (1, 0):
        table = pa.table({"n": [task] * 3})
        for field in columns.schema:
            table = table.append_column(field, pa.nulls(3, field.type))
        table = table.append_column(REASON, pa.array(["empty"] * 3))
        returned.append(sink.write([table], SimpleNamespace(task_idx=task)))
    sink.on_write_complete(SimpleNamespace(write_returns=returned))
    assert (sink.written, summary.rows, summary.failed) == (2, 6, {"empty": 6})
    assert pq.read_table(tmp_path)["n"].to_pylist() == [0] * 3 + [1] * 3
    assert sink.min_bytes_per_write > 1e6
