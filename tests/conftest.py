"""Real workers for the tests: processes with the starter model, and one with the debug model."""

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import fsspec
import hypothesis
import one_thread  # noqa: F401 (before whatever imports torch)
import pytest
from debug_model import CountingEngine, debug_model
from twinhead.client import Client
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.starter import checkpoint_folder
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import Worker

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("no clock", deadline=None)
hypothesis.settings.load_profile("no clock")

ROOT = Path(__file__).resolve().parents[1]
TWINHEAD = [sys.executable, "-m", "twinhead.client"]
START_SECONDS = 120.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--languages", default="node", help="Example clients to test, with commas between them."
    )


def pytest_collection_finish() -> None:
    """As `twinhead serve` does when it is ready; workers in this process collect garbage, too."""
    # What the first model would load else, and each collection look through.
    import twinhead.server.load_model
    import twinhead.server.model_versions  # noqa: F401

    gc.collect()
    gc.freeze()


class WorkerProcess:
    """`twinhead serve` in a process of its own, on a free port."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = folder / f"worker-{time.monotonic_ns()}.log"
        port_file = folder / f"port-{time.monotonic_ns()}"
        # The admin service's own default is the port after `port`, which may be anybody's.
        ports = ["--port", str(port), "--admin-port", "0", "--port-file", str(port_file)]
        with self.log.open("wb") as stream:
            self.process = subprocess.Popen(
                [*TWINHEAD, "serve", *ports, *options],
                stdout=stream,
                stderr=stream,
                env={**os.environ, "HF_HUB_OFFLINE": "1", **(environment or {})},
            )
        deadline = time.monotonic() + START_SECONDS
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the worker did not start:\n{self.log.read_text()}")
            time.sleep(0.02)
        self.port, self.admin_port = map(int, port_file.read_text().split())
        self.target = f"localhost:{self.port}"
        self.admin_target = f"localhost:{self.admin_port}"

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Start worker processes that end with the test."""
    started: list[WorkerProcess] = []

    def start(
        *options: str, port: int = 0, environment: Mapping[str, str] | None = None
    ) -> WorkerProcess:
        worker = WorkerProcess(tmp_path, *options, port=port, environment=environment)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture(scope="session")
def starter_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker process with the starter model, for all tests that only call it."""
    worker = WorkerProcess(tmp_path_factory.mktemp("starter"))
    yield worker
    worker.kill()


@pytest.fixture
def starter_client(starter_worker: WorkerProcess) -> Iterator[Client]:
    with Client(starter_worker.target) as client:
        yield client


@pytest.fixture(scope="session")
def whole_starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter model with its encoder in one folder, which SentenceTransformer reads."""
    folder = tmp_path_factory.mktemp("starter") / "whole"
    Checkpoint.load(checkpoint_folder("starter")).save(folder)
    return folder


class DebugWorker:
    """A worker in a thread of this process, with the debug model: its engine can be watched."""

    def __init__(self, load=lambda *_: debug_model(), **settings: object) -> None:
        self.settings = WorkerSettings(**{"port": 0, "admin_port": 0} | settings)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.worker = Worker(self.settings)
        self.model = self.run(self.worker.start(load))
        self.target = f"localhost:{self.worker.port}"
        self.admin_target = f"localhost:{self.worker.admin_port}"

    @property
    def engine(self) -> CountingEngine:
        engine = self.model.engine
        assert isinstance(engine, CountingEngine)
        return engine

    def run(self, coroutine):
        """Run a coroutine on the worker's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def drain(self) -> bool:
        return self.run(self.worker.drain())

    def close(self) -> None:
        self.drain()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def start_debug_worker() -> Iterator[Callable[..., DebugWorker]]:
    """Start debug workers that end with the test."""
    started: list[DebugWorker] = []

    def start(**settings: object) -> DebugWorker:
        worker = DebugWorker(**settings)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.close()


@pytest.fixture
def debug_worker(start_debug_worker: Callable[..., DebugWorker]) -> DebugWorker:
    return start_debug_worker()


@pytest.fixture
def run_twinhead(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run the command line in a process of its own, in the test's folder."""

    def run(*arguments: str, stdin: bytes | None = None) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [*TWINHEAD, *arguments],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            timeout=240,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("localhost", 0)) as listening:
        return listening.getsockname()[1]


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    """fsspec's file system in memory, which is one for the whole process: empty afterwards."""
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for a condition that no event announces."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it never came to be")
        time.sleep(0.005)
