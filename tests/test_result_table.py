"""Results as Arrow and pandas tables: what `twinhead label` writes."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import text_answers
from text_answers import respond
from twinhead.client import InferOptions, InvalidRequestError, SingleLabelAnswer
from twinhead.client.labelling.label_columns import LabelColumns
from twinhead.client.results import read_result

TEXTS = ["Ann met Bob of ACME", "", "cut short", "\0", "nothing of note"]


@pytest.fixture
def result():
    return read_result(respond(TEXTS))


def test_the_columns_are_those_of_the_labeller(result):
    columns = LabelColumns.of(text_answers.MODEL, None, embeddings=True, prefix="")
    table = result.to_arrow(TEXTS)
    assert table.schema == columns.schema.insert(0, pa.field("sentence", pa.string()))
    made = columns.of_result(result, TEXTS)
    assert table.to_pydict() == {
        "sentence": TEXTS,
        **{name: array.to_pylist() for name, array in made.items()},
    }


def test_without_the_sentences_their_texts_are_missing(result):
    bare, full = result.to_arrow(), result.to_arrow(TEXTS)
    assert bare.schema == full.schema.remove(0)
    entities = full["names"].to_pylist()
    assert [each["text"] for each in entities[0]] == ["Ann", "Bob", "ACME"]
    for found in filter(None, entities):
        for entity in found:
            entity["text"] = None
    assert bare["names"].to_pylist() == entities
    others = [name for name in bare.column_names if name != "names"]
    assert bare.select(others) == full.select(others)


def test_sentences_come_in_every_form(result):
    for form in (tuple(TEXTS), np.array(TEXTS, object), pd.Series(TEXTS), pa.array(TEXTS)):
        assert result.to_arrow(form) == result.to_arrow(TEXTS)


def test_what_was_not_asked_for_has_no_column():
    response = respond(TEXTS, embeddings=False)
    del response.tasks[1:]
    assert read_result(response).to_arrow().column_names == [
        "topic",
        "topic_score",
        "truncated",
        "error",
        "model_version",
    ]


def test_an_answer_of_an_unknown_kind_has_no_column():
    response = respond(["a"])
    response.tasks.add(name="new", kind=99)
    assert "new" not in read_result(response).to_arrow().column_names


def test_as_many_sentences_as_answers(result):
    with pytest.raises(ValueError, match="4 sentences do not go with a result of 5"):
        result.to_arrow(TEXTS[1:])
    with pytest.raises(TypeError, match="row 0 is no string"):
        result.to_arrow([None] * 5)


@pytest.mark.parametrize(
    ("name", "sentences", "said"),
    [
        ("error", None, "two of the new columns would be called 'error'; ask for one of them with"),
        ("topic_score", None, "would be called 'topic_score'"),
        ("sentence", TEXTS, "a task is called 'sentence', too"),
    ],
)
def test_two_columns_of_one_name_are_refused(result, name, sentences, said):
    nothing = np.zeros(5, np.int32)
    result.tasks[name] = SingleLabelAnswer(name, ("a",), nothing, nothing, None)
    with pytest.raises(InvalidRequestError, match=re.escape(said)):
        result.to_arrow(sentences)


def test_no_sentences_make_a_table_without_rows():
    table = read_result(respond([], embeddings=False)).to_arrow([])
    assert table.num_rows == 0
    assert table.schema == read_result(respond(TEXTS, embeddings=False)).to_arrow(TEXTS).schema


def test_in_pandas_they_can_be_worked_with(result):
    frame = result.to_pandas(TEXTS)
    assert frame["sentence"].tolist() == TEXTS
    assert frame["error"].isna().tolist() == [True, False, True, False, True]
    assert frame["truncated"].dtype == pd.BooleanDtype()
    assert frame[frame["truncated"]]["sentence"].tolist() == ["cut short"]  # without the missing
    assert frame["topic_score"].dtype == np.float32
    assert frame["topic"].value_counts().sum() == 3
    vectors = np.stack(frame["embedding"].dropna())
    assert (vectors.shape, vectors.dtype) == ((3, text_answers.DIMENSIONS), np.float32)
    entities = frame["names"][0]
    assert [each["label"] for each in entities] == ["PER", "PER", "ORG"]
    assert list(result.to_pandas().columns) == list(frame.columns[1:])


def test_without_pandas_it_is_asked_for():
    script = """
import sys

class NoPandas:
    def find_spec(self, name, *_):
        if name == "pandas":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoPandas())
from twinhead.client.results import InferResult, Timing
result = InferResult("v", None, {}, [], Timing(0, 0, 0))
print(result.to_arrow().column_names)
try:
    result.to_pandas()
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "['truncated', 'error', 'model_version']",
        "to_pandas needs pandas: pip install 'twinhead[pandas]'",
    ]


@pytest.mark.parametrize(
    ("embedding", "kind"),
    [
        ("float32", pa.list_(pa.float32(), 384)),
        ("float16", pa.list_(pa.float32(), 384)),
        ("int8", pa.list_(pa.float32(), 384)),
        ("binary", pa.list_(pa.uint8(), 48)),
    ],
)
def test_embeddings_of_each_format(starter_client, embedding, kind):
    result = starter_client.infer(["What a match!", ""], InferOptions(embedding=embedding))
    column = result.to_arrow()["embedding"].combine_chunks()
    assert column.type == kind
    assert (
        column[0].as_py()
        == result.embeddings[0].astype(column.type.value_type.to_pandas_dtype()).tolist()
    )
    assert column[1].as_py() is None


def test_a_table_is_what_the_labeller_writes(
    starter_worker, starter_client, run_twinhead, tmp_path
):
    texts = ["The striker scored twice.", "", "Shares fell sharply.", "word " * 400]
    pq.write_table(pa.table({"sentence": texts}), tmp_path / "in.parquet")
    options = ["--worker", starter_worker.target, "--embeddings", "-o", "out.parquet"]
    done = run_twinhead("label", "in.parquet", *options)
    assert done.returncode == 3, done.stderr  # a row has no label
    written = pq.read_table(tmp_path / "out.parquet")
    table = starter_client.infer(texts, InferOptions(repeatable=True)).to_arrow(texts)
    assert table.schema.remove_metadata() == written.schema.remove_metadata()
    assert table == written
