"""`twinhead label` end to end: real files, a real process, real workers."""

import csv
import gzip
import json
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import TWINHEAD, DebugWorker, WorkerProcess, wait_until
from twinhead.client import (
    Client,
    FileError,
    InferOptions,
    InvalidRequestError,
    WorkerUnavailableError,
)
from twinhead.client.bulk_label import LabelOptions, bulk_label
from twinhead.client.label_summary import LabelSummary
from twinhead.client.row_batch import MAX_ROWS
from twinhead.client.row_reader import open_reader
from twinhead.client.row_writer import OutputFile

SENTENCES = [
    "The keeper saved a late penalty and the home crowd sang until dark.",
    "Shares in the ferry company fell after a weak forecast for the summer.",
    'The minister said "no" twice, then left the summit by helicopter.',
    "A probe has sent its first pictures of the icy moon.",
    "What a dreadful hotel: cold soup, thin walls and a rude porter.",
    "Nous avons adoré la pièce, quelle soirée !",
    "The chip reads heart rate\nand sleep, and lasts a week.",
]
DEADLINE_SECONDS = 60.0


def save(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def load(path: Path) -> list[dict]:
    text = path.read_text(encoding="utf-8") if path.suffix != ".parquet" else ""
    if path.name.endswith((".jsonl", ".jsonl.partial")):
        return [json.loads(line) for line in text.split("\n")[:-1]]
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))


def rows_of(texts: list[str]) -> list[dict]:
    return [{"id": str(number), "text": text} for number, text in enumerate(texts)]


def words(count: int) -> list[str]:
    """Texts of the debug model, all of them different."""
    return [f"w{number} w{number % 7}" for number in range(count)]


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path


