"""Start processes for a measurement, and read what they cost."""

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

TWINHEAD = [sys.executable, "-m", "twinhead.client"]


@dataclass(frozen=True)
class Finished:
    """A process that ended."""

    seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    process: psutil.Popen
    target: str
    admin_target: str
    start_seconds: float

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def resident_mib(self) -> float:
        """Its resident memory now."""
        return self.process.memory_info().rss / 2**20


def run(command: list[str]) -> Finished:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryFile() as said:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        # Not wait4's figure: it starts at what this process had when it forked.
        peak = 0.0
        while True:
            peak = max(peak, _peak_mib(process.pid))
            try:
                process.wait(0.02)
                break
            except subprocess.TimeoutExpired:
                pass
        seconds = time.monotonic() - started
        said.seek(0)
        if process.returncode not in (0, 3):  # 3: rows without a label, such as empty lines
            raise RuntimeError(f"{command} failed:\n{said.read().decode()}")
    return Finished(seconds, peak)


def _peak_mib(pid: int) -> float:
    """The most that a process has had resident so far; 0 when it has ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def server(command: list[str], port_file: Path) -> Iterator[Running]:
    """Run a server that writes its port to a file once it is ready."""
    port_file.unlink(missing_ok=True)
    started = time.monotonic()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not port_file.exists() or not port_file.read_text().strip():
            if process.poll() is not None:
                raise RuntimeError(f"{command} ended with code {process.returncode}")
            time.sleep(0.005)
        seconds = time.monotonic() - started
        # A worker writes a second line: the port of its admin service.
        ports = port_file.read_text().split()
        yield Running(process, f"localhost:{ports[0]}", f"localhost:{ports[-1]}", seconds)
    finally:
        if process.is_running():
            process.terminate()
            process.wait(60)


def read_sentences(texts: Iterable[Path]) -> list[str]:
    """The lines of files that hold something."""
    lines = (line.strip() for text in texts for line in text.read_text("utf-8").splitlines())
    return [line for line in lines if line]


def machine() -> str:
    """Processor, cores and versions, for the head of a report."""
    cores = len(os.sched_getaffinity(0))
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    names = ("torch", "transformers", "sentence-transformers", "grpcio", "pyarrow")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{model}, {cores} cores, Python {platform.python_version()}; {versions}"
