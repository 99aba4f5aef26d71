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
from conftest import TWINHEAD, DebugWorker, wait_until
from debug_model import debug_model
from held_engine import HeldEngine
from small_files import with_small_files
from twinhead.client import InferOptions
from twinhead.client.files.row_batch import MAX_ROWS

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
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.split("\n")[:-1]]
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))


def rows_of(texts: list[str]) -> list[dict]:
    return [{"id": str(number), "text": text} for number, text in enumerate(texts)]


def words(count: int) -> list[str]:
    """Texts of the debug model, all of them different."""
    return [f"w{number % 4000} w{number // 4000}" for number in range(count)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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

    def start(*arguments: str, workers: list[str]) -> "subprocess.Popen[str]":
        named = [part for worker in workers for part in ("--worker", worker)]
        process = subprocess.Popen(
            [*TWINHEAD, "label", *arguments, *named],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
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
    [("csv", "jsonl"), ("jsonl", "parquet"), ("parquet", "csv")],
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
    assert names(folder) == [f"in.{source}", f"out.{target}"]
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


def test_a_task_that_the_model_has_not_is_told(folder, label):
    save(folder / "in.csv", rows_of(SENTENCES))
    done = label("in.csv", "-o", "out.csv", "--task", "mood")
    assert done.returncode == 1
    assert done.stderr == "Error: the model has no task 'mood'; it has topic, sentiment\n"
    assert names(folder) == ["in.csv"]


@pytest.mark.parametrize("target", ["parquet", "csv"])
def test_embeddings_are_those_of_the_client(folder, label, starter_client, target):
    texts = [*SENTENCES, " "]
    save(folder / "in.jsonl", rows_of(texts))
    done = label("in.jsonl", "-o", f"out.{target}", "--embeddings")
    assert done.returncode == 3  # the last has none
    if target == "parquet":
        column = pq.read_table(folder / "out.parquet")["embedding"]
        assert column.type == pa.list_(pa.float32(), 384)
        assert column[-1].as_py() is None
        vectors = np.array(column.to_pylist()[:-1], np.float32)
    else:
        assert "embedding" not in load(folder / "out.csv")[0]
        matrix = np.load(folder / "out.npy")
        assert (matrix.dtype, matrix.shape) == (np.float32, (8, 384))
        assert np.isnan(matrix[-1]).all()
        vectors = matrix[:-1]
    expected = starter_client.infer(SENTENCES).embeddings
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_scores_of_all_labels_add_up(folder, label, starter_client):
    save(folder / "in.csv", rows_of(SENTENCES))
    assert label("in.csv", "-o", "out.parquet", "--scores").returncode == 0
    table = pq.read_table(folder / "out.parquet")
    topics = [name for name in table.column_names if name.startswith("topic_score_")]
    scores = np.stack([table[name].to_numpy() for name in topics], axis=1)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(scores.max(axis=1), table["topic_score"].to_numpy(), atol=1e-5)
    chosen = [topics[place].removeprefix("topic_score_") for place in scores.argmax(axis=1)]
    assert chosen == starter_client.infer(SENTENCES)["topic"].labels


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


def test_columns_that_are_there_already_are_not_overwritten(folder, label):
    save(folder / "in.csv", [{"text": SENTENCES[0], "topic": "mine"}])
    done = label("in.csv", "-o", "out.csv")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: in.csv: has a column 'topic' already; give the new columns other names, "
        "for example --prefix pred_\n"
    )
    assert names(folder) == ["in.csv"]


def test_standard_input_to_standard_output(label, starter_client):
    lines = [text.replace("\n", " ") for text in SENTENCES]
    done = label("-", "-o", "-", stdin="".join(line + "\n" for line in lines).encode())
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert [row["text"] for row in rows] == lines
    assert [row["topic"] for row in rows] == starter_client.infer(lines)["topic"].labels
    assert "written to standard output" in done.stderr


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
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
    done = label("in.csv", "-o", "out.csv", "--report", "report.html")
    assert done.returncode == 0
    assert "0 rows in " in done.stderr
    assert (folder / "out.csv").read_text().startswith("id,text,topic,")
    assert names(folder) == ["in.csv", "out.csv", "report.html"]


def test_several_inputs_and_a_report(folder, label):
    for number in range(3):
        save(folder / f"part-{number}.csv", rows_of(SENTENCES[number : number + 2]))
    done = label("part-*.csv", "-o", "out.jsonl", "--report", "report.html")
    assert done.returncode == 0
    texts = [SENTENCES[each] for each in (0, 1, 1, 2, 2, 3)]
    assert [row["text"] for row in load(folder / "out.jsonl")] == texts
    assert "report written to report.html\n" in done.stderr
    page = (folder / "report.html").read_text()
    assert "Sports" in page
    assert "part-0.csv and 2 more" in page


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
            "out.xlsx: cannot write the format xlsx; say "
            "--output-format csv|tsv|jsonl|parquet|arrow",
        ),
        (
            ["in.csv", "-o", "nowhere/out.csv"],
            "nowhere/out.csv: cannot write there: there is no folder {folder}/nowhere",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder, label, arguments, message):
    save(folder / "in.csv", rows_of(SENTENCES))
    before = (folder / "in.csv").read_bytes()
    done = label(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (
        1,
        "",
        f"Error: {message.format(folder=folder)}\n",
    )
    assert names(folder) == ["in.csv"]
    assert (folder / "in.csv").read_bytes() == before


def test_a_worker_that_is_not_there_is_said_before_anything_is_written(folder, label):
    save(folder / "in.csv", rows_of(SENTENCES))
    with socket.socket() as taken:  # bound and not listening: nobody can be there
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        done = label("in.csv", "-o", "out.csv", worker=target)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: no worker answers at {target} (")
    assert line.endswith(", else without? Start one: twinhead serve")
    assert names(folder) == ["in.csv"]


def test_workers_with_different_versions_are_refused(folder, label, start_debug_worker):
    save(folder / "in.csv", rows_of(words(3)))
    one, other = start_debug_worker(), start_debug_worker(load=lambda *_: debug_model("debug1"))
    done = label("in.csv", "-o", "out.csv", "--worker", other.target, worker=one.target)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: the workers serve different versions (")
    assert names(folder) == ["in.csv"]


def test_a_wrong_token_is_told(folder, label, start_debug_worker):
    tokens = folder.parent / f"{folder.name}-tokens"
    tokens.write_text("correct-horse-battery-staple infer\n")
    tokens.chmod(0o600)
    worker = start_debug_worker(token_file=str(tokens))
    save(folder / "in.csv", rows_of(words(3)))
    given = folder.parent / f"{folder.name}-token"
    given.write_text("hunter2-hunter2-hunter2\n")
    done = label("in.csv", "-o", "out.csv", "--token-file", str(given), worker=worker.target)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: the worker at {worker.target}: ")
    given.write_text("correct-horse-battery-staple\n")
    done = label("in.csv", "-o", "out.csv", "--token-file", str(given), worker=worker.target)
    assert done.returncode == 0


def test_rows_without_a_label_are_counted_by_reason_and_the_exit_code_is_3(
    folder, label, debug_worker
):
    texts = words(3 * MAX_ROWS)
    texts[9] = texts[10] = " "
    debug_worker.engine.fail_on = "w3999"  # in one request
    save(folder / "in.jsonl", rows_of(texts))
    done = label("in.jsonl", "-o", "out.jsonl", worker=debug_worker.target)
    assert done.returncode == 3
    rows = load(folder / "out.jsonl")
    assert [row["text"] for row in rows] == texts
    failed = [row for row in rows if row["parity"] is None]
    assert [row["id"] for row in failed if row["error"] == "the sentence is empty"] == ["9", "10"]
    others = [row["error"] for row in failed if row["error"] != "the sentence is empty"]
    assert all("internal error, reference" in error for error in others)
    assert "secret" not in " ".join(others)
    said = f"{len(failed)} rows have no label: {len(others)} worker failed, 2 empty"
    assert said in done.stderr
    assert "out.jsonl.journal is kept: the same command asks again for what" in done.stderr
    debug_worker.engine.fail_on = None
    debug_worker.engine.passes.clear()
    done = label("in.jsonl", "-o", "out.jsonl", worker=debug_worker.target)
    assert done.returncode == 3
    assert "2 rows have no label: 2 empty" in done.stderr
    assert sum(debug_worker.engine.passes) == len(others)
    assert names(folder) == ["in.jsonl", "out.jsonl"]


def test_fail_fast_ends_at_the_first_row_without_a_label(folder, label, debug_worker):
    save(folder / "in.jsonl", rows_of([*words(5), " "]))
    done = label("in.jsonl", "-o", "out.jsonl", "--fail-fast", worker=debug_worker.target)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "what is answered so far is kept in out.jsonl.journal; the same command goes on there",
        "Error: in.jsonl: row 6: the sentence is empty",
    ]


def test_square_brackets_in_a_name_are_no_markup(folder, label, debug_worker):
    (folder / "my [bold]").mkdir()
    (folder / "in.csv").write_text("text\nw1\none,cell,too,many\n")
    done = label("in.csv", "-o", "my [bold]/out.csv", worker=debug_worker.target)
    assert done.returncode == 1
    kept, error = done.stderr.splitlines()
    assert kept.startswith("what is answered so far is kept in my [bold]/out.csv.journal;")
    assert error.startswith("Error: in.csv: row 2 (line 3) has 4 cells, the header has 1;")


# A run that is ended.


@pytest.fixture
def held_worker(debug_worker) -> Iterator[tuple[DebugWorker, HeldEngine]]:
    """A worker that answers nothing more once a run has begun, until it is released."""
    engine = HeldEngine(debug_worker)
    yield debug_worker, engine
    engine.release()


def has_answers(folder: Path, name: str, size: int = 4000) -> Callable[[], bool]:
    """Whether the journal beside an output has more than its beginning."""
    journal = folder / f"{name}.journal"
    return lambda: journal.exists() and journal.stat().st_size > size


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_it_keeps_what_is_answered(folder, label, start_label, debug_worker, how):
    debug_worker.engine.seconds_per_pass = 0.1
    texts = words(9000)
    save(folder / "in.jsonl", rows_of(texts))
    process = start_label("in.jsonl", "-o", "out.jsonl", workers=[debug_worker.target])
    wait_until(has_answers(folder, "out.jsonl"))
    process.send_signal(how)
    _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert said.splitlines() == [
        "what is answered so far is kept in out.jsonl.journal; the same command goes on there",
        "Aborted!",
    ]
    assert names(folder) == ["in.jsonl", "out.jsonl.journal"]
    debug_worker.engine.seconds_per_pass = 0
    wait_until(lambda: not debug_worker.worker._gate.inference.count)
    debug_worker.engine.passes.clear()
    done = label("in.jsonl", "-o", "out.jsonl", worker=debug_worker.target)
    assert done.returncode == 0
    assert "answered by an earlier run) written to out.jsonl" in done.stderr
    assert 0 < sum(debug_worker.engine.passes) < 9000
    assert [row["text"] for row in load(folder / "out.jsonl")] == texts
    assert names(folder) == ["in.jsonl", "out.jsonl"]


def test_told_to_end_before_any_answer_it_leaves_nothing(folder, start_label, held_worker):
    worker, engine = held_worker
    save(folder / "in.csv", rows_of(words(9)))
    process = start_label("in.csv", "-o", "out.csv", workers=[worker.target])
    assert engine.reached.wait(DEADLINE_SECONDS)
    process.terminate()
    _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, said) == (1, "Aborted!\n")
    assert names(folder) == ["in.csv"]


def test_the_output_has_its_name_only_in_the_end(folder, start_label, held_worker):
    worker, engine = held_worker
    save(folder / "in.csv", rows_of(words(9)))
    process = start_label("in.csv", "-o", "out.csv", workers=[worker.target])
    assert engine.reached.wait(DEADLINE_SECONDS)
    assert not (folder / "out.csv").exists()
    engine.release()
    assert process.wait(DEADLINE_SECONDS) == 0
    assert [row["text"] for row in load(folder / "out.csv")] == words(9)


def test_a_second_run_for_the_same_output_is_refused(folder, label, start_label, held_worker):
    worker, engine = held_worker
    save(folder / "in.csv", rows_of(words(9)))
    process = start_label("in.csv", "-o", "out.csv", workers=[worker.target])
    assert engine.reached.wait(DEADLINE_SECONDS)
    done = label("in.csv", "-o", "out.csv", "--restart", worker=worker.target)
    assert (done.returncode, done.stderr) == (
        1,
        "Error: another run writes out.csv.journal; wait for it, or end it\n",
    )
    engine.release()
    assert process.wait(DEADLINE_SECONDS) == 0
    assert [row["text"] for row in load(folder / "out.csv")] == words(9)
    assert names(folder) == ["in.csv", "out.csv"]


@pytest.mark.parametrize(
    ("source", "target", "options"),
    [
        ("in.csv", "out.csv", ["--embeddings"]),
        ("in.jsonl", "out.jsonl", []),
        ("in.csv", "out.parquet", ["--embeddings", "--scores"]),
    ],
)
def test_killed_at_any_moment_the_output_is_that_of_a_quiet_run(
    folder, label, start_label, debug_worker, source, target, options
):
    # Some texts stand in it again and again, some have no label.
    rows = rows_of([*words(5000), *words(4000), "", *words(6000)])
    save(folder / source, rows)
    arguments = [source, *options, "-o"]
    assert label(*arguments, f"quiet-{target}", worker=debug_worker.target).returncode == 3
    debug_worker.engine.passes.clear()
    debug_worker.engine.seconds_per_pass = 0.05
    for size in (0, 80_000):
        process = start_label(*arguments, target, workers=[debug_worker.target])
        wait_until(has_answers(folder, target, size))
        process.kill()
        process.wait()
    debug_worker.engine.seconds_per_pass = 0
    done = label(*arguments, target, worker=debug_worker.target)
    assert done.returncode == 3, done.stderr
    assert "1 rows have no label: 1 empty" in done.stderr
    assert (folder / target).read_bytes() == (folder / f"quiet-{target}").read_bytes()
    written = [source, target, f"quiet-{target}"]
    if target == "out.csv":
        assert (folder / "out.npy").read_bytes() == (folder / "quiet-out.npy").read_bytes()
        written += ["out.npy", "quiet-out.npy"]
    assert names(folder) == sorted(written)


def test_after_a_full_disk_the_same_command_goes_on(folder, label, debug_worker):
    save(folder / "in.csv", rows_of(words(9000)))
    # The answers take some 170 KB, the output twice as much.
    for what, size in (("journal", 60_000), ("partial", 250_000)):
        arguments = ["in.csv", "-o", "out.csv"]
        full = subprocess.run(
            with_small_files(
                size, [*TWINHEAD, "label", *arguments, "--worker", debug_worker.target]
            ),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )
        assert full.returncode == 1, full.stderr
        assert full.stderr.splitlines()[-2:] == [
            "what is answered so far is kept in out.csv.journal; the same command goes on there",
            f"Error: out.csv.{what}: File too large",
        ]
        assert names(folder) == ["in.csv", "out.csv.journal"]
    debug_worker.engine.passes.clear()
    assert label(*arguments, worker=debug_worker.target).returncode == 0
    assert sum(debug_worker.engine.passes) < 9000
    assert label("in.csv", "-o", "quiet.csv", worker=debug_worker.target).returncode == 0
    assert (folder / "out.csv").read_bytes() == (folder / "quiet.csv").read_bytes()
    assert names(folder) == ["in.csv", "out.csv", "quiet.csv"]


def test_of_another_run_it_says_why_it_does_not_go_on(
    folder, label, start_label, start_debug_worker
):
    worker = start_debug_worker()
    worker.engine.seconds_per_pass = 0.1
    save(folder / "in.csv", rows_of(words(9000)))
    process = start_label("in.csv", "-o", "out.csv", workers=[worker.target])
    wait_until(has_answers(folder, "out.csv"))
    process.kill()
    process.wait()
    worker.engine.seconds_per_pass = 0
    newer = start_debug_worker(load=lambda *_: debug_model("debug1"))
    arguments = ["in.csv", "-o", "out.csv"]

    def refused(*more: str, target: str = worker.target) -> str:
        done = label(*arguments, *more, worker=target)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        return line

    earlier = "answered requests of an earlier run"
    assert f"{earlier}, but with other options; say those, or" in refused("--task", "size")
    assert f"{earlier} by model version debug0, and now debug1 is live; --pin goes" in refused(
        target=newer.target
    )
    # The version that it had is kept nowhere.
    done = label(*arguments, "--pin", worker=newer.target)
    assert done.returncode == 1
    assert "debug0" in done.stderr.splitlines()[-1]
    before = (folder / "out.csv.journal").stat().st_size
    save(folder / "in.csv", rows_of([*words(9000), "w9 w9"]))
    assert f"{earlier}, but the input has changed since; --allow-changed" in refused()
    assert (folder / "out.csv.journal").stat().st_size == before
    worker.engine.passes.clear()
    assert label(*arguments, "--allow-changed", worker=worker.target).returncode == 0
    assert 0 < sum(worker.engine.passes) < 9001
    assert len(load(folder / "out.csv")) == 9001


# Workers that go away.


def test_two_workers_share_the_work_and_one_that_drains_loses_its_turn(
    folder, label, start_label, start_debug_worker
):
    workers = [start_debug_worker(), start_debug_worker()]
    save(folder / "in.jsonl", rows_of(words(20_000)))
    alone = label("in.jsonl", "-o", "alone.jsonl", worker=workers[0].target)
    assert alone.returncode == 0
    workers[0].engine.passes.clear()
    for worker in workers:
        worker.engine.seconds_per_pass = 0.05
    targets = [worker.target for worker in workers]
    process = start_label("in.jsonl", "-o", "out.jsonl", workers=targets)
    wait_until(lambda: all(worker.engine.passes for worker in workers))
    workers[0].drain()
    workers[1].engine.seconds_per_pass = 0
    _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, said
    assert said.splitlines()[0] == f"the worker at {targets[0]} is draining; others go on"
    assert (folder / "out.jsonl").read_bytes() == (folder / "alone.jsonl").read_bytes()


def test_a_worker_that_stays_away_leaves_what_it_answered(
    folder, label, start_label, start_debug_worker
):
    worker = start_debug_worker()
    worker.engine.seconds_per_pass = 0.1
    save(folder / "in.csv", rows_of(words(9000)))
    arguments = ["in.csv", "-o", "out.csv"]
    process = start_label(*arguments, "--reconnect", "1", workers=[worker.target])
    wait_until(has_answers(folder, "out.csv"))
    worker.drain()
    _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    trying, kept, error = said.splitlines()
    assert trying == f"the worker at {worker.target} is draining; trying again"
    assert kept.startswith("what is answered so far is kept in out.csv.journal;")
    assert error.startswith("Error: ")
    assert worker.target in error
    assert names(folder) == ["in.csv", "out.csv.journal"]
    other = start_debug_worker()
    done = label(*arguments, worker=other.target)
    assert done.returncode == 0
    assert "answered by an earlier run" in done.stderr
    assert sum(other.engine.passes) < 9000
    assert [row["text"] for row in load(folder / "out.csv")] == words(9000)


@pytest.mark.long
def test_killed_clients_and_workers_leave_no_trace_in_the_output(
    folder, label, start_label, start_worker
):
    """With the real model, whose numbers might depend on what else it does."""
    save(folder / "in.csv", rows_of([f"{SENTENCES[n % 7]} Number {n}." for n in range(1500)]))
    mortal = start_worker()
    arguments = ["in.csv", "--embeddings", "-o"]
    assert label(*arguments, "quiet.csv").returncode == 0
    workers = [mortal.target]
    client = start_label(*arguments, "out.csv", "--in-flight", "2", workers=workers)
    wait_until(has_answers(folder, "out.csv"))
    client.kill()
    client.wait()
    first = (folder / "out.csv.journal").stat().st_size
    client = start_label(*arguments, "out.csv", "--in-flight", "2", workers=workers)
    wait_until(has_answers(folder, "out.csv", first))
    mortal.kill()
    assert client.poll() is None  # it was in the middle
    start_worker(port=mortal.port)
    _, said = client.communicate(timeout=DEADLINE_SECONDS)
    assert client.returncode == 0, said
    lines = said.splitlines()
    assert lines[0].startswith(f"no worker answers at {mortal.target} (") or lines[0].startswith(
        f"the worker at {mortal.target} cut the call off"
    )
    assert lines[0].endswith("; trying again")
    assert lines[1] == f"{mortal.target} is back"
    assert (folder / "out.csv").read_bytes() == (folder / "quiet.csv").read_bytes()
    assert (folder / "out.npy").read_bytes() == (folder / "quiet.npy").read_bytes()
    assert not [name for name in names(folder) if name.endswith((".journal", ".partial"))]