@pytest.fixture
def label(run_twinhead, starter_worker) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run `twinhead label` with the starter worker, or another one."""

    def run(*arguments: str, worker: str = starter_worker.target, stdin: bytes | None = None):
        return run_twinhead("label", *arguments, "--worker", worker, stdin=stdin)

    return run


@pytest.fixture
def start_label(tmp_path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start `twinhead label` and go on; what is left of it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, worker: str) -> "subprocess.Popen[str]":
        command = [*TWINHEAD, "label", *arguments, "--worker", worker]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


# What is written.


@pytest.mark.parametrize(
    ("source", "target"),
    [("csv", "csv"), ("csv", "jsonl"), ("jsonl", "parquet"), ("parquet", "csv")],
)
def test_labels_are_those_of_the_client(folder, label, starter_client, source, target):
    save(folder / f"in.{source}", rows_of(SENTENCES))
    done = label(f"in.{source}", "-o", f"out.{target}")
    assert (done.returncode, done.stdout) == (0, "")
    rows = load(folder / f"out.{target}")
    result = starter_client.infer(SENTENCES)
    assert list(rows[0]) == [
        "id",
        "text",
        "topic",
        "topic_score",
        "sentiment",
        "sentiment_score",
        "truncated",
        "error",
        "model_version",
    ]
    assert [row["text"] for row in rows] == SENTENCES
    for task in ("topic", "sentiment"):
        assert [row[task] for row in rows] == result[task].labels
        scores = [float(row[f"{task}_score"]) for row in rows]
        np.testing.assert_allclose(scores, result[task].scores, atol=1e-3)
    assert {row["model_version"] for row in rows} == {result.model_version}
    assert {row["truncated"] for row in rows} == {"false" if target == "csv" else False}
    assert {row["error"] for row in rows} == {"" if target == "csv" else None}
    assert sorted(path.name for path in folder.iterdir()) == [f"in.{source}", f"out.{target}"]
    assert f"{len(SENTENCES)} rows in " in done.stderr
    assert f"written to out.{target}" in done.stderr
    assert f"model version {result.model_version}" in done.stderr


def test_only_the_task_asked_for_is_written(folder, label, starter_client):
    save(folder / "in.csv", rows_of(SENTENCES))
    assert label("in.csv", "-o", "out.csv", "--task", "sentiment").returncode == 0
    rows = load(folder / "out.csv")
    assert [name for name in rows[0] if "topic" in name or "sentiment" in name] == [
        "sentiment",
        "sentiment_score",
    ]
    assert [row["sentiment"] for row in rows] == starter_client.infer(SENTENCES)["sentiment"].labels


def test_tasks_may_be_repeated(folder, label):
    save(folder / "in.csv", rows_of(SENTENCES[:1]))
    done = label("in.csv", "-o", "out.csv", "--task", "sentiment", "--task", "topic")
    assert done.returncode == 0
    assert {"topic", "sentiment"} < set(load(folder / "out.csv")[0])


def test_a_task_that_the_model_has_not_is_told(folder, label):
    save(folder / "in.csv", rows_of(SENTENCES))
    done = label("in.csv", "-o", "out.csv", "--task", "mood")
    assert done.returncode == 1
    assert done.stderr == "Error: the model has no task 'mood'; it has topic, sentiment\n"
    assert [path.name for path in folder.iterdir()] == ["in.csv"]


@pytest.mark.parametrize("target", ["parquet", "jsonl"])
def test_embeddings_are_those_of_the_client(folder, label, starter_client, target):
    texts = [*SENTENCES, " "]
    save(folder / "in.jsonl", rows_of(texts))
    done = label("in.jsonl", "-o", f"out.{target}", "--embeddings")
    assert done.returncode == 3  # the last has none
    if target == "parquet":
        kind = pq.read_schema(folder / "out.parquet").field("embedding").type
        assert kind == pa.list_(pa.float32(), 384)
    *vectors, missing = [row["embedding"] for row in load(folder / f"out.{target}")]
    assert missing is None
    expected = starter_client.infer(SENTENCES).embeddings
    np.testing.assert_allclose(np.array(vectors, np.float32), expected, atol=1e-5)


def test_embeddings_are_not_written_as_csv(folder, label):
    save(folder / "in.csv", rows_of(SENTENCES))
    done = label("in.csv", "-o", "out.csv", "--embeddings")
    assert done.returncode == 2
    assert "--embeddings needs Parquet or JSON lines" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["in.csv"]


LONG = "The harbour committee met again and adjourned. " * 100


def test_a_long_text_is_labelled_by_its_beginning(folder, label, starter_client):
    save(folder / "in.jsonl", rows_of([SENTENCES[0], LONG]))
    done = label("in.jsonl", "-o", "out.jsonl")
    assert done.returncode == 0
    assert "1 rows were longer than the model reads, and cut" in done.stderr
    short, long = load(folder / "out.jsonl")
    assert (short["truncated"], long["truncated"]) == (False, True)
    assert long["text"] == LONG
    assert long["topic"] == starter_client.infer([LONG])["topic"].labels[0]


def test_without_truncation_a_long_text_has_an_error_and_the_others_labels(
    folder, label, starter_client
):
    save(folder / "in.jsonl", rows_of([SENTENCES[0], LONG, SENTENCES[1]]))
    done = label("in.jsonl", "-o", "out.jsonl", "--no-truncate")
    assert done.returncode == 3
    assert "1 rows have no label: 1 too long" in done.stderr
    first, long, last = load(folder / "out.jsonl")
    for name in ("topic", "topic_score", "sentiment", "sentiment_score", "truncated"):
        assert long[name] is None
    said = starter_client.infer([LONG], InferOptions(truncate=False)).statuses[0]
    assert said.code == "too_long"
    assert long["error"] == said.message
    assert [row["topic"] for row in (first, last)] == starter_client.infer(SENTENCES[:2])[
        "topic"
    ].labels
    assert (first["error"], last["error"]) == (None, None)


def test_an_empty_sentence_keeps_its_place(folder, label, starter_client):
    texts = [*SENTENCES[:2], "", *SENTENCES[2:4], "   "]
    save(folder / "in.csv", rows_of(texts))
    done = label("in.csv", "-o", "out.csv")
    assert done.returncode == 3
    assert "2 rows have no label: 2 empty" in done.stderr
    rows = load(folder / "out.csv")
    assert [(row["id"], row["text"]) for row in rows] == [(str(n), t) for n, t in enumerate(texts)]
    expected = [label or "" for label in starter_client.infer(texts)["topic"].labels]
    assert expected[2] == expected[5] == ""
    assert [row["topic"] for row in rows] == expected
    assert [row["error"] for row in rows] == [
        "the sentence is empty" if number in (2, 5) else "" for number in range(6)
    ]


def test_a_sentence_of_two_megabytes_is_labelled_and_kept_whole(folder, label, starter_client):
    huge = "The striker scored, the crowd roared. " * 55_000
    assert len(huge) > 2_000_000
    save(folder / "in.csv", rows_of([SENTENCES[1], huge, SENTENCES[3]]))
    done = label("in.csv", "-o", "out.csv")
    assert done.returncode == 0, done.stderr
    limit = csv.field_size_limit(len(huge) + 1)
    rows = load(folder / "out.csv")
    csv.field_size_limit(limit)
    assert [row["text"] for row in rows] == [SENTENCES[1], huge, SENTENCES[3]]
    assert [row["truncated"] for row in rows] == ["false", "true", "false"]
    result = starter_client.infer([SENTENCES[1], huge[:10_000], SENTENCES[3]])
    assert [row["topic"] for row in rows] == result["topic"].labels


def test_a_prefix_is_put_before_the_new_columns(folder, label):
    save(folder / "in.csv", [{"text": SENTENCES[0], "topic": "mine", "error": "none"}])
    done = label("in.csv", "-o", "out.csv", "--prefix", "pred_")
    assert done.returncode == 0
    (row,) = load(folder / "out.csv")
    assert (row["topic"], row["error"]) == ("mine", "none")
    assert row["pred_topic"] == "Sports"
    assert [name for name in row if name.startswith("pred_")] == list(row)[3:]
    assert len(row) == 3 + 7


@pytest.mark.parametrize("source", ["csv", "parquet"])
def test_columns_that_are_there_already_are_not_overwritten(folder, label, source):
    save(folder / f"in.{source}", [{"text": SENTENCES[0], "topic": "mine"}])
    done = label(f"in.{source}", "-o", "out.csv")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: in.{source}: has a column 'topic' already; give the new columns other names, "
        "for example --prefix pred_\n"
    )
    assert [path.name for path in folder.iterdir()] == [f"in.{source}"]


def test_fields_of_later_json_rows_are_not_overwritten_either(folder, label, debug_worker):
    rows = rows_of(words(MAX_ROWS + 9))
    rows[-1]["parity"] = "mine"
    save(folder / "in.jsonl", rows)
    done = label("in.jsonl", "-o", "out.jsonl", worker=debug_worker.target)
    assert done.returncode == 1
    assert "Error: in.jsonl: has a column 'parity' already" in done.stderr
    assert [row["id"] for row in load(folder / "out.jsonl.partial")] == [
        str(number) for number in range(MAX_ROWS)
    ]


def test_standard_input_to_standard_output(label, starter_client):
    lines = [text.replace("\n", " ") for text in SENTENCES]
    done = label("-", "-o", "-", stdin="".join(line + "\n" for line in lines).encode())
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert [row["text"] for row in rows] == lines
    assert [row["topic"] for row in rows] == starter_client.infer(lines)["topic"].labels
    assert "written to standard output" in done.stderr


@pytest.mark.parametrize("file_format", ["csv", "parquet", "jsonl"])
def test_standard_output_has_any_format(folder, starter_worker, starter_client, file_format):
    save(folder / "in.csv", rows_of(SENTENCES))
    command = [*TWINHEAD, "label", "in.csv", "-o", "-", "--output-format", file_format]
    done = subprocess.run(
        [*command, "--worker", starter_worker.target], cwd=folder, capture_output=True, check=True
    )
    (folder / f"piped.{file_format}").write_bytes(done.stdout)
    rows = load(folder / f"piped.{file_format}")
    assert [(row["id"], row["text"]) for row in rows] == [
        (row["id"], row["text"]) for row in rows_of(SENTENCES)
    ]
    assert [row["topic"] for row in rows] == starter_client.infer(SENTENCES)["topic"].labels


def test_formats_and_encoding_may_be_said(folder, label):
    (folder / "in.dat").write_bytes("id,text\n1,Très déçu\n".encode("cp1252"))
    formats = ["--input-format", "csv", "--output-format", "jsonl"]
    assert label("in.dat", "-o", "out", *formats).returncode == 1  # not UTF-8
    done = label("in.dat", "-o", "out", *formats, "--encoding", "cp1252")
    assert done.returncode == 0
    assert json.loads((folder / "out").read_text(encoding="utf-8"))["text"] == "Très déçu"


def test_the_column_may_be_said(folder, label, starter_client):
    save(folder / "in.csv", [{"text": "x", "note": SENTENCES[0]}])
    assert label("in.csv", "-o", "out.csv", "--column", "note").returncode == 0
    topics = [row["topic"] for row in load(folder / "out.csv")]
    assert topics == starter_client.infer(SENTENCES[:1])["topic"].labels


def test_the_worker_may_be_said_in_the_environment(folder, run_twinhead, debug_worker, monkeypatch):
    save(folder / "in.csv", rows_of(words(1)))
    monkeypatch.setenv("TWINHEAD_WORKER", debug_worker.target)
    assert run_twinhead("label", "in.csv", "-o", "out.csv").returncode == 0
    assert load(folder / "out.csv")[0]["model_version"] == debug_worker.model.version


def test_gzip_in_and_out(folder, label):
    lines = "".join(json.dumps(row) + "\n" for row in rows_of(SENTENCES))
    (folder / "in.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert label("in.jsonl.gz", "-o", "out.csv.gz").returncode == 0
    (folder / "out.csv").write_bytes(gzip.decompress((folder / "out.csv.gz").read_bytes()))
    assert [row["text"] for row in load(folder / "out.csv")] == SENTENCES


def test_a_file_without_rows_is_done_at_once(folder, label):
    (folder / "in.csv").write_text("id,text\n")
    done = label("in.csv", "-o", "out.csv")
    assert done.returncode == 0
    assert "0 rows in " in done.stderr
    assert (folder / "out.csv").read_text().startswith("id,text,topic,")


# What goes wrong.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.csv", "-o", "out.csv"], "nowhere.csv: no such file"),
        (
            ["in.csv", "-o", "out.csv", "--column", "body"],
            "in.csv: there is no column 'body'; there are 'id', 'text'",
        ),
        (["in.csv", "-o", "in.csv"], "in.csv: is the input; choose another output"),
        (
            ["in.csv", "-o", "out.xlsx"],
            "out.xlsx: cannot write the format xlsx; say --output-format csv|jsonl|parquet",
        ),
        (
            ["in.csv", "-o", "nowhere/out.csv"],
            "nowhere/out.csv: cannot write there: No such file or directory",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder, label, arguments, message):
    save(folder / "in.csv", rows_of(SENTENCES))
    before = (folder / "in.csv").read_bytes()
    done = label(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {message}\n")
    assert [path.name for path in folder.iterdir()] == ["in.csv"]
    assert (folder / "in.csv").read_bytes() == before


def test_a_worker_that_is_not_there_is_said_before_anything_is_written(folder, label):
    save(folder / "in.csv", rows_of(SENTENCES))
    (folder / "out.csv.partial").write_text("of yesterday")
    with socket.socket() as taken:  # bound and not listening: nobody can be there
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        done = label("in.csv", "-o", "out.csv", "--force", worker=target)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: no worker answers at {target} (")
    assert line.endswith(", else without? Start one: twinhead serve")
    assert sorted(path.name for path in folder.iterdir()) == ["in.csv", "out.csv.partial"]
    assert (folder / "out.csv.partial").read_text() == "of yesterday"


@pytest.mark.parametrize("force", [False, True])
def test_rows_of_an_earlier_run_are_kept(folder, label, debug_worker, force):
    save(folder / "in.csv", rows_of(words(3)))
    partial = folder / "out.csv.partial"
    partial.write_text("of yesterday")
    options = ["--force"] if force else []
    done = label("in.csv", "-o", "out.csv", *options, worker=debug_worker.target)
    if force:
        assert done.returncode == 0
        assert not partial.exists()
        assert len(load(folder / "out.csv")) == 3
    else:
        assert done.returncode == 1
        assert "out.csv.partial has finished rows of an earlier run" in done.stderr
        assert "--force" in done.stderr
        assert partial.read_text() == "of yesterday"
        assert not (folder / "out.csv").exists()


@pytest.mark.parametrize("target", ["csv", "parquet"])
def test_a_broken_row_in_the_middle_keeps_the_rows_before_it(folder, label, debug_worker, target):
    rows = [f"{n},{text}\n" for n, text in enumerate(words(600))]
    rows.insert(500, "500,one,cell,too,many\n")
    (folder / "in.csv").write_text("id,text\n" + "".join(rows))
    # Square brackets in a name are no markup.
    (folder / "my [bold]").mkdir()
    name = f"my [bold]/out.{target}"
    done = label("in.csv", "-o", name, worker=debug_worker.target)
    assert done.returncode == 1
    kept, error = done.stderr.splitlines()
    assert kept == f"500 finished rows are kept in {name}.partial"
    assert error.startswith("Error: in.csv: row 501 (line 502) has 5 cells, the header has 2;")
    partial = folder / f"{name}.partial"
    if target == "parquet":
        partial = partial.rename(folder / "kept.parquet")
    assert [row["text"] for row in load(partial)] == words(500)
    assert not (folder / name).exists()


def test_a_batch_that_the_worker_fails_on_is_written_without_labels(folder, label, debug_worker):
    texts = words(3 * MAX_ROWS)
    debug_worker.engine.fail_on = f"w{MAX_ROWS + 5}"  # in the second batch only
    save(folder / "in.jsonl", rows_of(texts))
    # One batch at a time, so that no pass mixes good and bad.
    done = label("in.jsonl", "-o", "out.jsonl", "--in-flight", "1", worker=debug_worker.target)
    assert done.returncode == 3
    assert f"{MAX_ROWS} rows have no label: {MAX_ROWS} worker failed" in done.stderr
    rows = load(folder / "out.jsonl")
    assert [row["text"] for row in rows] == texts
    for number, row in enumerate(rows):
        if number // MAX_ROWS == 1:
            assert row["parity"] is None
            assert "internal error, reference" in row["error"]
            assert "secret" not in row["error"]
        else:
            assert row["parity"] in ("even", "odd")
            assert row["error"] is None


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_when_it_is_told_to_end_finished_rows_are_kept(folder, start_label, debug_worker, how):
    debug_worker.engine.seconds_per_pass = 0.1
    texts = words(4900)
    save(folder / "in.jsonl", rows_of(texts))
    process = start_label("in.jsonl", "-o", "out.jsonl", worker=debug_worker.target)
    partial = folder / "out.jsonl.partial"
    wait_until(lambda: partial.exists() and partial.stat().st_size)
    process.send_signal(how)
    _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    rows = load(partial)
    assert 0 < len(rows) < len(texts)
    assert said.splitlines()[-2:] == [
        f"{len(rows):,} finished rows are kept in out.jsonl.partial",
        "Aborted!",
    ]
    assert [row["text"] for row in rows] == texts[: len(rows)]
    assert not (folder / "out.jsonl").exists()


def test_the_output_has_its_name_only_in_the_end(folder, start_label, debug_worker):
    debug_worker.engine.seconds_per_pass = 0.2
    save(folder / "in.csv", rows_of(words(2000)))
    process = start_label("in.csv", "-o", "out.csv", worker=debug_worker.target)
    partial = folder / "out.csv.partial"
    wait_until(lambda: partial.exists() and partial.stat().st_size)
    assert not (folder / "out.csv").exists()
    assert process.wait(DEADLINE_SECONDS) == 0
    assert not partial.exists()
    assert [row["text"] for row in load(folder / "out.csv")] == words(2000)


@pytest.mark.parametrize(("in_flight", "mixed"), [("1", False), ("8", True)])
def test_so_many_batches_are_on_their_way_at_once(
    folder, label, start_debug_worker, in_flight, mixed
):
    debug_worker = start_debug_worker(token_budget=1024)
    debug_worker.engine.seconds_per_pass = 0.05
    save(folder / "in.csv", rows_of([f"w{number}" for number in range(2000)]))
    done = label("in.csv", "-o", "out.csv", "--in-flight", in_flight, worker=debug_worker.target)
    assert done.returncode == 0
    # 341 sentences of three tokens fit in a pass: more than a batch has.
    assert (max(debug_worker.engine.passes) > MAX_ROWS) == mixed


# A worker that goes away.


class MortalWorker:
    """A worker process that tests kill and start again on its port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.process = WorkerProcess(folder)
        self.port = self.process.port
        self.target = self.process.target

    def end(self, how: str) -> None:
        if how == "kill":
            self.process.kill()
        else:
            self.process.terminate()
            assert self.process.wait() == 0

    def ensure(self) -> None:
        """Start it, unless it runs."""
        if self.process.process.poll() is not None:
            self.process = WorkerProcess(self._folder, port=self.port)


