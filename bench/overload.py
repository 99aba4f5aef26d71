"""A worker with ten times the load it can bear, told to end under load, and killed under load.

    python bench/overload.py load TEXT...     goodput and memory at 10 x
    python bench/overload.py ends TEXT...     SIGTERM and kill -9 under load

Load comes from a process of its own, on the same cores as the worker, and at a given rate whatever
the worker answers (an open loop): callers do not become fewer because they are refused.
"""

import asyncio
import itertools
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import click
import grpc
from processes import TWINHEAD, Running, machine, read_sentences, server
from twinhead.client import AdminClient, Client, TwinheadError
from twinhead.v1 import inference_service_pb2 as pb

ROWS, SECONDS, ROUNDS = 16, 30.0, 3
# Until the queue is full, and what waits in it has been waiting for as long as it will.
WARM_SECONDS = 20.0


@click.group(help=__doc__)
def main() -> None:
    """See the module."""


_texts = click.argument(
    "texts", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)


@main.command()
@_texts
@click.option("--serve", "options", default="", help="Options of `twinhead serve`.")
def load(texts: tuple[Path, ...], options: str) -> None:
    """Goodput with callers who wait for each other, and with 10 x as many sentences as that."""
    click.echo(machine())
    ratios: list[float] = []
    with tempfile.TemporaryDirectory() as name, _worker(Path(name), options) as worker:
        for _ in range(ROUNDS):
            peak = _offer(worker, texts, 0, SECONDS)
            flood = _offer(worker, texts, 10 * peak["goodput"], SECONDS)
            ratios.append(flood["goodput"] / peak["goodput"])
            click.echo(
                f"peak {peak['goodput']:.0f} sentences/s (p50 {peak['p50']:.0f} ms); offered "
                f"{flood['offered']:.0f}/s: {flood['goodput']:.0f} ({ratios[-1]:.0%}), answered in "
                f"{flood['p50']:.0f} ms, {flood['p99']:.0f} at the 99th percentile; refused "
                f"{flood['codes'].get('RESOURCE_EXHAUSTED', 0):,} in {flood['refused_p50']:.1f} ms "
                f"(99th {flood['refused_p99']:.0f}); {flood['codes']}; "
                f"{worker.resident_mib():.0f} MiB"
            )
        with AdminClient(worker.admin_target) as admin:
            status = admin.status()
        click.echo(
            f"goodput at 10 x the peak: {statistics.median(ratios):.0%} of it, median of {ROUNDS}; "
            f"afterwards {status.calls} calls, {status.queue_tokens} tokens, "
            f"{worker.resident_mib():.0f} MiB"
        )


