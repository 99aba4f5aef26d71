"""A worker under full load for long: its memory, its speed and what fails.

    python bench/soak.py TEXT... [--minutes 60] [--serve "OPTIONS"]

Two endless streams and four unary callers on loopback, with batches of one to 64 of the files'
lines (a sentence on each), so that passes of all shapes come up. Each answer is checked for its
number of rows and for finite embeddings. Prints a line for each sixtieth of the time, and how
memory grew over the second half. Exits with 1 when anything failed.
"""

import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
from processes import TWINHEAD, Running, machine, server
from twinhead.client import Client, TwinheadError
from twinhead.client.results import InferResult

STREAMS, CALLERS, MOST_ROWS, LINES = 2, 4, 64, 60


class Load:
    """Callers, and what they saw."""

    def __init__(self, target: str, sentences: Sequence[str]) -> None:
        self._target = target
        self._sentences = sentences
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.rows = 0
        self.failures: Counter[str] = Counter()

    def run(self) -> list[threading.Thread]:
        """Begin."""
        work = [self._stream] * STREAMS + [self._calls] * CALLERS
        threads = [
            threading.Thread(target=each, args=(seed,), daemon=True)
            for seed, each in enumerate(work)
        ]
        for thread in threads:
            thread.start()
        return threads

    def stop(self, threads: Sequence[threading.Thread]) -> None:
        """End, with all answers."""
        self._stop.set()
        for thread in threads:
            thread.join(60)

    def _batches(self, seed: int) -> Iterator[list[str]]:
        rng = random.Random(seed)
        while not self._stop.is_set():
            yield rng.sample(self._sentences, rng.randint(1, MOST_ROWS))

    def _stream(self, seed: int) -> None:
        try:
            with Client(self._target) as client:
                for result in client.infer_stream(self._batches(seed)):
                    self._note(result)
        except TwinheadError as error:
            self._note(error)

    def _calls(self, seed: int) -> None:
        with Client(self._target) as client:
            for batch in self._batches(seed):
                try:
                    self._note(client.infer(batch[: 1 + len(batch) // 8]))
                except TwinheadError as error:
                    self._note(error)

    def _note(self, result: InferResult | Exception) -> None:
        with self._lock:
            if isinstance(result, Exception):
                self.failures[str(result)] += 1
                return
            self.rows += len(result.statuses)
            embeddings = result.embeddings
            if embeddings is None or len(embeddings) != len(result.statuses):
                self.failures["rows are missing"] += 1
            elif not np.isfinite(embeddings).all():
                self.failures["an embedding is not finite"] += 1


@click.command(help=__doc__)
@click.argument("texts", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--minutes", default=60.0, show_default=True)
@click.option("--serve", "options", default="", help="Options of `twinhead serve`.")
def main(texts: Sequence[Path], minutes: float, options: str) -> None:
    """Run and print."""
    click.echo(machine())
    lines = [line.strip() for text in texts for line in text.read_text("utf-8").splitlines()]
    sentences = [line for line in lines if line]
    with tempfile.TemporaryDirectory() as name:
        port_file = Path(name) / "port"
        command = [*TWINHEAD, "serve", "--port", "0", "--port-file", str(port_file)]
        with server([*command, *options.split()], port_file) as worker:
            failures = soak(worker, sentences, minutes * 60)
    sys.exit(bool(failures))


def soak(worker: Running, sentences: Sequence[str], seconds: float) -> Counter[str]:
    """Load a worker."""
    load = Load(worker.target, sentences)
    click.echo(f"ready: {worker.resident_mib():.0f} MiB")
    threads = load.run()
    started, before, memory = time.monotonic(), 0, []
    for number in range(1, LINES + 1):
        time.sleep(max(0.0, started + number * seconds / LINES - time.monotonic()))
        memory.append(worker.resident_mib())
        rate = (load.rows - before) / (seconds / LINES)
        before = load.rows
        click.echo(
            f"{number * seconds / LINES / 60:5.1f} min: {memory[-1]:5.0f} MiB, {rate:5.0f} "
            f"sentences/s, {load.failures.total()} failed"
        )
    load.stop(threads)
    half = memory[LINES // 2 :]
    hours = np.arange(len(half)) * seconds / LINES / 3600
    slope = np.polyfit(hours, half, 1)[0]
    click.echo(
        f"{load.rows:,} sentences, failures: {dict(load.failures)}; memory at most "
        f"{max(memory):.0f} MiB, median of the second half {statistics.median(half):.0f} MiB, "
        f"{slope:+.0f} MiB an hour"
    )
    return load.failures


if __name__ == "__main__":
    main()
