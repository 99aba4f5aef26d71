"""`twinhead push`: what it says, what it does, and how it ends."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import DebugWorker
from test_admin_client import (
    BIAS,
    OTHER_TASKS,
    TOKEN,
    WEIGHT_BYTES,
    all_sea,
    live_version,
    save_small,
    variant,
    wait_until_free,
)
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.published import Published
from twinhead.server.load_model import load_model
from twinhead.trainer.push_command import push


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Checkpoints: `saved`, which workers serve, and `changed`."""
    folder = tmp_path_factory.mktemp("small")
    variant(Checkpoint.load(save_small(folder))).save(folder / "changed")
    return folder


@pytest.fixture(scope="module")
def saved(folder) -> Path:
    return folder / "saved"


@pytest.fixture(scope="module")
def changed(folder) -> Path:
    return folder / "changed"


@pytest.fixture(scope="module")
def first(saved) -> str:
    return Checkpoint.load(saved).version


@pytest.fixture(scope="module")
def second(changed) -> str:
    return Checkpoint.load(changed).version


@pytest.fixture
def start(start_debug_worker, saved) -> Callable[..., DebugWorker]:
    def start(model: Path = saved, **settings: object) -> DebugWorker:
        return start_debug_worker(
            load=load_model, model=str(model), device="cpu", threads=1, **settings
        )

    return start


@pytest.fixture
def worker(start) -> DebugWorker:
    return start()


def run(checkpoint: Path, *workers: DebugWorker, options: tuple[object, ...] = ()) -> Result:
    chosen = [each for worker in workers for each in ("--worker", worker.admin_target)]
    return CliRunner().invoke(push, [str(checkpoint), *chosen, *map(str, options)])


def only_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


# What is pushed.


def test_what_it_says_of_a_push(start, tmp_path, changed, first, second):
    lasting, passing = start(state=str(tmp_path / "state")), start()
    done = run(changed, lasting, passing)
    assert (done.exit_code, done.stderr) == (0, "")
    live, measured, other_live, _, until = done.stdout.splitlines()
    assert live == f"{lasting.admin_target}  {second} is live, after {first}"
    assert re.fullmatch(
        r"  \d+\.\d KB in \d+\.\d\d s, 16 probes: \d\.\de-\d\d from what was trained; embeddings' "
        r"cosine with the version before at least 1\.0000, same labels: mood 100%, topic \d+%",
        measured,
    )
    assert other_live == f"{passing.admin_target}  {second} is live, after {first}"
    assert until == "  until the worker stops: it has no --state folder"
    assert live_version(lasting) == live_version(passing) == second


def test_json_tells_all(worker, changed, first, second):
    done = run(changed, worker, options=("--json",))
    assert (done.exit_code, done.stderr) == (0, "")
    found = json.loads(only_line(done.stdout))
    gate = found.pop("gate")
    assert found.pop("seconds") > 0
    assert found == {
        "worker": worker.admin_target,
        "version": second,
        "live": True,
        "error": "",
        "previous_version": first,
        "lasting": False,
    }
    assert gate.pop("deviation") < 1e-3
    assert gate.pop("min_cosine") == pytest.approx(1)
    assert gate.pop("agreement")["mood"] == 1
    assert gate == {"probes": 16, "received_bytes": WEIGHT_BYTES}


def test_the_version_that_is_live_already(worker, saved, first):
    done = run(saved, worker)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == (
        f"{worker.admin_target}  {first} is live, it was already"
    )


def test_a_worker_that_is_named_twice_gets_it_once(worker, changed):
    done = run(changed, worker, worker, options=("--json",))
    assert done.exit_code == 0
    assert json.loads(only_line(done.stdout))["live"]


def test_a_delta_and_its_base(worker, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "base")
    base = Checkpoint.load(tmp_path / "base")
    offered = variant(base, all_sea, BIAS)
    offered.save_delta(tmp_path / "delta", base)
    (tmp_path / "base").rename(tmp_path / "moved")
    done = run(tmp_path / "delta", worker)
    assert done.exit_code == 1
    assert f"a delta on version {base.version}, which is not at" in only_line(done.stderr)
    done = run(tmp_path / "delta", worker, options=("--base", tmp_path / "moved"))
    assert (done.exit_code, done.stderr) == (0, "")
    assert live_version(worker) == offered.version


# What is refused.


def test_where_one_refuses_none_changes(start, changed, first, tmp_path):
    fits, refuses = start(), start(save_small(tmp_path, OTHER_TASKS))
    other = live_version(refuses)
    done = run(changed, fits, refuses)
    assert (done.exit_code, done.stderr) == (1, "")
    dropped, measured, refusal = done.stdout.splitlines()
    assert dropped == (f"{fits.admin_target}  staged and dropped again: another worker has refused")
    assert "16 probes" in measured
    assert refusal.startswith(f"{refuses.admin_target}  ")
    # What is wrong, and what to do about it.
    assert "labels of topic are sea, land, sky" in refusal
    assert refusal.endswith("If that is meant, say --allow-new-tasks")
    assert (live_version(fits), live_version(refuses)) == (first, other)

    wait_until_free(fits)
    done = run(changed, fits, refuses, options=("--json",))
    assert done.exit_code == 1
    one, two = map(json.loads, done.stdout.splitlines())
    assert (one["live"], one["error"], one["gate"]["probes"]) == (False, "", 16)
    assert (two["live"], two["gate"]) == (False, None)
    assert "labels of topic" in two["error"]

    wait_until_free(fits)
    assert run(changed, fits, refuses, options=("--allow-new-tasks",)).exit_code == 0
    assert live_version(fits) == live_version(refuses) != first


