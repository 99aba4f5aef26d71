"""The log: lines for people, objects for programs, and how much a flood of calls adds to it."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from conftest import WorkerProcess, wait_until
from twinhead.client import AccessDeniedError, Client, InvalidRequestError
from twinhead.server import logs
from twinhead.server.errors import REQUEST_ID
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub

TOKEN = "a-token-that-is-not-in-any-log"
TEXT = "Nightingales"
CHANGED = ("", "asyncio", "grpc", "fsspec", "urllib3", "filelock", logs.CALL_LOGGER)


@pytest.fixture
def written(monkeypatch, capsys) -> Iterator[Callable[[], str]]:
    """Gives what `set_up` has let through to standard error since it was last asked."""
    loggers = [logging.getLogger(name) for name in CHANGED]
    before = [(each, each.level, each.filters[:]) for each in loggers]
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's would be closed
    yield lambda: capsys.readouterr().err
    for logger, level, filters in before:
        logger.setLevel(level)
        logger.filters[:] = filters


@pytest.fixture
def request_id() -> Iterator[str]:
    token = REQUEST_ID.set("id-7")
    yield "id-7"
    REQUEST_ID.reset(token)


def fail() -> None:
    raise LookupError("no such row")


# Lines for people.


def test_a_line_for_people(written):
    logs.set_up("human", "info")
    logging.getLogger("twinhead.x").info("ready on port %d", 5)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO ready on port 5\n", written())


def test_a_line_for_people_ends_with_the_id_of_the_call(written, request_id):
    logs.set_up("human", "info")
    try:
        fail()
    except LookupError:
        logging.getLogger("twinhead.x").exception("failed")
    first, *traceback = written().splitlines()
    assert first.endswith(f" ERROR failed [{request_id}]")
    assert traceback[0].startswith("Traceback")
    assert traceback[-1] == "LookupError: no such row"


# Objects for programs.


def test_a_line_for_programs(written):
    logs.set_up("json", "info")
    before = datetime.now(UTC)
    logging.getLogger("twinhead.x").warning("%s is full", "a queue")
    after = datetime.now(UTC)
    (line,) = written().splitlines()
    said = json.loads(line)
    assert said.pop("time").endswith("Z")
    told = datetime.fromisoformat(json.loads(line)["time"])
    assert before.replace(microsecond=before.microsecond // 1000 * 1000) <= told <= after
    assert said == {"level": "WARNING", "logger": "twinhead.x", "message": "a queue is full"}


def test_what_else_is_known_is_in_the_object(written, request_id):
    logs.set_up("json", "info")
    extra = {"method": "/a/B", "milliseconds": 1.5, "where": Path("a/b")}
    logging.getLogger("twinhead.x").info("called", extra=extra | {"_of_a_library": 1})
    said = json.loads(written())
    assert "_of_a_library" not in said
    assert said["request_id"] == request_id
    assert {name: said[name] for name in extra} == extra | {"where": "a/b"}


def test_a_traceback_is_in_the_object(written):
    logs.set_up("json", "info")
    try:
        fail()
    except LookupError:
        logging.getLogger("twinhead.x").exception("failed")
    (line,) = written().splitlines()
    traceback = json.loads(line)["traceback"].splitlines()
    assert traceback[0].startswith("Traceback")
    assert traceback[-1] == "LookupError: no such row"


@pytest.mark.parametrize(
    "text", ["two\nlines", 'a "quote" and a \\', "\x00\x1b[31m\u2028\x85", "naïve 😀", "100 %"]
)
def test_an_object_is_one_line_whatever_it_says(written, text):
    logs.set_up("json", "info")
    logging.getLogger("twinhead.x").info("%s", text, extra={"more": text})
    said, end, rest = written().partition("\n")
    assert (end, rest) == ("\n", "")
    assert json.loads(said)["message"] == json.loads(said)["more"] == text


@pytest.mark.parametrize("log_format", ["human", "json"])
def test_from_which_level_on(written, log_format):
    logs.set_up(log_format, "warning")
    for name in ("twinhead.x", logs.CALL_LOGGER, "asyncio"):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger(name).log(level, "%s at %d", name, level)
    lines = written().splitlines()
    assert len(lines) == 6
    assert not [line for line in lines if "at 10" in line or "at 20" in line]


def test_other_libraries_say_little_at_debug_and_as_little_as_ours_at_error(written):
    for level, wanted in (("debug", ["twinhead.x", "grpc._cython"]), ("error", [])):
        logs.set_up("json", level)
        logging.getLogger("twinhead.x").debug("a detail")
        logging.getLogger("grpc._cython").info("a detail of theirs")
        logging.getLogger("grpc._cython").warning("a fault of theirs")
        said = [json.loads(line) for line in written().splitlines()]
        assert [each["logger"] for each in said] == wanted
        assert "a detail of theirs" not in [each["message"] for each in said]


# Floods.


class Flood:
    """A logger with a `Sparing` filter, and a clock that is set by hand."""

    def __init__(self, lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(logs, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.passed: list[str] = []
        self._logger = logging.Logger("flood")
        handler = logging.Handler()
        handler.emit = lambda record: self.passed.append(record.getMessage())
        self._logger.addHandler(handler)
        self._logger.addFilter(logs.Sparing(lines))

    def log(self, count: int, text: str = "call %d of %d", level: int = logging.INFO) -> list[str]:
        """Log so many lines; returns those that pass."""
        self.passed.clear()
        for number in range(count):
            self._logger.log(level, text, number, count)
        return self.passed[:]


@pytest.fixture
def flood(monkeypatch) -> Callable[[int], Flood]:
    return lambda lines: Flood(lines, monkeypatch)


def test_so_many_lines_pass_in_a_second(flood):
    calls = flood(3)
    assert calls.log(10) == ["call 0 of 10", "call 1 of 10", "call 2 of 10"]
    assert calls.log(2) == []
    calls.now += 1
    assert len(calls.log(3)) == 3
    assert calls.log(1) == []


def test_the_next_line_tells_how_many_were_held_back(flood):
    calls = flood(3)
    calls.log(10)
    calls.now += 1
    told = " (and 7 more lines like it, not shown)"
    assert calls.log(2) == [f"call 0 of 2{told}", "call 1 of 2"]
    # They are told once.
    calls.now += 1
    assert calls.log(1) == ["call 0 of 1"]


def test_what_is_told_holds_however_much_later_the_next_line_is(flood):
    calls = flood(1)
    calls.log(3)
    calls.now += 86_400
    assert calls.log(1) == ["call 0 of 1 (and 2 more lines like it, not shown)"]


def test_lines_with_percents_are_told_as_they_are(flood):
    calls = flood(1)
    calls.log(2)
    calls.now += 1
    (line,) = calls.log(1, "%d of %d: 100 %%, %%s")
    assert line == "0 of 1: 100 %, %s (and 1 more lines like it, not shown)"


def test_errors_always_pass(flood):
    calls = flood(2)
    calls.log(5)
    assert len(calls.log(5, level=logging.ERROR)) == 5
    assert calls.log(1, level=logging.WARNING) == []
    calls.now += 1
    assert calls.log(1, level=logging.CRITICAL) == [
        "call 0 of 1 (and 4 more lines like it, not shown)"
    ]


def test_only_lines_about_calls_are_held_back(written):
    logs.set_up("json", "info")
    for _ in range(200):
        logging.getLogger("twinhead.x").info("other")
        logging.getLogger(logs.CALL_LOGGER).info("call")
    said = [json.loads(line)["message"] for line in written().splitlines()]
    assert said.count("other") == 200
    # Two seconds begin in the loop at most, however slow it is.
    assert 20 <= len(said) - 200 < 200


def test_setting_up_again_does_not_hold_back_twice(written):
    for _ in range(2):
        logs.set_up("json", "info")
    assert len(logging.getLogger(logs.CALL_LOGGER).filters) == 1
    logging.getLogger(logs.CALL_LOGGER).info("call")
    assert len(written().splitlines()) == 1


# Workers.


@pytest.fixture(scope="module")
def process(tmp_path_factory) -> Iterator[WorkerProcess]:
    """A worker that logs all that it can, as objects."""
    folder = tmp_path_factory.mktemp("logs")
    (folder / "token").write_text(f"{TOKEN} infer\n")
    worker = WorkerProcess(
        folder,
        *("--log-format", "json", "--log-level", "debug"),
        *("--token-file", str(folder / "token")),
    )
    yield worker
    worker.kill()


def lines_of(worker: WorkerProcess) -> list[dict]:
    return [json.loads(line) for line in worker.log.read_text().splitlines()]


def about(worker: WorkerProcess, request_id: str) -> list[dict]:
    """What the log says of a call; its caller may have the answer before."""
    text = f'"request_id": "{request_id}"'
    wait_until(lambda: any(text in line for line in worker.log.read_text().split("\n")[:-1]))
    return [json.loads(line) for line in worker.log.read_text().splitlines() if text in line]


def test_a_call_that_fails_is_found_by_its_id(process):
    with Client(process.target, token=TOKEN) as client:
        with pytest.raises(InvalidRequestError):
            client.infer([], request_id="mine-1")
        client.infer([TEXT], request_id="mine-2")
    (line,) = about(process, "mine-1")
    assert line["level"] == "INFO"
    assert line["logger"] == logs.CALL_LOGGER
    assert line["method"] == "/twinhead.v1.InferenceService/Infer"
    assert (line["code"], line["reasons"]) == ("INVALID_ARGUMENT", {"INVALID_REQUEST": 1})
    assert line["milliseconds"] > 0
    assert ":" in line["peer"]
    for part in ("Infer", "INVALID_ARGUMENT", "INVALID_REQUEST", line["peer"]):
        assert part in line["message"]


def test_a_call_that_succeeds_is_there_at_debug(process):
    with Client(process.target, token=TOKEN) as client:
        client.infer([TEXT], request_id="mine-3")
    (line,) = about(process, "mine-3")
    assert (line["level"], line["code"], line["reasons"]) == ("DEBUG", "OK", {})


def test_a_stream_with_failed_batches_is_there_with_their_reasons(process):
    def requests() -> Iterator[pb.StreamInferRequest]:
        yield pb.StreamInferRequest(batch_id="a", request=pb.InferRequest(sentences=[TEXT]))
        for _ in range(3):
            yield pb.StreamInferRequest(batch_id="b", request=pb.InferRequest())

    metadata = [("authorization", f"Bearer {TOKEN}"), ("x-request-id", "mine-4")]
    with grpc.insecure_channel(process.target) as channel:
        answers = list(InferenceServiceStub(channel).StreamInfer(requests(), metadata=metadata))
    assert len(answers) == 4
    (line,) = about(process, "mine-4")
    assert (line["level"], line["code"]) == ("INFO", "OK")
    assert line["reasons"] == {"INVALID_REQUEST": 3}
    assert "3 x INVALID_REQUEST" in line["message"]


def test_neither_text_nor_token_is_in_the_log(process):
    with Client(process.target, token=TOKEN) as client:
        client.infer([TEXT, f"{TEXT} {TEXT}"])
        list(client.infer_stream([[TEXT]] * 3))
        with pytest.raises(InvalidRequestError):
            client.infer([TEXT] * 2000)
    with Client(process.target, token=f"{TOKEN}-but-another") as client:
        with pytest.raises(AccessDeniedError):
            client.infer([TEXT], request_id="mine-5")
    assert len(about(process, "mine-5")) == 1
    said = json.dumps(lines_of(process), ensure_ascii=False)
    assert TOKEN not in said
    assert TEXT not in said


def test_from_start_to_end_every_line_is_an_object(start_worker):
    worker = start_worker("--log-format", "json")
    with Client(worker.target) as client:
        with pytest.raises(InvalidRequestError):
            client.infer([], request_id="mine-6")
        client.infer([TEXT], request_id="mine-7")
    worker.terminate()
    assert worker.wait() == 0
    said = lines_of(worker)  # raises where a line is none
    assert said[0].keys() >= {"time", "level", "logger", "message"}
    assert any(line["message"].startswith("ready on 127.0.0.1:") for line in said)
    assert said[-1]["message"] == "stopped"
    # The other went well.
    assert [line["request_id"] for line in said if "request_id" in line] == ["mine-6"]


def test_an_id_is_in_a_line_for_people_too(start_worker):
    worker = start_worker()
    with Client(worker.target) as client:
        with pytest.raises(InvalidRequestError):
            client.infer([], request_id="mine-8")
    wait_until(lambda: "mine-8]\n" in worker.log.read_text())
    (line,) = [line for line in worker.log.read_text().splitlines() if "mine-8" in line]
    assert line.endswith(" [mine-8]")
    assert "INVALID_REQUEST" in line


def test_a_pass_that_fails_is_told_without_its_text(debug_worker, caplog):
    debug_worker.engine.fail_on = "w13"
    with caplog.at_level(logging.DEBUG, logger="twinhead"):
        with Client(debug_worker.target) as client:
            for result in client.infer_stream([["w13 w4711"]]):
                assert isinstance(result, Exception)
        wait_until(lambda: any(each.name == logs.CALL_LOGGER for each in caplog.records))
    (line,) = [record for record in caplog.records if record.name == logs.CALL_LOGGER]
    assert line.levelno == logging.ERROR
    assert "INTERNAL_ERROR" in line.getMessage()
    assert "w4711" not in caplog.text
