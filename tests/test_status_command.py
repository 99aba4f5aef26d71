"""`twinhead status` on real workers, and on one that is gone."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import DebugWorker, wait_until
from test_admin_client import TOKEN, push, save_small, variant
from test_inference_service import Gate
from twinhead.client import AdminClient, Client, WorkerStatus
from twinhead.client.results import VersionList
from twinhead.client.status_command import status
from twinhead.model.checkpoint import Checkpoint
from twinhead.server.load_model import load_model

# What a recipe is called is the user's business, and no markup of ours.
TITLE = "[red]topics[/red] of 2026"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def first(saved) -> Checkpoint:
    return Checkpoint.load(saved)


@pytest.fixture(scope="module")
def second(first) -> Checkpoint:
    return variant(first, provenance={"recipe": TITLE, "seed": 3})


@pytest.fixture
def start(start_debug_worker, saved) -> Callable[..., DebugWorker]:
    def start(*pushed: Checkpoint, **settings: object) -> DebugWorker:
        worker = start_debug_worker(
            load=load_model, model=str(saved), device="cpu", threads=1, **settings
        )
        with AdminClient(worker.admin_target) as admin:
            for checkpoint in pushed:
                push(admin, checkpoint)
        return worker

    return start


def run(*workers: str, options: tuple[object, ...] = (), columns: int = 120) -> Result:
    chosen = [each for worker in workers for each in ("--worker", worker)]
    arguments = [*chosen, *map(str, options)]
    return CliRunner().invoke(status, arguments, env={"COLUMNS": str(columns)})


def test_what_is_shown_of_a_worker(start, tmp_path, first, second):
    worker = start(second, state=str(tmp_path / "state"))
    done = run(worker.admin_target)
    assert (done.exit_code, done.stderr) == (0, "")
    about, present, headings, live, previous = done.stdout.splitlines()
    assert about.startswith(f"{worker.admin_target}  up ")
    assert about.endswith(f", openvino float32 cpu, twinhead {version('twinhead')}")
    assert re.fullmatch(
        r"ready, 0 calls open, 0 tokens waiting, 0 sentences answered, [\d,]+ MiB", present
    )
    assert headings.split() == ["version", "received", "size", "tasks", "trained", "by"]
    assert live.split()[:2] == ["live", second.version]
    assert live.rstrip().endswith(f"0.1 MB  topic, mood  {TITLE}")
    assert previous.split()[:2] == ["previous", first.version]
    assert previous.rstrip().endswith("0.1 MB  topic, mood  none")
    # Cells stand under their headings.
    for row, cell in ((live, second.version), (previous, first.version)):
        assert row.index(cell) == headings.index("version")
        assert row.index("topic") == headings.index("tasks")
    # When the worker got it, by the clock of whoever looks.
    with AdminClient(worker.admin_target) as admin:
        for row, known in zip((live, previous), admin.versions().versions, strict=True):
            local = known.received.astimezone().replace(tzinfo=None)
            shown = datetime.fromisoformat(row[headings.index("received") :][:19])
            assert timedelta(0) <= local - shown < timedelta(seconds=1)


def test_what_it_does_at_present_is_shown(start_debug_worker):
    worker = start_debug_worker(stall_seconds=3600)
    gate = Gate(worker.engine)
    with Client(worker.target) as client, ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(client.infer, ["w1"])]
        gate.entered.wait(30)
        calls.append(pool.submit(client.infer, ["w1", "w2"]))
        wait_until(lambda: worker.worker._queue.tokens == 6)
        present = run(worker.admin_target).stdout.splitlines()[1]
        assert present.startswith("ready, 2 calls open, 6 tokens waiting, 0 sentences answered, ")
        gate.open.set()
        for call in calls:
            call.result(30)
    assert ", 3 sentences answered, " in run(worker.admin_target).stdout.splitlines()[1]


def test_a_worker_whose_model_does_not_answer(start_debug_worker):
    worker = start_debug_worker(stall_seconds=1)
    gate = Gate(worker.engine)
    with AdminClient(worker.admin_target) as admin:
        wait_until(lambda: not admin.status().ready)
    done = run(worker.admin_target)
    gate.open.set()
    assert done.exit_code == 0  # it does answer itself
    assert done.stdout.splitlines()[1].startswith("not ready: its model does not answer, ")


def test_a_worker_that_keeps_nothing_says_so(start):
    done = run(start().admin_target)
    assert done.stdout.splitlines()[-1] == "kept in memory only: the worker has no --state folder"


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_versions_are_whole_however_narrow_the_terminal(start, first, second, columns):
    done = run(start(second).admin_target, columns=columns)
    for checkpoint in (first, second):
        assert f" {checkpoint.version} " in done.stdout


def test_it_fits_a_terminal_of_the_usual_width(start, tmp_path, first):
    title = "a recipe whose title is far longer than any column of a table can reasonably be"
    long = variant(first, provenance={"recipe": title})
    done = run(start(long, state=str(tmp_path / "state")).admin_target, columns=80)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert re.search(r"\d-\d\d \d\d:\d", done.stdout)  # date and time stand on one line


def test_a_long_title_is_seen_to_be_cut(start, first):
    long = variant(first, provenance={"recipe": "x" * 200})
    done = run(start(long).admin_target, columns=200)
    assert f" {'x' * 59}…" in done.stdout
    assert "x" * 60 not in done.stdout


@pytest.mark.parametrize(
    ("provenance", "shown"),
    [({"method": "imported", "original": "SetFitModel"}, "SetFitModel"), ({"seed": 3}, "")],
)
def test_where_a_version_comes_from(start, first, provenance, shown):
    done = run(start(variant(first, provenance=provenance)).admin_target)
    live = done.stdout.splitlines()[3]
    assert live.split("topic, mood")[1].strip() == shown


@pytest.mark.parametrize("as_json", [False, True])
def test_a_dead_worker_among_live_ones(start, first, second, as_json):
    one, other = start(second), start()
    dead = start()
    dead.drain()
    options = ("--json",) if as_json else ()
    done = run(one.admin_target, dead.admin_target, other.admin_target, options=options)
    assert done.exit_code == 1
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    if as_json:
        found = [json.loads(line) for line in lines]
        assert [each["worker"] for each in found] == [
            one.admin_target,
            dead.admin_target,
            other.admin_target,
        ]
        assert [each.get("versions", [{}])[0].get("version") for each in found] == [
            second.version,
            None,
            first.version,
        ]
        assert found[1]["error"].startswith(f"no worker answers at {dead.admin_target}")
    else:
        (said,) = [line for line in lines if line.startswith(dead.admin_target)]
        assert f"no worker answers at {dead.admin_target}" in said
        for worker, checkpoint in ((one, second), (other, first)):
            at = next(n for n, line in enumerate(lines) if line.startswith(worker.admin_target))
            assert lines[at + 3].split()[:2] == ["live", checkpoint.version]


def test_json_tells_all(start, tmp_path, first, second):
    worker = start(second, state=str(tmp_path / "state"))
    done = run(worker.admin_target, options=("--json",))
    assert (done.exit_code, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    versions, now = found.pop("versions"), found.pop("status")
    started = datetime.fromisoformat(found.pop("started"))
    assert found == {
        "worker": worker.admin_target,
        "engine": "openvino float32 cpu",
        "release": version("twinhead"),
        "lasting": True,
    }
    assert datetime.fromisoformat(now.pop("started")) == started
    assert now.pop("resident_bytes") > 0
    assert now.pop("passes") > 0  # of the probes before the second went live
    assert 0 < now.pop("tokens") <= now.pop("padded_tokens")
    assert all(isinstance(count, int) for count in now.pop("failures").values())
    assert now == {
        "model_version": second.version,
        "ready": True,
        "release": version("twinhead"),
        "engine": "openvino float32 cpu",
        "calls": 0,
        "queue_tokens": 0,
        "queue_limit_tokens": worker.settings.queue_tokens,
        "sentences": 0,
        "swaps": 1,
    }
    received = [datetime.fromisoformat(each.pop("received")) for each in versions]
    assert started.tzinfo is not None
    assert started <= received[0]
    assert versions == [
        {
            "version": checkpoint.version,
            "state": state,
            "bytes": sum(entry.size for entry in checkpoint.manifest.tensors.values()),
            "tasks": ["topic", "mood"],
            "provenance": provenance,
        }
        for checkpoint, state, provenance in (
            (second, "live", {"recipe": TITLE, "seed": 3}),
            (first, "previous", {"method": "none"}),
        )
    ]


def test_the_token(start_debug_worker, saved, first, tmp_path):
    (tmp_path / "tokens").write_text(f"{TOKEN} admin\n")
    (tmp_path / "token").write_text(TOKEN)
    worker = start_debug_worker(
        load=load_model,
        model=str(saved),
        device="cpu",
        threads=1,
        token_file=str(tmp_path / "tokens"),
    )
    done = run(worker.admin_target)
    assert done.exit_code == 1
    assert "a token is needed" in done.stdout
    assert first.version not in done.stdout
    done = run(worker.admin_target, options=("--token-file", tmp_path / "token"))
    assert done.exit_code == 0
    assert first.version in done.stdout


@pytest.mark.parametrize(("scope", "allowed"), [("read", True), ("admin", True), ("infer", False)])
def test_a_token_that_may_not_change_anything_will_do(start_debug_worker, tmp_path, scope, allowed):
    (tmp_path / "tokens").write_text(f"{TOKEN} {scope}\n")
    (tmp_path / "token").write_text(TOKEN)
    worker = start_debug_worker(token_file=str(tmp_path / "tokens"))
    done = run(worker.admin_target, options=("--token-file", tmp_path / "token"))
    assert done.exit_code == (0 if allowed else 1)
    assert ("debug0" in done.stdout) == allowed
    assert ("the scope admin or read is needed" in done.stdout) != allowed


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(seconds=119.5), "119 s"),
        (timedelta(minutes=2.5), "2 min"),
        (timedelta(hours=47.5), "47 h"),
        (timedelta(days=9.5), "9 d"),
        (timedelta(hours=-1), "0 s"),  # the worker's clock is ahead of ours
    ],
)
def test_how_long_a_worker_is_up(monkeypatch, ago, shown):
    started, engine = datetime.now(UTC) - ago, "torch float32 cpu"
    found = VersionList((), True, started, "1.2", engine)
    now = WorkerStatus("v", True, started, "1.2", engine, 0, 0, 0, 0, 0, 0, 0, 0, 0, {}, {})
    monkeypatch.setattr(AdminClient, "versions", lambda _: found)
    monkeypatch.setattr(AdminClient, "status", lambda _: now)
    assert run("host:1").stdout.splitlines()[0] == (
        f"host:1  up {shown}, torch float32 cpu, twinhead 1.2"
    )


def test_as_a_process(run_twinhead, start, first):
    worker = start()
    done = run_twinhead("status", "--worker", worker.admin_target)
    assert (done.returncode, done.stderr) == (0, "")
    assert first.version in done.stdout
