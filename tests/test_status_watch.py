"""The live view: rates between two looks, and what is shown of real workers, dead and alive."""

import contextlib
import io
import json
import os
import pty
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from conftest import TWINHEAD, wait_until
from rich.console import Console
from test_client import swap
from test_inference_service import Gate
from twinhead.client import Client, InvalidRequestError, Latencies, WorkerStatus, status_watch
from twinhead.client.channel import Access
from twinhead.client.status_watch import Look, line, picture, status_json, watch

BOUNDS = (0.01, 0.1, 60.0)
STATUS = WorkerStatus(
    model_version="0123456789abcdef",
    ready=True,
    started=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    release="1.2",
    engine="torch float32 cpu",
    resident_bytes=3 << 29,
    calls=7,
    queue_tokens=500,
    queue_limit_tokens=1000,
    sentences=1_000_000,
    tokens=5000,
    padded_tokens=8000,
    passes=400,
    swaps=0,
    failures={"QUEUE_FULL": 10},
    latencies={"interactive": Latencies(BOUNDS, (100, 0, 0, 0))},
)
# Two seconds later.
LATER = replace(
    STATUS,
    sentences=1_000_100,
    tokens=5300,
    padded_tokens=8400,
    passes=410,
    failures={"CANCELLED": 1, "QUEUE_FULL": 13},
    latencies={
        "bulk": Latencies(BOUNDS, (0, 0, 0, 4)),
        "interactive": Latencies(BOUNDS, (100, 50, 0, 0)),
    },
)
BOTH = Look("host:1", LATER, STATUS, 2.0)
FIRST = Look("host:1", STATUS, None, 1.0)
GONE = Look("host:1", None, None, 1.0, "no worker answers")


def drawn(look: Look, columns: int = 120) -> str:
    """A picture as the characters on a terminal."""
    console = Console(file=io.StringIO(), width=columns)
    console.print(picture(look))
    return console.file.getvalue()


# Two looks.


def test_rates_are_of_what_came_between_two_looks():
    assert BOTH.rate("sentences") == 50
    assert BOTH.rate("passes") == 5
    assert BOTH.padding == pytest.approx(0.25)
    assert list(BOTH.failures()) == [("CANCELLED", 0.5, 1), ("QUEUE_FULL", 1.5, 13)]
    found = {name: (each.count, each.quantile(0.5)) for name, each in BOTH.latencies()}
    assert found == {"bulk": (4, float("inf")), "interactive": (50, pytest.approx(0.055))}


def test_the_first_look_has_no_rates():
    assert FIRST.rate("sentences") == 0
    assert FIRST.padding is None
    assert list(FIRST.failures()) == [("QUEUE_FULL", 0.0, 10)]


def test_a_worker_that_did_nothing_between_two_looks():
    look = Look("host:1", STATUS, STATUS, 1.0)
    assert look.rate("sentences") == 0
    assert look.padding is None
    assert list(look.latencies()) == []
    assert list(look.failures()) == [("QUEUE_FULL", 0.0, 10)]


def test_a_worker_that_does_not_answer():
    assert GONE.rate("sentences") == 0
    assert GONE.padding is None
    assert list(GONE.latencies()) == list(GONE.failures()) == []
    assert line(GONE) == "host:1: no worker answers"
    assert drawn(GONE).split() == ["host:1", "no", "worker", "answers"]


# Lines and pictures.


def test_a_worker_as_a_line():
    assert line(BOTH) == (
        "host:1: ready, 0123456789abcdef, 50 sentences/s, 7 calls, queue 500 tokens, 1,536 MiB, "
        "bulk p99 over a minute, interactive p99 99 ms, CANCELLED 0.5/s, QUEUE_FULL 1.5/s"
    )


def test_a_worker_whose_model_does_not_answer():
    look = replace(BOTH, status=replace(LATER, ready=False))
    assert line(look).startswith("host:1: not ready, ")
    assert "host:1  not ready, torch float32 cpu, twinhead 1.2" in drawn(look)


def test_a_worker_as_a_picture():
    rows = {row.split("  ")[0].strip(): row for row in drawn(BOTH).splitlines()}
    assert drawn(BOTH).startswith("host:1  ready, torch float32 cpu, twinhead 1.2\n")
    for name, text in (
        ("version", "0123456789abcdef"),
        ("memory", "1,536 MiB"),
        ("sentences", "50 a second (1,000,100 since the start)"),
        ("encoder", "5 passes, 150 tokens a second, 25.0% padding"),
        ("calls", "7 open"),
        ("queue", f"{'█' * 12}{'░' * 12} 500 of 1,000 tokens"),
        ("bulk", "2 batches a second, half within over a minute"),
        ("interactive", "25 batches a second, half within 55 ms, 99 % within 99 ms"),
    ):
        assert text in rows[name]
    assert "CANCELLED: 0.5 a second (1)" in drawn(BOTH)
    assert "QUEUE_FULL: 1.5 a second (13)" in drawn(BOTH)


