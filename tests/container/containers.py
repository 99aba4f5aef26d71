"""Containers, run by runc the way that careful people run them."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from container.images import Image

_STOP_SECONDS = 60.0
USER = 65532
"""The image's."""


@dataclass(frozen=True)
class Mount:
    """A folder of the host in a container."""

    host: Path
    place: str
    writable: bool = False

    def stated(self) -> dict[str, Any]:
        """As runc wants it."""
        options = ["bind", "rw" if self.writable else "ro"]
        return {"destination": self.place, "source": str(self.host), "options": options}


@dataclass(frozen=True)
class Memory:
    """A folder in memory in a container, with a bound."""

    place: str
    size: str

    def stated(self) -> dict[str, Any]:
        """As runc wants it."""
        options = ["nosuid", "nodev", f"uid={USER}", f"size={self.size}"]
        kind = {"type": "tmpfs", "source": "tmpfs", "options": options}
        return {"destination": self.place, **kind}


class Container:
    """A container without capabilities, on a root file system that cannot be written.

    Its network is a loopback of its own, which nobody outside can reach, or another container's,
    as in a pod.
    """

    def __init__(
        self,
        folder: Path,
        image: Image,
        *arguments: str,
        entry_point: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[Mount | Memory] = (),
        beside: "Container | None" = None,
        user: int = USER,
        cores: float = 0,
    ) -> None:
        """Start a container.

        Args:
            folder: is made, for what is known of the container.
            image: what to run.
            *arguments: of the entry point; without any, the image's own.
            entry_point: in place of the image's.
            environment: variables, beside the image's.
            mounts: what it sees beside the image.
            beside: one whose network it shares.
            user: its number, and its group's.
            cores: share of the processor that it may take; 0 for all.
        """
        folder.mkdir()
        self._name = f"twinhead-{folder.name}-{time.monotonic_ns()}"
        self._bundle = folder
        self._runc = ["runc", "--root", str(folder / "runc")]
        self._log = folder / "said"
        command = [*(entry_point or image.config["Entrypoint"])]
        command += arguments or image.config["Cmd"]
        spec = self._spec(image, command, environment or {}, mounts)
        spec["process"]["user"] = {"uid": user, "gid": user}
        if beside is not None:
            networks = [each for each in spec["linux"]["namespaces"] if each["type"] == "network"]
            networks[0]["path"] = f"/proc/{beside.pid}/ns/net"
        if cores:
            spec["linux"]["resources"]["cpu"] = {"quota": int(cores * 100_000), "period": 100_000}
        (folder / "config.json").write_text(json.dumps(spec))
        self.started = time.monotonic()
        with self._log.open("wb") as said:
            self._process = subprocess.Popen(
                [*self._runc, "run", "--bundle", str(folder), self._name],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def _spec(
        self,
        image: Image,
        command: Sequence[str],
        environment: Mapping[str, str],
        mounts: Sequence[Mount | Memory],
    ) -> dict[str, Any]:
        subprocess.run([*self._runc, "spec", "--bundle", self._bundle], check=True)
        spec: dict[str, Any] = json.loads((self._bundle / "config.json").read_text())
        config = image.config
        spec["root"] = {"path": str(image.root), "readonly": True}
        spec["process"] |= {
            "terminal": False,
            "noNewPrivileges": True,
            "capabilities": {},
            "args": command,
            "env": [*config["Env"], *(f"{name}={value}" for name, value in environment.items())],
            "cwd": config["WorkingDir"],
        }
        spec["mounts"] += [mount.stated() for mount in mounts]
        return spec

    @property
    def pid(self) -> int:
        """Of its first process, outside of it."""
        return self._state()["pid"]

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def said(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float = 120.0) -> float:
        """Wait until it has written something; returns the seconds since it was started."""
        deadline = time.monotonic() + seconds
        while text not in self.said():
            assert self.running, f"it ended before it said {text!r}:\n{self.said()}"
            assert time.monotonic() < deadline, f"it never said {text!r}:\n{self.said()}"
            time.sleep(0.02)
        return time.monotonic() - self.started

    def run(self, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, as `docker exec` and probes do."""
        options = [f"--env={name}={value}" for name, value in variables.items()]
        return subprocess.run(
            [*self._runc, "exec", *options, self._name, *command],
            capture_output=True,
            text=True,
            timeout=120,
        )

    def enter_network(self, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        """Run a command of the host in its network."""
        enter = ["nsenter", f"--net=/proc/{self.pid}/ns/net"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, timeout=240)

    def signal(self, number: signal.Signals) -> None:
        """Send its first process a signal."""
        subprocess.run([*self._runc, "kill", self._name, number.name], check=True)

    def wait(self, seconds: float = _STOP_SECONDS) -> int:
        """Wait for its end; returns the exit code."""
        return self._process.wait(seconds)

    def remove(self) -> None:
        """End it, if it has not ended, and forget it."""
        if self.running:
            subprocess.run([*self._runc, "delete", "--force", self._name], check=True)
        self._process.wait(_STOP_SECONDS)
        shutil.rmtree(self._bundle)

    def _state(self) -> dict[str, Any]:
        done = subprocess.run([*self._runc, "state", self._name], capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stderr}\n{self.said()}"
        return json.loads(done.stdout)
