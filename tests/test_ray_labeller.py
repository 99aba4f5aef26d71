"""What an actor runs, without Ray: tables in, tables out, also when its worker is lost."""

from dataclasses import replace

import pyarrow as pa
import pytest
from debug_model import expected_embedding
from twinhead.client import Client, InvalidRequestError, WorkerFailedError
from twinhead.client.labelling.label_columns import LabelColumns
from twinhead.client.labelling.ray_labeller import (
    LabellerOptions,
    RayLabeller,
    WorkerStart,
    describe,
)
from twinhead.client.labelling.ray_rows import REASON

TEXTS = ["w1 w2", "", "w3", "w1 w2", "w4 " * 100, None]


class BorrowedWorker:
    """Stands for a worker that an actor has started."""

    running = True

    def __init__(self, target: str) -> None:
        self.target = target
        self.stopped = False

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def said(self) -> str:
        return "its last words"

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def started(monkeypatch, debug_worker) -> list[tuple[str, ...]]:
    """Options of the workers that were started; all are the debug worker."""
    calls: list[tuple[str, ...]] = []

    def start(*options: str) -> BorrowedWorker:
        calls.append(options)
        return BorrowedWorker(debug_worker.target)

    monkeypatch.setattr("twinhead.client.labelling.ray_labeller.OwnWorker", start)
    return calls


START = WorkerStart("folder", 2.5, ("--precision", "int8"))


def labeller(scores: bool = False, **options: object) -> RayLabeller:
    model = describe(START)
    columns = LabelColumns.of(model, None, embeddings=True, prefix="p_", scores=scores)
    return RayLabeller(LabellerOptions(START, model.version, columns, "t", **options))


def test_a_table_gets_the_new_columns(started):
    label = labeller(truncate=False, scores=True)
    table = pa.table({"t": TEXTS, "n": range(len(TEXTS))})
    out = label(table)
    assert started[1:] == [("--model", "folder", "--threads", "2", "--precision", "int8")]
    assert out.select(["t", "n"]).equals(table)
    columns = LabelColumns.of(describe(START), None, embeddings=True, prefix="p_", scores=True)
    assert out.schema.names == ["t", "n", *columns.schema.names, REASON]
    assert out.schema.remove_metadata().types[2:-1] == columns.schema.types
    assert out[REASON].to_pylist() == [None, "empty", None, None, "too long", "empty"]
    for text, vector in zip(TEXTS, out["p_embedding"].to_pylist(), strict=True):
        if vector is None:
            assert text in ("", None, TEXTS[4])
        else:
            assert vector == pytest.approx(expected_embedding(text), abs=1e-5)


def test_a_text_that_stands_twice_is_encoded_once(started, debug_worker):
    label = labeller()
    before = sum(debug_worker.engine.passes)
    table = pa.table({"t": ["w1"] * 50 + ["w2"]})
    once = label(table)
    assert sum(debug_worker.engine.passes) - before == 2
    assert labeller(dedupe=False)(table).equals(once)
    assert sum(debug_worker.engine.passes) - before == 2 + 51


def test_a_table_without_rows(started):
    label = labeller()
    out = label(pa.table({"t": pa.array([], pa.string())}))
    assert out.num_rows == 0
    assert out.schema.names == label(pa.table({"t": ["w1"]})).schema.names


def test_a_batch_that_the_worker_fails_on_is_told_by_row(started, debug_worker):
    label = labeller()
    debug_worker.engine.fail_on = "w7"
    out = label(pa.table({"t": [f"w{n}" for n in range(9)]}))
    assert out[REASON].to_pylist() == ["worker failed"] * 9
    assert "failed" in out["p_error"][0].as_py()
    assert out["p_parity"].null_count == 9


def test_another_model_than_the_others_have_is_refused(started):
    columns = LabelColumns.of(describe(START), None, embeddings=False, prefix="")
    with pytest.raises(WorkerFailedError, match="'folder' is debug0 on this node and other on an"):
        RayLabeller(LabellerOptions(START, "other", columns, "t"))


def test_what_is_wrong_with_every_table_is_raised(started):
    label = labeller()
    label._wanted = replace(label._wanted, dimensions=1000)
    with pytest.raises(InvalidRequestError, match="dimensions"):
        label(pa.table({"t": ["w1"]}))


def test_a_worker_that_cannot_be_reached_is_told_with_its_last_words(started, debug_worker):
    label = labeller()
    debug_worker.drain()
    with pytest.raises(WorkerFailedError, match="its last words"):
        label(pa.table({"t": ["w1"]}))


def test_a_worker_that_is_lost_is_started_again(monkeypatch, start_debug_worker):
    workers = [start_debug_worker(), start_debug_worker()]
    started: list[BorrowedWorker] = []

    def start(*_: str) -> BorrowedWorker:
        started.append(BorrowedWorker(workers[len(started)].target))
        return started[-1]

    monkeypatch.setattr("twinhead.client.labelling.ray_labeller.OwnWorker", start)
    with Client(workers[0].target) as client:
        model = client.model()
    columns = LabelColumns.of(model, None, embeddings=False, prefix="")
    label = RayLabeller(LabellerOptions(START, model.version, columns, "t"))
    workers[0].drain()
    started[0].running = False
    out = label(pa.table({"t": ["w1"]}))
    assert out[REASON].to_pylist() == [None]
    assert (len(started), started[0].stopped) == (2, True)