def test_swaps_are_told_when_there_were_any():
    assert "swaps" not in drawn(BOTH)
    look = replace(BOTH, status=replace(LATER, swaps=3))
    assert "0123456789abcdef, 3 swaps since the start" in drawn(look)


def test_the_first_picture_does_not_take_a_past_of_days_for_a_second():
    status = replace(STATUS, latencies={"bulk": Latencies(BOUNDS, (0, 777_000, 0, 0))})
    assert "777,000 batches a second" not in drawn(replace(FIRST, status=status))


@pytest.mark.parametrize(
    ("tokens", "limit", "full"), [(0, 10, 0), (1, 10_000, 1), (10, 10, 24), (99, 10, 24), (0, 0, 0)]
)
def test_the_bar_of_the_queue(tokens, limit, full):
    status = replace(STATUS, queue_tokens=tokens, queue_limit_tokens=limit)
    assert drawn(replace(FIRST, status=status)).count("█") == full


def test_words_of_a_worker_are_no_markup():
    odd = "[/red][bold]x"
    status = replace(
        LATER,
        model_version=odd,
        engine=odd,
        release=odd,
        failures={odd: 5},
        latencies={odd: Latencies(BOUNDS, (1, 0, 0, 0))},
    )
    for look in (Look(odd, status, STATUS, 1.0), replace(GONE, target=odd, error=odd)):
        assert odd in drawn(look)
    assert drawn(Look(odd, status, STATUS, 1.0)).count(odd) == 6


@pytest.mark.parametrize(
    ("bound", "batches", "text"),
    [
        (0.0004, (1, 0), "0 ms"),
        (1.0, (1, 0), "990 ms"),
        (10.0, (1, 0), "9.9 s"),
        (60.0, (0, 1), "over a minute"),
    ],
)
def test_times_are_told_in_their_unit(bound, batches, text):
    status = replace(LATER, latencies={"bulk": Latencies((bound,), batches)})
    assert f"bulk p99 {text}, " in line(Look("host:1", status, STATUS, 1.0))


def test_all_counts_are_in_the_json():
    found = status_json(STATUS)
    assert json.loads(json.dumps(found)) == found
    assert datetime.fromisoformat(found["started"]) == STATUS.started
    names = {name for name in vars(STATUS) if name != "latencies"}
    assert set(found) == names


# Real workers.