@pytest.fixture(scope="module")
def mortal_worker(tmp_path_factory) -> Iterator[MortalWorker]:
    worker = MortalWorker(tmp_path_factory.mktemp("mortal"))
    yield worker
    worker.end("kill")


@pytest.fixture
def long_rows(folder) -> list[dict]:
    """Some seconds of work for the starter model, in `in.jsonl`."""
    rows = rows_of([f"{SENTENCES[n % 7]} Number {n}." for n in range(1500)])
    save(folder / "in.jsonl", rows)
    return rows


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_worker_that_comes_back_goes_on_where_it_was(
    folder, start_label, mortal_worker, long_rows, how
):
    mortal_worker.ensure()
    process = start_label(
        "in.jsonl",
        "-o",
        "out.jsonl",
        "--in-flight",
        "2",
        "--reconnect",
        "60",
        worker=mortal_worker.target,
    )
    partial = folder / "out.jsonl.partial"
    wait_until(lambda: partial.exists() and partial.stat().st_size)
    mortal_worker.end(how)
    assert process.poll() is None  # it was in the middle
    mortal_worker.ensure()
    _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, said
    rows = load(folder / "out.jsonl")
    assert [(row["id"], row["text"]) for row in rows] == [
        (row["id"], row["text"]) for row in long_rows
    ]
    assert {row["error"] for row in rows} == {None}
    assert not partial.exists()


