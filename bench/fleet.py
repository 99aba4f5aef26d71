"""A fleet in rehearsal: a bulk job while a version is published and workers come and go.

    python bench/fleet.py TEXT [--rows 40000]

Three workers follow one model store, each on an address of its own of this machine's loopback, and
one name stands for all of them, as that of a headless Service does. `twinhead label` balances over
the name. While it runs, a version is published, one worker is killed with SIGKILL, one is drained,
and a new one is added. Then it is looked whether a row was lost or doubled, and who serves what.

The name is in a hosts file that only these processes see (a mount namespace of their own, so this
needs root or unprivileged user namespaces). TEXT has one sentence a line.
"""

import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import click
import psutil
from hot_swap import HEADS, changed
from processes import TWINHEAD, machine, read_sentences
from twinhead.client import AdminClient, Client, TwinheadError
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.starter import checkpoint_folder

NAME = "twinhead-fleet"
PORT, ADMIN_PORT = 50551, 50552
WORKERS = 3
# One is alone for a while, with all the work.
STREAMS = 2 * WORKERS
WATCH_SECONDS = 2.0
# Of the rows, when something happens.
PUBLISH, KILL, DRAIN, ADD = 0.15, 0.3, 0.45, 0.55


@dataclass
class Member:
    """A worker of the fleet."""

    number: int
    process: psutil.Popen
    sentences: int = 0
    """That it has answered, when it was last asked."""

    @property
    def address(self) -> str:
        """Of its own on loopback."""
        return f"127.0.0.{10 + self.number}"

    def look(self) -> None:
        """Ask it how much it has done."""
        with AdminClient(f"{self.address}:{ADMIN_PORT}", timeout=5) as client:
            self.sentences = client.status().sentences

    def version(self) -> str:
        """The version that is live on it."""
        with Client(f"{self.address}:{PORT}", timeout=5) as client:
            return client.model().version


class Fleet:
    """Workers that follow one store, behind one name."""

    def __init__(self, folder: Path, store: Path) -> None:
        self._folder = folder
        self._store = store
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._gone = 0
        self.members: dict[int, Member] = {}

    def say(self, text: str) -> None:
        """Print when what happened."""
        click.echo(f"{time.monotonic() - self._started:6.1f} s  {text}")

    def add(self, numbers: Sequence[int]) -> None:
        """Start workers and wait until they serve; then the name stands for them, too."""
        for number in numbers:
            folder = self._folder / f"worker-{number}"
            folder.mkdir()
            address = f"127.0.0.{10 + number}"
            command = [*TWINHEAD, "serve", "--host", address, "--admin-host", address]
            command += ["--port", str(PORT), "--admin-port", str(ADMIN_PORT), "--threads", "1"]
            command += ["--state", str(folder / "state"), "--port-file", str(folder / "port")]
            command += ["--watch", str(self._store), "--watch-seconds", str(WATCH_SECONDS)]
            with (folder / "log").open("wb") as log:
                process = psutil.Popen(command, stdout=log, stderr=log)
            with self._lock:
                self.members[number] = Member(number, process)
        for number in numbers:
            while not (self._folder / f"worker-{number}/port").exists():
                if self.members[number].process.poll() is not None:
                    raise RuntimeError((self._folder / f"worker-{number}/log").read_text())
                time.sleep(0.05)
        self._write_hosts()

    def remove(self, number: int, how: signal.Signals) -> int:
        """End a worker, and take it out of the name; returns its exit code."""
        with self._lock:
            member = self.members.pop(number)
        if how is signal.SIGTERM:
            self._write_hosts()  # as Kubernetes does: first out of the Service, then the signal
        member.process.send_signal(how)
        code = member.process.wait(60)
        with self._lock:
            self._gone += member.sentences
        self._write_hosts()
        return code

    def _write_hosts(self) -> None:
        """Say which addresses the name stands for."""
        with self._lock:
            lines = [f"{member.address} {NAME}\n" for member in self.members.values()]
        Path("/etc/hosts").write_text("".join(["127.0.0.1 localhost\n", *lines]))

    def answered(self) -> int:
        """Sentences that the fleet has answered, as far as it is known."""
        with self._lock:
            members = list(self.members.values())
        for member in members:
            with suppress(TwinheadError):  # it goes away, or is busy with itself
                member.look()
        return self._gone + sum(member.sentences for member in members)

    def versions(self) -> dict[int, str]:
        """What is live on each worker."""
        with self._lock:
            members = list(self.members.values())
        return {member.number: member.version() for member in members}

    def stop(self) -> None:
        """End all workers."""
        for member in self.members.values():
            if member.process.poll() is None:
                member.process.terminate()
        for member in self.members.values():
            member.process.wait(60)