class Watching:
    """`twinhead status --watch` as a process, line by line."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [*TWINHEAD, "status", "--watch", "--interval", "0.1", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def until(self, condition: Callable[[str], bool]) -> str:
        """The first line from now on of which a condition is true."""
        while True:
            said = self._lines.get(timeout=60)
            if condition(said):
                return said

    def stop(self) -> tuple[int, str]:
        """Ctrl-C; gives the exit code and what was said of errors."""
        self.process.send_signal(signal.SIGINT)
        self._thread.join()
        errors = self.process.stderr.read()
        return self.process.wait(30), errors

    def close(self) -> None:
        self.process.kill()
        self._thread.join()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def _read(self) -> None:
        for said in self.process.stdout:
            self._lines.put(said.rstrip("\n"))


@pytest.fixture
def start_watching() -> Iterator[Callable[..., Watching]]:
    started: list[Watching] = []

    def start(*options: str) -> Watching:
        started.append(Watching(*options))
        return started[-1]

    yield start
    for each in started:
        each.close()


def test_what_a_worker_does_is_seen_as_it_does_it(debug_worker, start_watching):
    seen = start_watching("--worker", debug_worker.admin_target)
    quiet = seen.until(lambda _: True)
    assert quiet.startswith(f"{debug_worker.admin_target}: ready, debug0, 0 sentences/s, 0 calls")
    gate = Gate(debug_worker.engine)
    with Client(debug_worker.target) as client:
        waiting = threading.Thread(target=client.infer, args=(["w1", "w2"],))
        waiting.start()
        seen.until(lambda said: " 1 calls," in said)
        gate.open.set()
        waiting.join()
        done = seen.until(lambda said: " 0 sentences/s" not in said)
        assert "interactive p99 " in done
        with pytest.raises(InvalidRequestError):
            client.infer([])
        seen.until(lambda said: "INVALID_REQUEST " in said)
        swap(debug_worker, "debug1")
        seen.until(lambda said: ": ready, debug1, 0 sentences/s" in said)
    code, errors = seen.stop()
    assert code in (0, 1)
    assert "Traceback" not in errors


def test_objects_for_programs(debug_worker, start_watching):
    seen = start_watching("--json", "--worker", debug_worker.admin_target)
    first = json.loads(seen.until(lambda _: True))
    assert first["worker"] == debug_worker.admin_target
    assert (first["ready"], first["sentences"], first["seconds"]) == (True, 0, {})
    assert first["sentences_per_second"] == 0
    debug_worker.engine.seconds_per_pass = 0.05
    with Client(debug_worker.target) as client:
        client.infer(["w1", "w2"])
    found = json.loads(seen.until(lambda said: '"sentences": 2' in said))
    assert found["sentences_per_second"] > 0
    assert 0.05 <= found["seconds"]["interactive"]["p50"] <= found["seconds"]["interactive"]["p99"]
    seen.stop()


def test_a_dead_worker_does_not_hide_the_others(start_debug_worker, start_watching):
    live, dead = start_debug_worker(), start_debug_worker()
    targets = [dead.admin_target, live.admin_target]
    dead.drain()
    seen = start_watching(*(each for target in targets for each in ("--worker", target)))
    assert seen.until(lambda _: True).startswith(f"{dead.admin_target}: no worker answers")
    assert seen.until(lambda _: True).startswith(f"{live.admin_target}: ready, ")
    seen.stop()


@pytest.mark.long
def test_a_worker_that_is_started_anew_begins_anew(start_worker, start_watching):
    options = ("--engine", "torch")
    first = start_worker(*options)
    seen = start_watching("--json", "--worker", first.admin_target)
    with Client(first.target) as client:
        client.infer(["One."] * 100)
        seen.until(lambda said: '"sentences": 100' in said)
        first.kill()
        seen.until(lambda said: '"error"' in said)
        # On the ports of the first.
        start_worker(*options, "--admin-port", str(first.admin_port), port=first.port)
        client.infer(["One."])
        found = json.loads(seen.until(lambda said: '"sentences": ' in said))
    # Nothing is negative, whether it is the first look at the new one or a later.
    assert found["sentences"] <= 1
    assert found["sentences_per_second"] >= 0
    seen.stop()


def test_another_process_that_is_there_at_the_next_look_has_no_rates(monkeypatch):
    told = iter([STATUS, replace(STATUS, started=datetime.now(UTC), sentences=3)])
    monkeypatch.setattr(status_watch, "time", SimpleNamespace(monotonic=lambda: 1, sleep=id))
    looks = status_watch._looks({"host:1": SimpleNamespace(status=lambda: next(told))}, 1.0)
    assert next(looks)[0].before is None
    (second,) = next(looks)
    assert second.before is None
    assert second.rate("sentences") == 0


def test_on_a_terminal_it_is_a_picture_that_lives(debug_worker):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*TWINHEAD, "status", "-w", "--interval", "0.1", "--worker", debug_worker.admin_target],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "COLUMNS": "100", "LINES": "30", "TERM": "xterm"},
    )
    os.close(theirs)
    shown: list[str] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # what a terminal says at its end
            while data := os.read(ours, 65536):
                shown.append(data.decode(errors="replace"))

    def text() -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", "".join(shown))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_until(lambda: "debug0" in text())
        with Client(debug_worker.target) as client:
            client.infer(["w1", "w2", "w3"])
        wait_until(lambda: "(3 since the start)" in text())
        assert "Traceback" not in text()
        process.send_signal(signal.SIGINT)
        process.wait(30)
    finally:
        process.kill()
        process.wait()
        reader.join()
        os.close(ours)
    # The terminal is left as it was: its other screen is closed, its cursor shown.
    assert "\x1b[?1049l" in "".join(shown)
    assert "\x1b[?25h" in "".join(shown)
    assert "Traceback" not in text()


def test_watching_asks_with_the_token(start_debug_worker, tmp_path, capsys, monkeypatch):
    (tmp_path / "token").write_text("a-token-of-this-test read\n")
    worker = start_debug_worker(token_file=str(tmp_path / "token"))

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(status_watch.time, "sleep", stop)
    for token, said in (("", "a token is needed"), ("a-token-of-this-test", "ready, debug0")):
        with pytest.raises(KeyboardInterrupt):
            watch(Console(file=io.StringIO()), [worker.admin_target], Access(token), 1.0)
        (shown,) = capsys.readouterr().out.splitlines()
        assert said in shown
