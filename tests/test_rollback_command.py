"""`twinhead rollback` on real workers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import DebugWorker
from test_admin_client import TOKEN, live_version, push, save_small, variant
from twinhead.client import AdminClient
from twinhead.client.rollback_command import rollback
from twinhead.model.checkpoint import Checkpoint
from twinhead.server.load_model import load_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def versions(saved) -> tuple[Checkpoint, Checkpoint, Checkpoint]:
    first = Checkpoint.load(saved)
    second = variant(first)
    return first, second, variant(second)


@pytest.fixture
def start(start_debug_worker, saved) -> Callable[..., DebugWorker]:
    """Start workers to which some versions were pushed after the first."""

    def start(*pushed: Checkpoint, token: str = "", **settings: object) -> DebugWorker:
        worker = start_debug_worker(
            load=load_model, model=str(saved), device="cpu", threads=1, **settings
        )
        with AdminClient(worker.admin_target, token=token) as admin:
            for checkpoint in pushed:
                push(admin, checkpoint)
        return worker

    return start


def run(workers: list[DebugWorker], *arguments: object) -> Result:
    chosen = [each for worker in workers for each in ("--worker", worker.admin_target)]
    return CliRunner().invoke(rollback, [*chosen, *map(str, arguments)])


def test_back_and_forth(start, versions):
    first, second, _ = versions
    worker = start(second)
    done = run([worker])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        f"{worker.admin_target}: {first.version} is live, after {second.version}\n"
    )
    assert live_version(worker) == first.version
    assert run([worker]).exit_code == 0
    assert live_version(worker) == second.version


def test_a_worker_that_is_named_twice_goes_back_once(start, versions):
    first, second, _ = versions
    worker = start(second)
    assert len(run([worker, worker]).stdout.splitlines()) == 1
    assert live_version(worker) == first.version


def test_to_a_version_on_disk(start, tmp_path, versions):
    first, second, third = versions
    worker = start(second, third, state=str(tmp_path / "state"))
    done = run([worker], "--to", first.version)
    assert done.stdout == f"{worker.admin_target}: {first.version} is live, after {third.version}\n"
    assert live_version(worker) == first.version
    # And back to the one before, which is not the one that was pushed before.
    assert run([worker]).exit_code == 0
    assert live_version(worker) == third.version


def test_to_the_version_that_is_live(start, versions):
    _, second, _ = versions
    worker = start(second)
    done = run([worker], "--to", second.version)
    assert done.exit_code == 0
    assert done.stdout == f"{worker.admin_target}: {second.version} is live already\n"


def test_from_a_version(start, versions):
    first, second, _ = versions
    worker = start(second)
    done = run([worker], "--from", first.version)
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{worker.admin_target}: failed: ")
    assert f"{second.version} is" in line
    assert live_version(worker) == second.version
    assert run([worker], "--from", second.version).exit_code == 0
    assert live_version(worker) == first.version


def test_versions_that_are_not_there(start):
    worker = start()
    done = run([worker], "--to", "0123456789abcdef")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "version '0123456789abcdef' is not kept here" in done.stderr
    done = run([worker])
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no version was live before this one" in done.stderr


def test_one_that_fails_does_not_keep_the_others_back(start, start_debug_worker, versions):
    first, second, _ = versions
    before, after = start(second), start(second)
    gone = start()
    gone.drain()
    done = run([before, gone, after])
    assert done.exit_code == 1
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [
        before.admin_target,
        after.admin_target,
    ]
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{gone.admin_target}: failed: no worker answers")
    assert live_version(before) == live_version(after) == first.version


def test_the_token(start, tmp_path, versions):
    first, second, _ = versions
    file = tmp_path / "token"
    file.write_text(TOKEN)
    known = tmp_path / "tokens"
    known.write_text(f"{TOKEN} infer,admin\n")
    worker = start(second, token=TOKEN, token_file=str(known))
    done = run([worker])
    assert done.exit_code == 1
    assert "a token is needed" in done.stderr
    assert live_version(worker, TOKEN) == second.version
    assert run([worker], "--token-file", file).exit_code == 0
    assert live_version(worker, TOKEN) == first.version


def test_as_a_process(run_twinhead, start, versions):
    first, second, _ = versions
    worker = start(second)
    done = run_twinhead("rollback", "--worker", worker.admin_target)
    assert (done.returncode, done.stderr) == (0, "")
    assert live_version(worker) == first.version
