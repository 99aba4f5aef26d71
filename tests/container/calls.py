"""What callers ask of workers in containers."""

import csv
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from conftest import ROOT, TWINHEAD
from container.containers import Container, Mount
from container.images import Image

READY = "INFO ready on"
_EXAMPLES = ROOT / "examples" / "sentences.csv"
PLAINTEXT = {"TWINHEAD_ALLOW_PLAINTEXT": "true", "TWINHEAD_METRICS_PORT": "9100"}
"""Settings of a worker whose network is a loopback of its own."""
QUICK = {**PLAINTEXT, "TWINHEAD_ENGINE": "torch"}
"""The same, for what any engine shows: this one starts sooner."""
_READ = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9100/metrics").read().decode())
"""


def metric(worker: Container, name: str) -> str:
    """What a metric says: its labels, if it has any, and its value."""
    read = worker.run("python", "-c", _READ)
    found = re.search(rf"^{name}\b(.+)$", read.stdout, re.M)
    assert found, f"no {name} in {read.stdout}{read.stderr}"
    return found[1].strip()


def label(
    start: Callable[..., Container],
    client: Image,
    worker: Container,
    data: Mount,
    *,
    mounts: Sequence[Mount] = (),
    environment: Mapping[str, str] | None = None,
) -> list[dict[str, str]]:
    """The example sentences with what a worker says of them, by way of the client's image."""
    (data.host / "in.csv").write_bytes(_EXAMPLES.read_bytes())
    output = f"out-{time.monotonic_ns()}.csv"
    labeller = start(
        client,
        *("label", "in.csv", "-o", output),
        mounts=[data, *mounts],
        environment=environment,
        beside=worker,
    )
    assert labeller.wait(240) == 0, labeller.said()
    return read_rows(data.host / output)


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a file."""
    with file.open(encoding="utf-8") as rows:
        return list(csv.DictReader(rows))


def push(worker: Container, checkpoint: Path, *options: str) -> None:
    """Push a checkpoint from this machine, by way of the container's own network."""
    done = worker.enter_network([*TWINHEAD, "push", str(checkpoint), *options])
    assert done.returncode == 0, done.stderr + done.stdout
