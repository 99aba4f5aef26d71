"""`twinhead demo`: one command from nothing to a labelled file, and nothing left behind."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from conftest import TWINHEAD

DEADLINE_SECONDS = 120.0
MARK = "TEST_OF_TWINHEAD_MARK"


class Demo:
    """A run of the demo; its processes are known by a mark in their environment."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self._mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [*TWINHEAD, "demo", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "160", MARK: self._mark}
            | environment,
        )

    def processes(self) -> list[str]:
        """The command lines of all that the run has started and that is alive."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self._mark:
                    found.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def wait(self) -> None:
        self.stdout, self.stderr = self.process.communicate(timeout=DEADLINE_SECONDS)


@pytest.fixture
def start_demo(tmp_path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(*arguments: str, **environment: str) -> Demo:
        started.append(Demo(tmp_path, *arguments, **environment))
        return started[-1]

    yield start
    for demo in started:
        demo.process.kill()
        demo.process.communicate()


def test_the_example_sentences_are_labelled(tmp_path, start_demo):
    demo = start_demo()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not any("serve" in command for command in demo.processes()):
        assert demo.process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    demo.wait()
    assert demo.process.returncode == 0, demo.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["demo-output.csv"]
    with (tmp_path / "demo-output.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == [
        "id",
        "source",
        "text",
        "topic",
        "topic_score",
        "sentiment",
        "sentiment_score",
        "truncated",
        "error",
        "model_version",
    ]
    assert len(rows) == 200
    # A table of some rows, then one of all labels.
    for row in rows[::10]:
        cells = [row[3], f"{float(row[4]):.2f}", row[5], f"{float(row[6]):.2f}"]
        pattern = r"\s*│\s*".join(re.escape(cell) for cell in (row[2][:30], *cells))
        assert re.search(pattern.replace(r"\s*│", r"[^│\n]*│", 1), demo.stdout), row
    assert "200 rows in " in demo.stdout
    assert "written to demo-output.csv" in demo.stdout
    for label in {row[3] for row in rows}:
        count = sum(row[3] == label for row in rows)
        assert re.search(rf"│ {re.escape(label)} +│ +{count} │", demo.stdout)
    assert "Next: twinhead serve in one terminal" in demo.stdout
    # The worker is gone.
    assert demo.processes() == []
    port = int(re.search(r"worker ready on localhost:(\d+) after", demo.stdout).group(1))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_any_file_may_be_labelled(tmp_path, start_demo):
    # A column without a usual name, text that looks like markup, and a row without text.
    texts = ["[/red] The striker scored twice.", "[bold]Shares fell[/bold]\nsharply.", ""]
    with (tmp_path / "in.csv").open("w", newline="") as stream:
        csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([["remark"], *([t] for t in texts)])
    # What lies about in the folder is no part of the worker.
    (tmp_path / "torch.py").write_text("raise RuntimeError('not this one')\n")
    demo = start_demo("in.csv", "-o", "out.jsonl")
    demo.wait()
    assert demo.process.returncode == 3, demo.stderr  # a row has no label
    assert "1 rows have no label: 1 empty" in demo.stdout
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["remark"] for row in rows] == texts
    assert (rows[0]["topic"], rows[2]["topic"]) == ("Sports", None)
    assert f"│ {texts[0]} " in demo.stdout
    assert "│ [bold]Shares fell[/bold] sharply. " in demo.stdout
    assert re.search(r"│ +│ - +│ +- │ - +│ +- │", demo.stdout)
    assert demo.processes() == []


def test_a_broken_file_leaves_nothing_and_stops_the_worker(tmp_path, start_demo):
    rows = "".join(f"{n},The striker scored goal {n}.\n" for n in range(300))
    (tmp_path / "in.csv").write_text("id,text\n" + rows + "300,one,too many\n")
    demo = start_demo("in.csv", "-o", "out.csv")
    demo.wait()
    assert demo.process.returncode == 1
    assert demo.stderr.startswith("Error: in.csv: row 301 (line 302) has 3 cells")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
    assert demo.processes() == []


def test_a_file_that_is_not_there_is_told_before_a_worker_starts(start_demo):
    demo = start_demo("nowhere.csv")
    demo.wait()
    assert (demo.process.returncode, demo.stdout) == (1, "")
    assert demo.stderr == "Error: nowhere.csv: no such file\n"


def test_a_worker_that_cannot_start_says_why(tmp_path, start_demo):
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "pydantic.py").write_text('raise ModuleNotFoundError("none", name="pydantic")\n')
    demo = start_demo(PYTHONPATH=str(blocked))
    demo.wait()
    assert demo.process.returncode == 1
    first, second, *more = demo.stderr.splitlines()
    assert first == "Error: the worker did not start:"
    assert second.startswith("Error: `twinhead serve` needs the package pydantic: pip install")
    assert more == []
    assert [path.name for path in tmp_path.iterdir()] == ["blocked"]
    assert demo.processes() == []


def test_a_page_until_it_is_told_to_stop(tmp_path, start_demo):
    demo = start_demo("--web", PYTHONUNBUFFERED="1")
    ready, place = (demo.process.stdout.readline() for _ in range(2))
    assert ready.startswith("worker ready on localhost:")
    url = re.fullmatch(r"the page is at (http://localhost:\d+/) until Ctrl-C\n", place).group(1)
    sections = {}
    with urllib.request.urlopen(f"{url}events") as events:
        while not {"model", "load", "versions"} <= set(sections):
            name, _, value = events.readline().decode().strip().partition(": ")
            sections[value if name == "event" else "last"] = value
    demo.process.send_signal(signal.SIGINT)
    demo.wait()
    assert (demo.process.returncode, demo.stderr) == (0, "")
    assert demo.processes() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--web", "in.csv"], "leave the files out"),
        (["--web", "-o", "demo-output.csv"], "leave the files out"),
        (["--open"], "--open is for the page of --web"),
    ],
)
def test_a_page_labels_no_file(run_twinhead, arguments, said):
    done = run_twinhead("demo", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
