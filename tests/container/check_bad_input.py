"""What a worker in a container makes of a volume, a secret or a store that is no good."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TWINHEAD, wait_until
from container.calls import PLAINTEXT, QUICK, READY, label, metric
from container.containers import Container, Memory, Mount

FAILING, MODEL = "twinhead_watch_failing", "twinhead_model_info"
WATCHING = {**QUICK, "TWINHEAD_WATCH": "/models", "TWINHEAD_WATCH_SECONDS": "0.2"}


@pytest.fixture
def state(make_folder: Callable[..., Mount]) -> Mount:
    return make_folder("/state", writable=True)


@pytest.fixture
def models(make_folder: Callable[..., Mount]) -> Mount:
    """Where versions are published."""
    return make_folder("/models")


def publish(checkpoint: Path, place: Path) -> None:
    """Publish a checkpoint for workers that follow a place."""
    command = [*TWINHEAD, "push", str(checkpoint), "--publish", str(place)]
    subprocess.run(command, check=True, capture_output=True)


def refusal(worker: Container) -> str:
    """What a worker says that ends instead of starting: one line."""
    assert worker.wait() == 1
    (line,) = (line for line in worker.said().splitlines() if " INFO " not in line)
    return line


def test_without_tls_it_asks_whether_that_is_meant(server, start, state):
    said = refusal(start(server, mounts=[state]))
    assert "--tls-certificate" in said
    assert "--allow-plaintext" in said


def test_the_admin_service_beyond_loopback_needs_tokens(server, start, state):
    environment = {**PLAINTEXT, "TWINHEAD_ADMIN_HOST": "0.0.0.0"}
    assert "--token-file" in refusal(start(server, environment=environment, mounts=[state]))


@pytest.mark.parametrize("variables", [["TOKEN_FILE"], ["TLS_CERTIFICATE", "TLS_KEY"]])
def test_a_secret_that_is_missing_ends_the_start(server, start, state, variables):
    environment = {f"TWINHEAD_{variable}": "/run/secrets/absent" for variable in variables}
    said = refusal(start(server, environment=PLAINTEXT | environment, mounts=[state]))
    assert "/run/secrets/absent cannot be read" in said


def test_a_state_that_cannot_be_written_ends_the_start(server, start, state):
    read_only = Mount(state.host, "/state")
    said = refusal(start(server, environment=QUICK, mounts=[read_only]))
    assert "the state folder /state cannot be used: Read-only file system" in said
    os.chown(state.host, 0, 0)
    said = refusal(start(server, environment=QUICK, mounts=[state]))
    assert "the state folder /state cannot be used: Permission denied" in said


def test_with_a_full_state_it_serves_and_takes_no_push(
    server, client, start, make_folder, starter, second
):
    data = make_folder("/data", writable=True)
    worker = start(server, environment=QUICK, mounts=[Memory("/state", "20m")])
    worker.wait_for(f"version {starter.version} cannot be kept: ")
    pushed = worker.enter_network([*TWINHEAD, "push", str(second[0])])
    assert pushed.returncode == 1
    assert "the worker's disk has no room for the version" in pushed.stdout
    rows = label(start, client, worker, data)
    assert {row["model_version"] for row in rows} == {starter.version}


def test_a_store_that_cannot_be_read_at_the_start_is_waited_for(
    server, start, state, models, starter, second
):
    models.host.chmod(0)
    worker = start(server, environment=WATCHING, mounts=[state, models])
    worker.wait_for(READY)
    assert starter.version in metric(worker, MODEL)
    models.host.chmod(0o755)
    publish(second[0], models.host)
    worker.wait_for(f"version {second[1]} is live")


def test_a_store_that_goes_away_is_waited_for(server, start, state, models, second, third):
    publish(second[0], models.host)
    worker = start(server, environment=WATCHING, mounts=[state, models])
    worker.wait_for(READY)
    models.host.chmod(0)
    publish(third[0], models.host)
    assert worker.run("twinhead", "health").returncode == 0
    assert second[1] in metric(worker, MODEL)
    models.host.chmod(0o755)
    worker.wait_for(f"version {third[1]} is live")


def test_of_a_broken_version_the_one_before_is_served(
    server, start, state, models, tmp_path, second, third
):
    publish(second[0], models.host)
    worker = start(server, environment=WATCHING, mounts=[state, models])
    worker.wait_for(READY)

    later = tmp_path / "later"
    shutil.copytree(models.host, later)
    publish(third[0], later)
    names = {path.name for path in (later / "blobs").iterdir()}
    names -= {path.name for path in (models.host / "blobs").iterdir()}
    whole = {name: (later / "blobs" / name).read_bytes() for name in names}
    for name, data in whole.items():
        (later / "blobs" / name).write_bytes(bytes(len(data)))
    shutil.copytree(later, models.host, dirs_exist_ok=True)
    worker.wait_for("arrived with other bytes")
    assert second[1] in metric(worker, MODEL)
    assert metric(worker, FAILING) == "1.0"
    assert worker.run("twinhead", "health").returncode == 0
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0

    again = start(server, environment=WATCHING, mounts=[state, models])
    again.wait_for(READY)
    assert second[1] in metric(again, MODEL)
    for name, data in whole.items():
        (models.host / "blobs" / name).write_bytes(data)
    again.wait_for(f"version {third[1]} is live")
    wait_until(lambda: metric(again, FAILING) == "0.0")


def test_a_store_whose_package_is_missing_ends_the_start(server, start, state):
    environment = {**QUICK, "TWINHEAD_WATCH": "s3://bucket/models"}
    assert "s3fs" in refusal(start(server, environment=environment, mounts=[state]))
