"""`twinhead health` tells by its exit code whether a worker serves, and says nothing unasked."""

import asyncio
import socket
import subprocess
import sys
import threading

import pytest
from debug_model import debug_model
from test_certificates import TOKEN, issue, save_ca
from trustme import CA
from twinhead.client.health_command import health
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import Worker


@pytest.fixture
def nobody() -> str:
    """An address that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"localhost:{port}"


def silent(done: "subprocess.CompletedProcess[str]") -> bool:
    return done.stdout == done.stderr == ""


@pytest.mark.parametrize(
    "service", ["", "twinhead.v1.InferenceService", "twinhead.v1.ModelService"]
)
def test_a_worker_that_serves(run_twinhead, starter_worker, service):
    done = run_twinhead("health", "--worker", starter_worker.target, "--service", service)
    assert done.returncode == 0
    assert silent(done)


def test_the_admin_address_has_health_of_its_own(run_twinhead, starter_worker):
    address = ("health", "--worker", starter_worker.admin_target, "--service")
    assert run_twinhead(*address, "twinhead.v1.ModelAdminService").returncode == 0
    assert run_twinhead(*address, "twinhead.v1.InferenceService").returncode == 1


def test_nobody_there(run_twinhead, nobody):
    done = run_twinhead("health", "--worker", nobody)
    assert done.returncode == 1
    assert silent(done)


def test_a_service_that_nobody_has(run_twinhead, starter_worker):
    done = run_twinhead("health", "--worker", starter_worker.target, "--service", "no.Such")
    assert done.returncode == 1
    assert silent(done)


def test_somebody_who_does_not_answer(run_twinhead):
    with socket.create_server(("127.0.0.1", 0)) as silence:  # it lets everybody in
        target = f"127.0.0.1:{silence.getsockname()[1]}"
        done = run_twinhead("health", "--worker", target, "--timeout", "0.5", "-v")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{target}: DEADLINE_EXCEEDED")


async def test_a_worker_that_still_loads_its_model(run_twinhead):
    loading, loaded = threading.Event(), threading.Event()

    def load(*_):
        loading.set()
        loaded.wait(60)
        return debug_model()

    worker = Worker(WorkerSettings(port=0))
    starting = asyncio.create_task(worker.start(load))
    try:
        await asyncio.to_thread(loading.wait, 60)
        probe = ("health", "--worker", f"localhost:{worker.port}", "-v")
        done = await asyncio.to_thread(run_twinhead, *probe)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"localhost:{worker.port}: NOT_SERVING\n"
        loaded.set()
        await starting
        done = await asyncio.to_thread(run_twinhead, *probe)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == f"localhost:{worker.port}: SERVING\n"
    finally:
        loaded.set()
        await starting
        await worker.drain()


def test_it_says_what_it_found_when_asked(run_twinhead, starter_worker, nobody):
    def said(*options: str) -> str:
        done = run_twinhead("health", "--verbose", *options)
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        return line

    target = starter_worker.target
    assert said("--worker", target) == f"{target}: SERVING"
    assert said("--worker", target, "--service", "no.Such").startswith(f"{target}: NOT_FOUND")
    assert said("--worker", nobody).startswith(f"{nobody}: UNAVAILABLE")


def test_the_worker_from_the_environment(run_twinhead, starter_worker, monkeypatch):
    monkeypatch.setenv("TWINHEAD_WORKER", starter_worker.target)
    assert run_twinhead("health").returncode == 0


def test_over_tls(run_twinhead, start_debug_worker, tmp_path):
    ca, callers = CA(), CA()
    files, mine = issue(ca, tmp_path), issue(callers, tmp_path, "caller")
    root = str(save_ca(ca, tmp_path / "ca.pem"))
    (tmp_path / "tokens").write_text(f"{TOKEN} infer,read,admin\n")
    worker = start_debug_worker(
        **files.settings(save_ca(callers, tmp_path / "callers.pem")),
        token_file=str(tmp_path / "tokens"),
    )
    probe = ("health", "--worker", worker.target)
    shown = ("--tls-certificate", str(mine.certificate), "--tls-key", str(mine.key))
    done = run_twinhead(*probe, "--tls-ca", root, *shown)
    assert done.returncode == 0, done.stderr
    for options in ((), ("--tls-ca", root), ("--tls", *shown)):
        done = run_twinhead(*probe, *options)
        assert done.returncode == 1
        assert done.stdout == ""


def test_a_token_is_not_needed_and_no_harm(run_twinhead, start_debug_worker, tmp_path):
    (tmp_path / "tokens").write_text(f"{TOKEN} infer,read,admin\n")
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "wrong").write_text(f"{TOKEN}x")
    worker = start_debug_worker(token_file=str(tmp_path / "tokens"))
    probe = ("health", "--worker", worker.target)
    assert run_twinhead(*probe).returncode == 0
    assert run_twinhead(*probe, "--token-file", "token").returncode == 0
    assert run_twinhead(*probe, "--token-file", "wrong").returncode == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--timeout", "0"], "--timeout"),
        (["--timeout", "soon"], "--timeout"),
        (["--tls-ca", "no-such-file"], "--tls-ca"),
        (["--tls-key", "/dev/null"], "go together"),
        (["--no-such-option"], "No such option"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_no_answer(run_twinhead, options, said):
    done = run_twinhead("health", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_probe_is_quick_to_start(starter_worker):
    # It runs every few seconds, in the worker's own container.
    script = f"""
import sys
from twinhead.client.command_line import main
try:
    main(["health", "--worker", {starter_worker.target!r}])
except SystemExit as ended:
    print(ended.code, *sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    code, *loaded = done.stdout.split()
    assert code == "0"
    assert "grpc" in loaded
    heavy = {"torch", "transformers", "pydantic", "pyarrow", "rich", "openvino", "sklearn"}
    assert not set(loaded) & heavy


def test_help_names_every_option(run_twinhead):
    done = run_twinhead("health", "--help")
    assert done.returncode == 0
    for option in health.params:
        assert all(name in done.stdout for name in option.opts)
    assert "TWINHEAD_WORKER" in done.stdout