def _offer(worker: Running, texts: tuple[Path, ...], rate: float, seconds: float) -> dict:
    command = [sys.executable, __file__, "offer", worker.target, str(rate), str(seconds)]
    done = subprocess.run([*command, *map(str, texts)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@main.command(hidden=True)
@click.argument("target")
@click.argument("rate", type=float)
@click.argument("seconds", type=float)
@_texts
def offer(target: str, rate: float, seconds: float, texts: tuple[Path, ...]) -> None:
    """Offer sentences at a rate; 0: as many as 64 callers get answered who wait for each other."""
    sentences = read_sentences(texts)
    rng = random.Random(1)
    batches = [
        pb.InferRequest(sentences=rng.sample(sentences, ROWS)).SerializeToString()
        for _ in range(500)
    ]
    print(json.dumps(asyncio.run(_offered(target, rate, seconds, batches))))


async def _offered(target: str, rate: float, seconds: float, batches: list[bytes]) -> dict:
    codes: Counter[str] = Counter()
    answered: list[float] = []
    refused: list[float] = []
    source = itertools.cycle(batches)
    # Nobody repeats what was refused: the rate is what it is.
    options = [("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        infer = channel.unary_unary("/twinhead.v1.InferenceService/Infer")
        began = time.monotonic()

        async def one() -> None:
            started = time.monotonic()
            try:
                await infer(next(source), timeout=30)
            except grpc.aio.AioRpcError as error:
                codes[error.code().name] += 1
                refused.append(time.monotonic() - started)
                return
            ended = time.monotonic()
            codes["OK"] += 1
            if WARM_SECONDS <= ended - began < WARM_SECONDS + seconds:
                answered.append(ended - started)

        async def caller() -> None:
            while time.monotonic() - began < WARM_SECONDS + seconds:
                await one()

        offered = 0
        if rate:
            tasks = set()
            while (now := time.monotonic() - began) < WARM_SECONDS + seconds:
                while offered * ROWS < rate * now:
                    task = asyncio.create_task(one())
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    offered += 1
                await asyncio.sleep(0.005)
            await asyncio.gather(*tasks)
        else:
            await asyncio.gather(*(caller() for _ in range(64)))
    return {
        "goodput": len(answered) * ROWS / seconds,
        "offered": offered * ROWS / (WARM_SECONDS + seconds),
        "p50": _percentile(answered, 50),
        "p99": _percentile(answered, 99),
        "refused_p50": _percentile(refused, 50),
        "refused_p99": _percentile(refused, 99),
        "codes": dict(codes),
    }


def _percentile(seconds: list[float], share: int) -> float:
    """In milliseconds."""
    if len(seconds) < 2:
        return 0.0
    return statistics.quantiles(seconds, n=100)[share - 1] * 1000


@main.command()
@_texts
@click.option("--times", default=5, show_default=True, help="Of each end.")
@click.option("--serve", "options", default="", help="Options of `twinhead serve`.")
def ends(texts: tuple[Path, ...], times: int, options: str) -> None:
    """End a worker under load again and again, and start it again on its port."""
    click.echo(machine())
    sentences = read_sentences(texts)
    with tempfile.TemporaryDirectory() as name:
        for number in (signal.SIGTERM, signal.SIGKILL):
            calls = _EndlessCalls(sentences)
            codes: Counter[int] = Counter()
            port = 0
            for turn in range(times + 1):
                with _worker(Path(name), options, port) as worker:
                    port = int(worker.target.rpartition(":")[2])
                    if turn == 0:
                        calls.start(worker.target)
                    seen = calls.answered
                    while calls.answered < seen + 30:
                        time.sleep(0.05)
                    if turn < times:
                        worker.process.send_signal(number)
                        codes[worker.process.wait(60)] += 1
                    else:
                        calls.stop()
            click.echo(
                f"{number.name} {times} times under load, started again each time: "
                f"{calls.answered:,} batches answered, each once and in order; failed: "
                f"{dict(calls.failures) or 'none'}; exit codes {dict(codes)}"
            )


class _EndlessCalls:
    """Unary callers and streams of the shipped client, which ride out an end of the worker."""

    def __init__(self, sentences: list[str]) -> None:
        self._sentences = sentences
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.answered = 0
        self.failures: Counter[str] = Counter()

    def start(self, target: str) -> None:
        """Begin."""
        for number in range(6):
            work = self._unary if number < 4 else self._stream
            self._threads.append(threading.Thread(target=work, args=(target, number)))
            self._threads[-1].start()

    def stop(self) -> None:
        """End, with all answers."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _batches(self, seed: int):
        rng = random.Random(seed)
        while not self._stop.is_set():
            yield rng.sample(self._sentences, rng.randint(1, 32))

    def _note(self, batch: list[str], result: object) -> None:
        with self._lock:
            if isinstance(result, TwinheadError):
                self.failures[str(result)] += 1
            elif len(result.statuses) != len(batch):
                self.failures["rows are missing"] += 1
            else:
                self.answered += 1

    def _unary(self, target: str, seed: int) -> None:
        with Client(target) as client:
            for batch in self._batches(seed):
                try:
                    self._note(batch, client.infer(batch))
                except TwinheadError as error:
                    self._note(batch, error)

    def _stream(self, target: str, seed: int) -> None:
        sent: list[list[str]] = []

        def batches():
            for batch in self._batches(seed):
                sent.append(batch)
                yield batch

        with Client(target) as client:
            given = 0
            try:
                for result in client.infer_stream(batches()):
                    self._note(sent[given], result)
                    given += 1
            except TwinheadError as error:
                self._note([], error)
            if given != len(sent):
                self.failures[f"{len(sent) - given} batches of a stream without an answer"] += 1


def _worker(folder: Path, options: str, port: int = 0):
    port_file = folder / "port"
    command = [*TWINHEAD, "serve", "--port", str(port), "--admin-port", "0"]
    return server([*command, "--port-file", str(port_file), *options.split()], port_file)


if __name__ == "__main__":
    main()
