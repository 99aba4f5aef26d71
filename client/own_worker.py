"""A worker process of our own on the loopback, which ends when this process does."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Self

from .errors import WorkerFailedError

# The model is loaded within seconds, but it may be large, the disk slow and the machine busy. One
# that ends is noticed at once.
_START_SECONDS = 300.0
_STOP_SECONDS = 30.0


class OwnWorker:
    """`twinhead serve` on a free port, ready when this is made.

    It ends with `stop()`, or when this process ends, however that is.
    """

    def __init__(self, *options: str, start_seconds: float = _START_SECONDS) -> None:
        """Start a worker and wait until it is ready.

        Args:
            *options: of `twinhead serve`; those of the addresses are set here.
            start_seconds: how long to wait.

        Raises:
            WorkerFailedError: it did not start; with what it said.
        """
        # Without a name: nothing stays behind, however this process ends.
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        with tempfile.TemporaryDirectory(prefix="twinhead-worker-") as folder:
            port_file = Path(folder, "port")
            self._process = subprocess.Popen(  # noqa: S603
                [
                    *(sys.executable, "-P", "-m", "twinhead.client.with_parent", "serve"),
                    *options,
                    *("--host", "127.0.0.1", "--port", "0"),
                    *("--admin-host", "127.0.0.1", "--admin-port", "0"),
                    *("--port-file", str(port_file)),
                ],
                stdin=subprocess.PIPE,
                stdout=self._log,
                stderr=self._log,
                # What is set here for another worker (certificates, tokens, a port of metrics)
                # would keep us out, or be taken.
                env={k: v for k, v in os.environ.items() if not k.startswith("TWINHEAD_")},
            )
            try:
                port, admin_port = self._wait_for_ports(port_file, start_seconds)
            except BaseException:
                self._process.kill()
                self._close()
                raise
        self.target = f"localhost:{port}"
        """Its address."""
        self.admin_target = f"localhost:{admin_port}"
        """Of its admin service."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def said(self) -> str:
        """What it has written so far, its last 10,000 bytes."""
        self._log.seek(max(0, self._log.seek(0, 2) - 10_000))
        return self._log.read().decode(errors="replace").strip() or "it said nothing"

    def stop(self) -> None:
        """Stop it; what it has accepted is answered first."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._close()

    def _close(self) -> None:
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._log.close()

    def _wait_for_ports(self, port_file: Path, seconds: float) -> list[str]:
        deadline = time.monotonic() + seconds
        while not port_file.exists():
            if not self.running:
                raise WorkerFailedError(f"the worker did not start:\n{self.said()}")
            if time.monotonic() > deadline:
                raise WorkerFailedError(
                    f"the worker was not ready after {seconds:g} s:\n{self.said()}"
                )
            time.sleep(0.05)
        return port_file.read_text().split()