@click.command(help=__doc__)
@click.argument("text", type=click.Path(exists=True, path_type=Path))
@click.option("--rows", default=40_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--inside", is_flag=True, hidden=True)
def main(text: Path, rows: int, seed: int, inside: bool) -> None:
    """See the module."""
    if not inside:
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        command = ["unshare", "--mount", *as_root, sys.executable, *sys.argv, "--inside"]
        sys.exit(subprocess.call(command))
    click.echo(machine())
    with tempfile.TemporaryDirectory() as name, ExitStack() as ending:
        folder = Path(name)
        hosts = folder / "hosts"
        hosts.touch()
        subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)
        ending.callback(subprocess.run, ["umount", "/etc/hosts"], check=True)
        rehearse(folder, read_sentences([text]), rows, random.Random(seed), ending)


def rehearse(
    folder: Path, lines: Sequence[str], rows: int, rng: random.Random, ending: ExitStack
) -> None:
    """Do all of it.

    Raises:
        RuntimeError: a row was lost, doubled or has no answer, or a worker has another version.
    """
    store = folder / "store"
    store.mkdir()
    source, target = folder / "in.csv", folder / "out.csv"
    # No two alike: nothing is saved by sending texts once.
    texts = [f"{rng.choice(lines)} {number}" for number in range(rows)]
    with source.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text"])
        writer.writerows(enumerate(texts))
    base = Checkpoint.load(checkpoint_folder("starter"))
    new = changed(base, HEADS, seed=2)
    new.save(folder / "new")

    fleet = Fleet(folder, store)
    ending.callback(fleet.stop)
    fleet.add(range(1, WORKERS + 1))
    fleet.say(f"{WORKERS} workers serve version {base.version}; the job begins: {rows:,} rows")
    label = [*TWINHEAD, "label", str(source), "-o", str(target), "--worker"]
    label += [f"dns:///{NAME}:{PORT}", "--streams", str(STREAMS)]
    with (folder / "label.log").open("wb") as log:
        job = subprocess.Popen(label, stdout=log, stderr=log)
    ending.callback(job.kill)
    begun = time.monotonic()

    def when(share: float, what: Callable[[], None]) -> None:
        while fleet.answered() < share * rows:
            if job.poll() is not None:
                raise RuntimeError(
                    f"the job ended before all was done to it; use more --rows:\n"
                    f"{(folder / 'label.log').read_text()}"
                )
            time.sleep(0.2)
        what()

    converged: list[float] = []

    def publish() -> None:
        command = [*TWINHEAD, "push", str(folder / "new"), "--publish", str(store)]
        publishing = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while set(fleet.versions().values()) != {new.version}:
            time.sleep(0.02)
        # It is published when this file names it; the command ends later.
        converged.append(time.time() - (store / "live.json").stat().st_mtime)
        if publishing.wait(60):
            raise RuntimeError("nothing could be published")
        fleet.say(f"all serve version {new.version}, {converged[0]:.1f} s after it was published")

    when(PUBLISH, publish)
    when(KILL, lambda: fleet.say(f"worker 2 is killed: {fleet.remove(2, signal.SIGKILL)}"))
    when(DRAIN, lambda: fleet.say(f"worker 3 has drained: {fleet.remove(3, signal.SIGTERM)}"))
    when(ADD, lambda: fleet.add([4]) or fleet.say("worker 4 is added, and serves"))
    code = job.wait()
    seconds = time.monotonic() - begun
    fleet.answered()
    by_worker = {member.number: member.sentences for member in fleet.members.values()}
    fleet.say(f"the job has ended with code {code}; sentences of those that are left: {by_worker}")
    if code:
        raise RuntimeError((folder / "label.log").read_text())
    click.echo((folder / "label.log").read_text())
    with target.open(encoding="utf-8", newline="") as stream:
        written = list(csv.DictReader(stream))
    if [(row["id"], row["text"]) for row in written] != [(str(n), t) for n, t in enumerate(texts)]:
        raise RuntimeError("rows are missing, twice there, or out of order")
    without = sum(not row["topic"] for row in written)
    versions = fleet.versions()
    if without or set(versions.values()) != {new.version} or not converged:
        raise RuntimeError(f"{without} rows without a label; versions {versions}")
    counts = Counter(row["model_version"] for row in written)
    click.echo(
        f"{rows:,} rows in {seconds:.0f} s ({rows / seconds:.0f} rows/s): each once and in order, "
        f"all with labels; by version {dict(counts)}\n"
        f"three workers converged in {converged[0]:.1f} s (they look every {WATCH_SECONDS:.0f} s); "
        f"all that are left serve {new.version}"
    )


if __name__ == "__main__":
    main()