def test_nobody_listens(changed):
    done = CliRunner().invoke(push, [str(changed), "--worker", "localhost:1"])
    assert (done.exit_code, done.stderr) == (1, "")
    assert only_line(done.stdout).startswith("localhost:1  no worker answers at localhost:1")


def test_expected_version(worker, changed, first, second):
    done = run(changed, worker, options=("--expect", second))
    assert done.exit_code == 1
    assert f"version '{second}' was to be live, but {first} is" in only_line(done.stdout)
    assert live_version(worker) == first
    assert run(changed, worker, options=("--expect", first)).exit_code == 0
    assert live_version(worker) == second


def test_limits_and_probes_of_ones_own(worker, saved, first, tmp_path):
    variant(Checkpoint.load(saved), all_sea, BIAS).save(tmp_path / "sea")
    probes = tmp_path / "probes.txt"
    probes.write_text("  the fox\n\na quick fox\nfoxes run!\n")
    given = ("--probes", probes, "--json")
    done = run(tmp_path / "sea", worker, options=("--min-agreement", 1, *given))
    assert done.exit_code == 1
    refused = json.loads(only_line(done.stdout))
    assert "drift: topic: " in refused["error"]
    assert live_version(worker) == first
    done = run(tmp_path / "sea", worker, options=("--min-cosine", 0.99, *given))
    assert done.exit_code == 0
    assert json.loads(only_line(done.stdout))["gate"]["probes"] == 3


def test_the_token(start, tmp_path, changed, first, second):
    known, right, wrong = (tmp_path / name for name in ("known", "right", "wrong"))
    known.write_text(f"{TOKEN} infer,admin\n")
    right.write_text(TOKEN)
    wrong.write_text(TOKEN + "x")
    worker = start(token_file=str(known))
    for options, said in (
        ((), "a token is needed"),
        (("--token-file", wrong), "the token is not the right one"),
    ):
        done = run(changed, worker, options=options)
        assert done.exit_code == 1
        assert said in only_line(done.stdout)
    assert live_version(worker, TOKEN) == first
    assert run(changed, worker, options=("--token-file", right)).exit_code == 0
    assert live_version(worker, TOKEN) == second


# What is published.


def test_publish(tmp_path, changed, second):
    place = tmp_path / "published"
    done = run(changed, options=("--publish", place))
    assert (done.exit_code, done.stderr) == (0, "")
    said = re.escape(f"{second} is published at {place}, ") + r"\d\d\.\d KB were new there"
    assert re.fullmatch(said, only_line(done.stdout))
    assert Published(str(place)).live() == second


def test_publish_as_json(tmp_path, saved, changed, first, second):
    place = tmp_path / "published"
    assert run(saved, options=("--publish", place)).exit_code == 0
    done = run(changed, options=("--publish", place, "--json"))
    assert json.loads(only_line(done.stdout)) == {
        "published": str(place),
        "version": second,
        "new_bytes": WEIGHT_BYTES,
    }
    assert Published(str(place)).live() == second


def test_publish_where_nothing_can_be(changed):
    done = run(changed, options=("--publish", "nowhere://models"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert only_line(done.stderr).startswith("Error: nowhere://models: ")


@pytest.mark.parametrize(
    "options",
    [
        ("--expect", "a"),
        ("--min-cosine", 0),  # which is a limit, and false
        ("--min-agreement", 0),
        ("--probes", __file__),
        ("--allow-new-tasks",),
    ],
)
def test_conditions_have_no_sense_for_what_is_published(tmp_path, changed, options):
    done = run(changed, options=("--publish", tmp_path / "published", *options))
    assert done.exit_code == 2
    assert options[0] in done.stderr.replace("\n", " ")
    assert not (tmp_path / "published").exists()


# What is wrong with what is given.


def test_what_is_no_checkpoint(tmp_path, worker):
    (tmp_path / "empty").mkdir()
    for given in (tmp_path / "nothing", tmp_path / "empty"):
        done = run(given, worker)
        assert (done.exit_code, done.stdout) == (1, "")
        assert only_line(done.stderr) == f"Error: {given}/twinhead.json is missing"


@pytest.mark.parametrize(
    ("content", "said"), [(b"\n  \n", "holds no sentences"), (b"\xff\xfe", "is not UTF-8 text")]
)
def test_what_are_no_probes(tmp_path, worker, changed, first, content, said):
    probes = tmp_path / "probes.txt"
    probes.write_bytes(content)
    done = run(changed, worker, options=("--probes", probes))
    assert (done.exit_code, done.stdout) == (1, "")
    assert only_line(done.stderr).startswith(f"Error: {probes} {said}")
    assert live_version(worker) == first


@pytest.mark.parametrize(
    "options", [("--min-cosine", 1.5), ("--min-agreement", -0.1), ("--probes", "nothing")]
)
def test_wrong_usage(worker, changed, options):
    done = run(changed, worker, options=options)
    assert done.exit_code == 2
    assert options[0] in done.stderr


def test_as_a_process(run_twinhead, worker, changed, second):
    done = run_twinhead("push", str(changed), "--worker", worker.admin_target)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{second} is live" in done.stdout
    assert live_version(worker) == second