def test_a_worker_that_stays_away_leaves_the_rows_that_it_answered(
    folder, start_label, mortal_worker, long_rows
):
    mortal_worker.ensure()
    process = start_label(
        "in.jsonl", "-o", "out.jsonl", "--reconnect", "1", worker=mortal_worker.target
    )
    partial = folder / "out.jsonl.partial"
    wait_until(lambda: partial.exists() and partial.stat().st_size)
    mortal_worker.end("kill")
    _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    rows = load(partial)
    kept, error = said.splitlines()
    assert kept == f"{len(rows):,} finished rows are kept in out.jsonl.partial"
    assert error.startswith(f"Error: no worker answers at {mortal_worker.target} (")
    assert 0 < len(rows) < len(long_rows)
    assert [(row["id"], row["text"]) for row in rows] == [
        (row["id"], row["text"]) for row in long_rows[: len(rows)]
    ]
    assert all(row["topic"] for row in rows)
    assert not (folder / "out.jsonl").exists()


# Without the command line: `bulk_label`.


def run_bulk(
    worker: DebugWorker,
    source: Path,
    target: Path,
    options: LabelOptions | None = None,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> LabelSummary:
    output = OutputFile(str(target), None, str(source))
    try:
        with Client(worker.target) as client, open_reader(str(source), None, None, "utf-8") as rows:
            return bulk_label(client, rows, output, options or LabelOptions(), on_progress)
    finally:
        output.complete()  # the caller's business, whatever came of it


def test_progress_is_told_with_every_answer(folder, debug_worker):
    source = save(folder / "in.csv", rows_of(words(3 * MAX_ROWS - 9)))
    told: list[tuple[int, int]] = []
    summary = run_bulk(
        debug_worker, source, folder / "out.csv", on_progress=lambda *now: told.append(now)
    )
    assert [rows for rows, _ in told] == [MAX_ROWS, 2 * MAX_ROWS, 3 * MAX_ROWS - 9]
    positions = [position for _, position in told]
    assert positions == sorted(positions)
    assert positions[-1] == source.stat().st_size
    assert (summary.rows, summary.labelled) == (3 * MAX_ROWS - 9, 3 * MAX_ROWS - 9)


def test_a_worker_that_takes_small_requests_gets_small_ones(folder, start_debug_worker):
    worker = start_debug_worker(sentences_per_request=100)
    texts = words(MAX_ROWS + 50)
    source = save(folder / "in.jsonl", rows_of(texts))
    run_bulk(worker, source, folder / "out.jsonl")
    rows = load(folder / "out.jsonl")
    assert [row["text"] for row in rows] == texts
    assert {row["error"] for row in rows} == {None}


def test_texts_travel_only_as_far_as_the_worker_reads(folder, start_debug_worker):
    worker = start_debug_worker(characters_per_sentence=8, request_bytes=2000)
    texts = ["w1 w2 w3", "w1 w2 w3 w4", "w1 w2 w3" + " w4" * 50_000]
    source = save(folder / "in.jsonl", rows_of(texts))
    summary = run_bulk(worker, source, folder / "out.jsonl")
    rows = load(folder / "out.jsonl")
    assert [row["truncated"] for row in rows] == [False, True, True]
    assert [row["text"] for row in rows] == texts
    assert summary.truncated == 2


def test_only_what_is_asked_for_is_computed(folder, debug_worker):
    source = save(folder / "in.jsonl", rows_of(words(9)))
    summary = run_bulk(
        debug_worker, source, folder / "out.jsonl", LabelOptions(tasks=["size"], prefix="p_")
    )
    assert set().union(*debug_worker.engine.tasks) == {"size"}
    assert list(summary.labels) == ["size"]
    assert "p_size" in load(folder / "out.jsonl")[0]


class WatchedClient(Client):
    """Remembers how streams were asked for."""

    def infer_stream(self, *arguments, **options):
        self.options = options
        return super().infer_stream(*arguments, **options)


def test_the_stream_is_as_patient_as_asked_for(folder, debug_worker):
    source = save(folder / "in.jsonl", rows_of(words(9)))
    output = OutputFile(str(folder / "out.jsonl"), None)
    options = LabelOptions(in_flight=3, reconnect_seconds=7.5)
    with WatchedClient(debug_worker.target) as client:
        with open_reader(str(source), None, None, "utf-8") as reader:
            bulk_label(client, reader, output, options, lambda *_: None)
    output.complete()
    assert client.options == {"in_flight": 3, "reconnect_seconds": 7.5}


def test_a_request_that_the_worker_refuses_ends_the_run(folder, start_debug_worker):
    worker = start_debug_worker(request_bytes=1024)
    source = save(folder / "in.jsonl", rows_of(words(MAX_ROWS)))
    with pytest.raises(InvalidRequestError, match="too large"):
        run_bulk(worker, source, folder / "out.jsonl")
    assert load(folder / "out.jsonl") == []


def test_a_fault_of_the_input_comes_after_the_rows_before_it(folder, debug_worker):
    source = folder / "in.jsonl"
    save(source, rows_of(words(2 * MAX_ROWS)))
    with source.open("a") as stream:
        stream.write("no JSON\n")
    with pytest.raises(FileError, match=f"row {2 * MAX_ROWS + 1} "):
        run_bulk(debug_worker, source, folder / "out.jsonl")
    assert [row["text"] for row in load(folder / "out.jsonl")] == words(2 * MAX_ROWS)


def test_a_fault_of_the_worker_comes_after_the_rows_that_it_answered(folder, debug_worker):
    source = save(folder / "in.jsonl", rows_of(words(4 * MAX_ROWS)))
    debug_worker.engine.seconds_per_pass = 0.05
    drained: list[bool] = []

    def drain_at_once(rows: int, position: int) -> None:
        if not drained:
            drained.append(debug_worker.drain())

    options = LabelOptions(in_flight=1, reconnect_seconds=0)
    with pytest.raises(WorkerUnavailableError):
        run_bulk(debug_worker, source, folder / "out.jsonl", options, drain_at_once)
    rows = load(folder / "out.jsonl")
    assert MAX_ROWS <= len(rows) < 4 * MAX_ROWS
    assert [row["text"] for row in rows] == words(len(rows))
    assert {row["error"] for row in rows} == {None}


def test_sigterm_keeps_finished_rows(start_debug_worker, tmp_path):
    worker = start_debug_worker()
    source = tmp_path / "in.txt"
    source.write_text("w1 w2 w3\n" * 20_000)
    worker.engine.seconds_per_pass = 0.01
    out = tmp_path / "out.parquet"
    process = subprocess.Popen(
        [*TWINHEAD, "label", str(source), "-o", str(out), "--worker", worker.target],
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: sum(worker.engine.passes) > 4000)
    process.terminate()
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert "finished rows are kept" in said
    assert not out.exists()
    assert pq.read_table(f"{out}.partial").num_rows > 0
    # And they are not overwritten by accident.
    again = [*TWINHEAD, "label", str(source), "-o", str(out), "--worker", worker.target]
    refused = subprocess.run(again, capture_output=True, check=False)
    assert refused.returncode == 1
    assert b"--force" in refused.stderr
    worker.engine.seconds_per_pass = 0
    subprocess.run([*again, "--force"], check=True, capture_output=True)
    assert pq.read_table(out).num_rows == 20_000
