"""The labelling pipeline itself: order, what is sent, what the journal is good for."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import DebugWorker
from debug_model import debug_model, expected_embedding
from twinhead.client import Client, FileError, InvalidRequestError, WorkerUnavailableError
from twinhead.client.channel import Access
from twinhead.client.errors import VersionNotLiveError
from twinhead.client.files.output_file import OutputFile
from twinhead.client.files.row_batch import MAX_ROWS
from twinhead.client.files.row_reader import open_reader
from twinhead.client.label_report.label_report import LabelReport
from twinhead.client.labelling.bulk_label import LabelOptions, RowFailedError, bulk_label
from twinhead.client.labelling.label_journal import LabelJournal
from twinhead.client.labelling.label_plan import REQUEST_ROWS
from twinhead.client.labelling.label_summary import LabelSummary
from twinhead.client.labelling.worker_pool import WorkerPool

ROWS = 2000


def words(count: int) -> list[str]:
    """Texts of the debug model, all of them different."""
    return [f"w{number % 4000} w{number // 4000}" for number in range(count)]


@dataclass
class Noted:
    """Progress, remembered."""

    positions: list[tuple[int, int]] = field(default_factory=list)
    answered: int = 0
    before: int = 0
    written_rows: list[int] = field(default_factory=list)

    def read(self, rows: int, position: int) -> None:
        self.positions.append((rows, position))

    def advance(self, rows: int, *, before: bool = False) -> None:
        self.answered += rows
        self.before += rows if before else 0

    def written(self, summary: LabelSummary) -> None:
        self.written_rows.append(summary.rows)


def run(
    workers: DebugWorker | list[DebugWorker],
    source: Path,
    out: Path,
    options: LabelOptions | None = None,
    *,
    progress: Noted | None = None,
    report: bool = False,
    **settings,
) -> LabelSummary:
    """Label a file as `label_files` does; the journal stays."""
    targets = [each.target for each in (workers if isinstance(workers, list) else [workers])]
    journal = LabelJournal(out.with_name("journal"))
    output = OutputFile(str(out), None, str(source))
    try:
        with open_reader(str(source)) as reader, WorkerPool(targets, Access(), **settings) as pool:
            model = pool.model()
            page = LabelReport("in", model, list(model.tasks.values())) if report else None
            arguments = (options or LabelOptions(), progress or Noted(), page)
            summary = bulk_label(pool, model, reader, output, journal, *arguments)
        output.complete()
    finally:
        output.abandon()
        journal.close()
    return summary


@pytest.fixture
def source(tmp_path) -> Path:
    return write(tmp_path / "in.txt", words(ROWS))


def write(path: Path, texts: list[str]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    else:
        path.write_text("".join(f"{text}\n" for text in texts))
    return path


def sent(worker: DebugWorker) -> int:
    """Sentences encoded since the last look."""
    count = sum(worker.engine.passes)
    worker.engine.passes.clear()
    return count


# Rows and their answers.


def test_rows_keep_their_order_and_get_their_own_answers(start_debug_worker, source, tmp_path):
    workers = [start_debug_worker(), start_debug_worker()]
    summary = run(workers, source, tmp_path / "out.parquet", LabelOptions(embeddings=True))
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["text"].to_pylist() == words(ROWS)
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 4)
    expected = np.stack([expected_embedding(text) for text in words(ROWS)])
    found = np.stack(table["embedding"].to_numpy())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with Client(workers[0].target) as client:
        assert table["size"].to_pylist()[-9:] == client.infer(words(ROWS)[-9:])["size"].labels
    assert (summary.rows, summary.labelled) == (ROWS, ROWS)


def test_identical_texts_are_sent_once(debug_worker, tmp_path):
    texts = words(300) * 40  # in three batches
    source = write(tmp_path / "in.txt", texts)
    run(debug_worker, source, tmp_path / "out.parquet", LabelOptions(embeddings=True))
    assert sent(debug_worker) == 300
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["text"].to_pylist() == texts
    expected = np.stack([expected_embedding(text) for text in texts])
    np.testing.assert_allclose(np.stack(table["embedding"].to_numpy()), expected, atol=1e-5)
    (tmp_path / "journal").unlink()
    run(debug_worker, source, tmp_path / "again.parquet", LabelOptions(dedupe=False))
    assert sent(debug_worker) == len(texts)


def test_with_and_without_dedupe_the_output_is_the_same(debug_worker, tmp_path):
    source = write(tmp_path / "in.txt", words(50) * 3)
    run(debug_worker, source, tmp_path / "once.csv", LabelOptions())
    (tmp_path / "journal").unlink()
    run(debug_worker, source, tmp_path / "all.csv", LabelOptions(dedupe=False))
    assert (tmp_path / "once.csv").read_bytes() == (tmp_path / "all.csv").read_bytes()


def test_a_worker_that_takes_small_requests_gets_small_ones(start_debug_worker, source, tmp_path):
    worker = start_debug_worker(sentences_per_request=50)
    assert run(worker, source, tmp_path / "out.csv").labelled == ROWS


def test_texts_travel_only_as_far_as_the_worker_reads(start_debug_worker, tmp_path):
    worker = start_debug_worker(characters_per_sentence=8, request_bytes=2000)
    texts = ["w1 w2 w3", "w1 w2 w3 w4", "w1 w2 w3" + " w4" * 50_000]
    source = write(tmp_path / "in.jsonl", texts)
    summary = run(worker, source, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["truncated"].to_pylist() == [False, True, True]
    assert table["text"].to_pylist() == texts
    assert summary.truncated == 2


def test_only_what_is_asked_for_is_computed(debug_worker, source, tmp_path):
    options = LabelOptions(tasks=["size"], prefix="p_")
    summary = run(debug_worker, source, tmp_path / "out.parquet", options)
    assert set().union(*debug_worker.engine.tasks) == {"size"}
    assert list(summary.labels) == ["size"]
    assert pq.read_schema(tmp_path / "out.parquet").names[1:3] == ["p_size", "p_size_score"]


def test_tasks_are_checked_before_anything_is_sent(debug_worker, source, tmp_path):
    with pytest.raises(InvalidRequestError, match="no task 'mood'; it has parity, size"):
        run(debug_worker, source, tmp_path / "out.csv", LabelOptions(tasks=["mood"]))
    assert debug_worker.engine.passes == []


@pytest.mark.parametrize("row", [2, MAX_ROWS + 5])
def test_a_column_that_only_some_rows_have_may_not_be_overwritten(debug_worker, tmp_path, row):
    source = write(tmp_path / "in.jsonl", words(row - 1))
    with source.open("a") as stream:
        stream.write('{"text": "w2", "size": "mine"}\n')
    with pytest.raises(FileError, match=r"'size' already.*--prefix"):
        run(debug_worker, source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_file_without_rows_is_done_at_once(debug_worker, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("id,text\n")
    assert run(debug_worker, source, tmp_path / "out.csv").rows == 0
    assert (tmp_path / "out.csv").read_text().startswith("id,text,parity,")
    assert debug_worker.engine.passes == []


def test_progress_is_told_and_comes_to_the_end(debug_worker, tmp_path):
    count = 3 * MAX_ROWS - 9
    source = write(tmp_path / "in.txt", [*words(count - 100), *words(100)])
    progress = Noted()
    run(debug_worker, source, tmp_path / "out.csv", progress=progress)
    assert [rows for rows, _ in progress.positions] == [MAX_ROWS, 2 * MAX_ROWS, count]
    assert progress.positions[-1][1] == source.stat().st_size
    assert (progress.answered, progress.before) == (count, 0)
    assert progress.written_rows == [MAX_ROWS, 2 * MAX_ROWS, count]


def test_a_report_gets_embeddings_that_the_output_has_not(debug_worker, source, tmp_path):
    run(debug_worker, source, tmp_path / "out.csv", report=True)
    assert "embedding" not in (tmp_path / "out.csv").read_text().splitlines()[0]
    again = "but with other options"  # the answers of a run without would lack them
    with pytest.raises(FileError, match=again):
        run(debug_worker, source, tmp_path / "out.csv")


# What fails.


def test_a_request_that_fails_keeps_its_rows_with_the_error(debug_worker, source, tmp_path):
    debug_worker.engine.fail_on = "w300"
    summary = run(debug_worker, source, tmp_path / "out.parquet", LabelOptions(embeddings=True))
    table = pq.read_table(tmp_path / "out.parquet")
    errors = table["error"].to_pylist()
    assert "internal error, reference" in errors[300]
    assert "secret" not in errors[300]
    assert table["parity"][300].as_py() is None
    assert table["embedding"][300].as_py() is None
    assert table["parity"][0].as_py() in ("even", "odd")
    assert summary.failed == {"worker failed": sum(error is not None for error in errors)}
    assert 0 < summary.failed.total() <= REQUEST_ROWS


def test_what_failed_is_asked_again_by_the_next_run(debug_worker, source, tmp_path):
    debug_worker.engine.fail_on = "w300"
    failed = run(debug_worker, source, tmp_path / "out.csv").failed.total()
    debug_worker.engine.fail_on = None
    sent(debug_worker)
    assert run(debug_worker, source, tmp_path / "out.csv").failed == {}
    assert sent(debug_worker) == failed


def test_fail_fast_names_the_first_row_that_fails(debug_worker, tmp_path):
    texts = words(ROWS)
    texts[1500] = texts[1700] = " "
    source = write(tmp_path / "in.jsonl", texts)
    with pytest.raises(RowFailedError) as caught:
        run(debug_worker, source, tmp_path / "out.csv", LabelOptions(fail_fast=True))
    assert str(caught.value) == f"{source}: row 1501: the sentence is empty"
    summary = run(debug_worker, source, tmp_path / "out.csv")
    assert summary.failed == {"empty": 2}


def test_a_request_that_the_worker_refuses_ends_the_run(start_debug_worker, source, tmp_path):
    worker = start_debug_worker(request_bytes=1024)
    with pytest.raises(InvalidRequestError, match="too large"):
        run(worker, source, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


# The journal.


@pytest.fixture
def broken(debug_worker, tmp_path) -> Path:
    """A file whose last row is no good: a run answers all before that, and ends."""
    source = write(tmp_path / "in.jsonl", words(2 * MAX_ROWS))
    with source.open("a") as stream:
        stream.write("no JSON\n")
    with pytest.raises(FileError, match=f"row {2 * MAX_ROWS + 1} "):
        run(debug_worker, source, tmp_path / "out.csv")
    assert sent(debug_worker) == 2 * MAX_ROWS
    assert not (tmp_path / "out.csv").exists()
    return source


def mend(source: Path, last: str = '{"text": "w1 w2 w3"}') -> None:
    source.write_text(source.read_text().replace("no JSON", last))


def test_what_is_answered_is_not_asked_again(debug_worker, broken, tmp_path):
    progress = Noted()
    with pytest.raises(FileError, match=f"row {2 * MAX_ROWS + 1} "):
        run(debug_worker, broken, tmp_path / "out.csv", progress=progress)
    assert sent(debug_worker) == 0
    assert progress.before == progress.answered == 2 * MAX_ROWS


def test_changed_input_is_refused(debug_worker, broken, tmp_path):
    mend(broken)
    with pytest.raises(FileError) as caught:
        run(debug_worker, broken, tmp_path / "out.csv")
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'journal'} has 32 answered requests of an earlier run, ")
    assert "the input has changed since" in said
    assert "--allow-changed" in said
    assert "--restart" in said
    assert sent(debug_worker) == 0


def test_of_changed_input_only_what_differs_is_asked(debug_worker, broken, tmp_path):
    mend(broken)
    lines = broken.read_text().split("\n")
    lines[7] = '{"text": "w7 w9"}'
    broken.write_text("\n".join(lines))
    options = LabelOptions(allow_changed=True)
    summary = run(debug_worker, broken, tmp_path / "out.csv", options)
    assert sent(debug_worker) <= REQUEST_ROWS + 1
    assert (summary.rows, summary.before) == (2 * MAX_ROWS + 1, 2 * MAX_ROWS - REQUEST_ROWS)
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    run(debug_worker, broken, quiet / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == (quiet / "out.csv").read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        LabelOptions(tasks=["size"]),
        LabelOptions(embeddings=True),
        LabelOptions(scores=True),
        LabelOptions(truncate=False),
        LabelOptions(dedupe=False),
    ],
)
def test_other_options_are_refused(debug_worker, broken, tmp_path, options):
    with pytest.raises(FileError, match=r"but with other options; say those, or --restart"):
        run(debug_worker, broken, tmp_path / "out.csv", options)
    assert sent(debug_worker) == 0


def test_the_output_may_be_another(debug_worker, broken, tmp_path):
    mend(broken)
    options = LabelOptions(prefix="p_", allow_changed=True)
    run(debug_worker, broken, tmp_path / "out.parquet", options)
    assert sent(debug_worker) == 1
    assert "p_size" in pq.read_schema(tmp_path / "out.parquet").names


@pytest.fixture
def newer_worker(start_debug_worker) -> DebugWorker:
    return start_debug_worker(load=lambda *_: debug_model("debug1"))


def test_another_version_is_refused(newer_worker, broken, tmp_path):
    with pytest.raises(FileError) as caught:
        run(newer_worker, broken, tmp_path / "out.csv")
    assert "by model version debug0, and now debug1 is live; --pin" in str(caught.value)
    assert sent(newer_worker) == 0


def publish(worker: DebugWorker, version: str) -> None:
    """Another version goes live; the one before is kept."""

    async def go_live() -> None:
        worker.worker._serving.publish(debug_model(version))

    worker.run(go_live())


def test_a_pinned_version_goes_on_while_it_is_kept(debug_worker, broken, tmp_path):
    publish(debug_worker, "debug1")
    mend(broken)
    options = LabelOptions(pin=True, allow_changed=True)
    summary = run(debug_worker, broken, tmp_path / "out.csv", options)
    assert summary.versions == {"debug0": 2 * MAX_ROWS + 1}


def test_a_pinned_version_that_is_no_longer_kept_ends_the_run(newer_worker, broken, tmp_path):
    mend(broken)
    options = LabelOptions(pin=True, allow_changed=True)
    with pytest.raises(VersionNotLiveError, match="debug0"):
        run(newer_worker, broken, tmp_path / "out.csv", options)


class Swapping(Noted):
    """Lets another version go live when the first rows are written."""

    def __init__(self, worker: DebugWorker) -> None:
        super().__init__()
        self._worker = worker

    def written(self, summary: LabelSummary) -> None:
        if not self.written_rows:
            publish(self._worker, "debug1")
        super().written(summary)


@pytest.mark.parametrize("options", [LabelOptions(pin=True), LabelOptions(scores=True)])
def test_what_is_pinned_stays_when_another_version_goes_live(debug_worker, tmp_path, options):
    source = write(tmp_path / "in.txt", words(10 * MAX_ROWS))
    progress = Swapping(debug_worker)
    summary = run(debug_worker, source, tmp_path / "out.csv", options, progress=progress)
    assert summary.versions == {"debug0": 10 * MAX_ROWS}


def test_without_a_pin_the_new_version_goes_on(debug_worker, tmp_path):
    source = write(tmp_path / "in.txt", words(10 * MAX_ROWS))
    progress = Swapping(debug_worker)
    summary = run(debug_worker, source, tmp_path / "out.parquet", progress=progress)
    versions = pq.read_table(tmp_path / "out.parquet")["model_version"].to_pylist()
    assert set(versions) == {"debug0", "debug1"}
    assert summary.versions == {each: versions.count(each) for each in set(versions)}
    assert summary.labelled == 10 * MAX_ROWS


def test_answers_of_another_version_are_asked_again_under_a_pin(debug_worker, tmp_path):
    source = write(tmp_path / "in.jsonl", words(10 * MAX_ROWS))
    with source.open("a") as stream:
        stream.write("no JSON\n")
    out = tmp_path / "out.parquet"
    with pytest.raises(FileError, match="not valid JSON"):
        run(debug_worker, source, out, progress=Swapping(debug_worker))
    mend(source)
    options = LabelOptions(pin=True, allow_changed=True)
    summary = run(debug_worker, source, out, options)
    assert summary.versions == {"debug0": 10 * MAX_ROWS + 1}
    assert MAX_ROWS <= summary.before < 10 * MAX_ROWS


def test_a_worker_that_stays_away_leaves_what_it_answered(debug_worker, tmp_path):
    source = write(tmp_path / "in.txt", words(10 * MAX_ROWS))

    class Draining(Noted):
        def written(self, summary: LabelSummary) -> None:
            if not self.written_rows:
                debug_worker.drain()
            super().written(summary)

    with pytest.raises(WorkerUnavailableError):
        run(debug_worker, source, tmp_path / "out.csv", progress=Draining(), reconnect_seconds=0)
    journal = LabelJournal(tmp_path / "journal")
    assert MAX_ROWS // REQUEST_ROWS <= journal.answered < 10 * MAX_ROWS // REQUEST_ROWS
    journal.close()
