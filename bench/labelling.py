"""The bulk labeller: how fast it is, what it takes, and that no kill changes what it writes.

    python bench/labelling.py speed TEXT [--rows 1000000]
        the client alone, against a worker that computes nothing
    python bench/labelling.py kills TEXT [--rows 20000] [--times 5]
        client and worker killed at random moments; the output beside that of a quiet run
    python bench/labelling.py workers TEXT [--rows 20000]
        one worker of two threads beside two of one thread each

TEXT has one sentence a line.
"""

import csv
import hashlib
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import pyarrow.parquet as pq
from processes import TWINHEAD, Running, machine, read_sentences, run, server

_text = click.argument("text", type=click.Path(exists=True, path_type=Path))


@click.group(help=__doc__)
def main() -> None:
    """See the module."""


@main.command()
@_text
@click.option("--rows", default=1_000_000, show_default=True)
def speed(text: Path, rows: int) -> None:
    """CSV in, Parquet out, with and without embeddings: rows a second and peak memory."""
    click.echo(machine())
    measure_speed(read_sentences([text]), rows)


def measure_speed(sentences: Sequence[str], rows: int) -> None:
    """Label many rows by a worker that computes nothing, and print what that takes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "many.csv"
        # No two alike: nothing is saved by sending texts once.
        _write(source, (f"{sentences[n % len(sentences)]} {n}" for n in range(rows)))
        click.echo(f"{rows:,} rows, {source.stat().st_size / 1e6:.0f} MB of CSV")
        port = folder / "port"
        echo = [sys.executable, str(Path(__file__).with_name("echo_worker.py")), str(port)]
        with server(echo, port) as worker:
            for kind, options in (("labels only", []), ("with embeddings", ["--embeddings"])):
                target = folder / "out.parquet"
                label = [*TWINHEAD, "label", str(source), "-o", str(target)]
                done = run([*label, "--worker", worker.target, *options])
                written = pq.ParquetFile(target).metadata.num_rows
                if written != rows:
                    raise RuntimeError(f"{written} rows were written, not {rows}")
                click.echo(
                    f"{kind}: {done.seconds:.1f} s, {rows / done.seconds:,.0f} rows/s, peak "
                    f"{done.peak_mib:.0f} MiB, {target.stat().st_size / 1e6:,.0f} MB of Parquet"
                )


@main.command()
@_text
@click.option("--rows", default=20_000, show_default=True)
@click.option("--times", default=5, show_default=True, help="Kills of each, client and worker.")
@click.option("--seed", default=1, show_default=True)
@click.option("--serve", "options", default="", help="Options of `twinhead serve`.")
def kills(text: Path, rows: int, times: int, seed: int, options: str) -> None:
    """Kill -9 of client and worker at random moments, then the same command to its end."""
    click.echo(machine())
    rng = random.Random(seed)
    sentences = _sample(text, rows, rng)
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        source = folder / "in.csv"
        _write(source, sentences)
        worker = _start(running, folder, options)
        command = [*TWINHEAD, "label", str(source), "--embeddings", "--worker", worker.target]
        quiet = run([*command, "-o", str(folder / "quiet.csv")])
        click.echo(f"quiet: {rows:,} rows in {quiet.seconds:.0f} s")
        command += ["-o", str(folder / "killed.csv")]
        port = worker.target.rpartition(":")[2]
        ends = ["client"] * times + ["worker"] * times
        rng.shuffle(ends)
        started = time.monotonic()
        client = _begin(command)
        for end in ends:
            # So that each falls into a run that goes on, and all of them before its end.
            time.sleep(rng.uniform(0.2, 0.7) * quiet.seconds / len(ends))
            if client.poll() is not None:
                raise RuntimeError(f"the run was over before all kills: {client.communicate()}")
            (client if end == "client" else worker.process).kill()
            kept = (folder / "killed.csv.journal").stat().st_size
            click.echo(f"{time.monotonic() - started:5.1f} s: {end} killed, {kept:,} bytes kept")
            if end == "client":
                client.wait()
                client = _begin(command)
            else:
                worker.process.wait()
                worker = _start(running, folder, options, port)
        said = client.communicate()[1].decode()
        click.echo(f"{time.monotonic() - started:5.1f} s: done, exit code {client.returncode}")
        click.echo(said.strip().splitlines()[0] if said.strip() else "")
        for suffix in ("csv", "npy"):
            digests = {
                hashlib.sha256((folder / f"{kind}.{suffix}").read_bytes()).hexdigest()
                for kind in ("quiet", "killed")
            }
            same = "identical" if len(digests) == 1 else "NOT THE SAME"
            click.echo(f"{suffix}: {same} to the quiet run's, byte by byte")
        if list(folder.glob("killed*.partial")) or list(folder.glob("*.journal")):
            raise RuntimeError(f"something was left behind: {list(folder.iterdir())}")


@main.command()
@_text
@click.option("--rows", default=20_000, show_default=True)
def workers(text: Path, rows: int) -> None:
    """The same rows by one worker and by two, on the same cores."""
    click.echo(machine())
    sentences = _sample(text, rows, random.Random(1))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in.csv"
        _write(source, sentences)
        for count in (1, 2):
            with ExitStack() as running:
                started = [
                    _start(running, folder / str(number), f"--threads {2 // count}")
                    for number in range(count)
                ]
                targets = itertools.chain.from_iterable(
                    ("--worker", each.target) for each in started
                )
                target = folder / f"by{count}.csv"
                done = run([*TWINHEAD, "label", str(source), "-o", str(target), *targets])
                with target.open(encoding="utf-8", newline="") as stream:
                    written = list(csv.DictReader(stream))
                if [row["id"] for row in written] != [str(number) for number in range(rows)]:
                    raise RuntimeError("rows are missing, twice there, or out of order")
                if [row["text"] for row in written] != sentences:
                    raise RuntimeError("texts are not at their rows")
                labels = Counter(row["topic"] for row in written)
                click.echo(
                    f"{count} worker(s): {done.seconds:.1f} s, {rows / done.seconds:.0f} rows/s; "
                    f"each of {rows:,} rows once, in order; {dict(labels)}"
                )


def _sample(text: Path, rows: int, rng: random.Random) -> list[str]:
    sentences = list(dict.fromkeys(read_sentences([text])))
    if len(sentences) < rows:
        raise click.UsageError(f"{text} has {len(sentences)} different lines, not {rows}")
    return rng.sample(sentences, rows)


def _write(source: Path, sentences) -> None:
    with source.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text"])
        writer.writerows(enumerate(sentences))


def _start(running: ExitStack, folder: Path, options: str, port: str = "0") -> Running:
    folder.mkdir(exist_ok=True)
    port_file = folder / "port"
    command = [*TWINHEAD, "serve", "--port", port, "--admin-port", "0"]
    command += ["--port-file", str(port_file), *options.split()]
    return running.enter_context(server(command, port_file))


def _begin(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


if __name__ == "__main__":
    main()
