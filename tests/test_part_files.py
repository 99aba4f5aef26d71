"""Part files: what is in them, and what is counted."""

import io
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from twinhead.client import FileError
from twinhead.client.files.part_files import PartFiles, PartSummary
from twinhead.client.labelling.label_columns import LabelColumns
from twinhead.client.labelling.ray_rows import REASON, ROW, TEXT
from twinhead.client.results import TaskInfo

COLUMNS = LabelColumns(
    [
        TaskInfo("topic", "single_label", ("sea", "land")),
        TaskInfo("tags", "multi_label", ("new", "old")),
        TaskInfo("wild", "binary", ("no", "yes")),
    ],
    2,
    "p_",
)
ADDED = {
    "p_topic": ["land", None, "land"],
    "p_topic_score": [0.75, None, 0.5],
    "p_tags": [["old", "new"], None, []],
    "p_tags_scores": [[0.875, 0.625], None, []],
    "p_wild": ["no", None, "yes"],
    "p_wild_probability": [0.25, None, 0.5],
    "p_embedding": [[0.0, 1.0], None, [1.0, 0.0]],
    "p_truncated": [True, None, False],
    "p_error": [None, "too long", None],
    "p_model_version": ["v1", None, "v1"],
}
SCHEMA = pa.schema([("id", pa.int16()), ("text", pa.string())])
ROWS = [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}, {"id": 3, "text": None}]


def labelled(rows: pa.Table) -> pa.Table:
    for field in COLUMNS.schema:
        rows = rows.append_column(field, pa.array(ADDED[field.name], field.type))
    return rows.append_column(REASON, pa.array([None, "too long", None], pa.string()))


@pytest.fixture
def table() -> pa.Table:
    return labelled(pa.Table.from_pylist(ROWS, SCHEMA))


def test_types_and_counts(tmp_path, table):
    part = PartFiles(str(tmp_path), "parquet", SCHEMA, COLUMNS).write(7, [table, table])
    (path,) = tmp_path.iterdir()
    assert path.name == "part-000007.parquet"
    written = pq.read_table(path)
    assert written.schema == pa.schema([*SCHEMA, *COLUMNS.schema])
    expected = pa.concat_tables([table, table]).drop_columns([REASON])
    assert written.to_pylist() == expected.to_pylist()
    total = PartSummary(COLUMNS.tasks, COLUMNS.prefix, 0.0)
    for _ in range(2):
        total.merge(pickle.loads(pickle.dumps(part)))
    assert (part.rows, total.rows, total.labelled, total.truncated) == (6, 12, 8, 4)
    assert total.failed == {"too long": 4}
    assert total.versions == {"v1": 8}
    assert total.labels == {
        "topic": {"land": 8},
        "tags": {"old": 4, "new": 4},
        "wild": {"no": 4, "yes": 4},
    }
    console = Console(file=io.StringIO(), width=80)
    console.print(total.render("there"))
    shown = re.sub(r"[ │]+", " ", console.file.getvalue())
    assert "topic land 8 100.0% 0.62" in shown
    assert "tags old 4 50.0% 0.88" in shown
    assert " new 4 50.0% 0.62" in shown
    assert "wild no 4 50.0% 0.75" in shown


def test_embeddings_beside_text_are_in_a_matrix(tmp_path, table):
    PartFiles(str(tmp_path), "csv", SCHEMA, COLUMNS).write(0, [table])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "part-000000.csv",
        "part-000000.npy",
    ]
    vectors = np.load(tmp_path / "part-000000.npy")
    np.testing.assert_array_equal(vectors[[0, 2]], [[0, 1], [1, 0]])


def test_rows_with_columns_of_their_own(tmp_path):
    rows = [{"text": "a", "n": [1, {"x": None}]}, {"ü": 2**70}, {}]
    texts = ["a", "", ""]
    table = labelled(pa.table({ROW: [json.dumps(row) for row in rows], TEXT: texts}))
    PartFiles(str(tmp_path), "jsonl", None, COLUMNS).write(0, [table])
    lines = (tmp_path / "part-000000.jsonl").read_text(encoding="utf-8").splitlines()
    written = [json.loads(line) for line in lines]
    assert [{k: v for k, v in row.items() if k not in ADDED} for row in written] == rows
    assert [row["p_topic"] for row in written] == ADDED["p_topic"]
    # With types, each row must have them.
    with pytest.raises(FileError, match="row 1 has the field 'n', which the first rows have not"):
        PartFiles(str(tmp_path), "parquet", SCHEMA, COLUMNS).write(1, [table])
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".jsonl", ".npy"]


def test_a_part_without_rows_says_which_columns_there_are(tmp_path):
    parts = PartFiles(str(tmp_path), "csv", SCHEMA, LabelColumns(COLUMNS.tasks[:1], 0))
    assert parts.write(0, []).rows == 0
    header = "id,text,topic,topic_score,truncated,error,model_version\n"
    assert (tmp_path / "part-000000.csv").read_text() == header


def test_a_place_that_is_gone_is_told(tmp_path, table):
    parts = PartFiles(str(tmp_path / "gone"), "parquet", SCHEMA, COLUMNS)
    with pytest.raises(FileError, match=r"gone/part-000000\.parquet: cannot write there: No such"):
        parts.write(0, [table])


def test_a_part_that_is_written_again_is_replaced(tmp_path, table):
    parts = PartFiles(Path(tmp_path).as_uri(), "parquet", SCHEMA, COLUMNS)
    parts.write(0, [table, table])
    parts.write(0, [table])
    (path,) = tmp_path.iterdir()
    assert pq.read_table(path)["id"].to_pylist() == np.arange(1, 4).tolist()
