"""A worker under everything at once, for long: load, swaps, hostile callers, lost connections.

    python bench/soak.py TEXT... [--minutes 30] [--serve "OPTIONS"]

All on loopback, beside each other, for the chosen time: two endless streams and four unary callers
with batches of one to 64 of the files' lines, two versions that go live in turn every five seconds,
a caller of hostile requests (bench/hostile.py) and one of hostile connections, callers who cancel,
abandon their streams, do not read their answers, or vanish without a word. Every answer is checked
for its number of rows, for finite embeddings and for a known version; every hostile request for its
status. After a minute and at the end, with all callers gone, what the worker still holds is told.
Exits with 1 when anything failed, or does not come to rest.
"""

import itertools
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import grpc
import hostile
import numpy as np
from hot_swap import HEADS, changed
from processes import TWINHEAD, Running, machine, read_sentences, server
from twinhead.client import AdminClient, Client, TwinheadError
from twinhead.client.results import InferResult
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.starter import checkpoint_folder
from twinhead.trainer.push import PushOptions, push_checkpoint
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub

STREAMS, CALLERS, MOST_ROWS = 2, 4, 64
SWAP_SECONDS = 5.0
FUZZERS, FUZZ = 6, 20_000
# A worker gives memory back some seconds after its last caller.
REST_SECONDS = 12
CANCELLED, ABANDONED, SLOW, HALF_OPEN = 1000, 200, 20, 50


class Soak:
    """Everything that happens to a worker, and what went wrong."""

    def __init__(
        self, worker: Running, sentences: Sequence[str], seconds: float, share: float
    ) -> None:
        """Prepare; of what is counted, a share happens."""
        self._share = share
        self._worker = worker
        self._sentences = sentences
        self._seconds = seconds
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.versions: set[str] = set()

    def run(self) -> None:
        """Do it all, for the time."""
        work: list[tuple[Callable[..., None], int]] = [
            *((self._stream, number) for number in range(STREAMS)),
            *((self._calls, STREAMS + number) for number in range(CALLERS)),
            (self._swap, 0),
            *((self._fuzz, number) for number in range(FUZZERS)),
            (self._attack, 0),
            (self._cancel, 50),
            (self._abandon, 60),
            (self._read_slowly, 70),
            (self._vanish, 80),
        ]
        threads = [threading.Thread(target=self._guarded, args=each) for each in work]
        for thread in threads:
            thread.start()
        started = time.monotonic()
        lines = 60
        rows = 0
        for number in range(1, lines + 1):
            time.sleep(max(0.0, started + number * self._seconds / lines - time.monotonic()))
            now, rows = rows, self.counts["sentences"]
            click.echo(
                f"{number * self._seconds / lines / 60:5.1f} min: "
                f"{self._worker.resident_mib():5.0f} MiB, "
                f"{(rows - now) * lines / self._seconds:5.0f} sentences/s, "
                f"{self.counts['swaps']} swaps, {self.counts['hostile requests']:,} hostile, "
                f"{self.failures.total()} failed"
            )
        self._stop.set()
        for thread in threads:
            thread.join(180)
            if thread.is_alive():
                self.failures[f"{thread} did not end"] += 1

    def _guarded(self, work: Callable[[int], None], seed: int) -> None:
        try:
            work(seed)
        except Exception as error:
            with self._lock:
                self.failures[f"{work.__name__}: {error!r}"] += 1

    def _paced(self, total: int) -> Iterator[int]:
        """Numbers up to a total, spread over the time."""
        total = max(1, round(total * self._share))
        pause = self._seconds / total
        started = time.monotonic()
        for number in range(total):
            if self._stop.wait(max(0.0, started + number * pause - time.monotonic())):
                return
            yield number

    def _batches(self, seed: int) -> Iterator[list[str]]:
        rng = random.Random(seed)
        while not self._stop.is_set():
            yield rng.sample(self._sentences, rng.randint(1, MOST_ROWS))

    def _stream(self, seed: int) -> None:
        with Client(self._worker.target) as client:
            for result in client.infer_stream(self._batches(seed)):
                self._note(result)

    def _calls(self, seed: int) -> None:
        with Client(self._worker.target) as client:
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
            self.counts["batches"] += 1
            self.counts["sentences"] += len(result.statuses)
            embeddings = result.embeddings
            if embeddings is None or len(embeddings) != len(result.statuses):
                self.failures["rows are missing"] += 1
            elif not np.isfinite(embeddings).all():
                self.failures["an embedding is not finite"] += 1
            if self.versions and result.model_version not in self.versions:
                self.failures["a version that nobody has pushed"] += 1

    def _swap(self, _: int) -> None:
        base = Checkpoint.load(checkpoint_folder("starter"))
        other = changed(base, HEADS, 1, 0.2)
        self.versions = {base.version, other.version}
        for turn in itertools.count():
            if self._stop.wait(SWAP_SECONDS):
                return
            # Each tenth time as a push, else from what is kept in memory.
            if turn % 10 == 0:
                version = other if turn % 20 == 0 else base
                (report,) = push_checkpoint(version, [self._worker.admin_target], PushOptions())
                if not report.live:
                    raise RuntimeError(report.error)
            else:
                with AdminClient(self._worker.admin_target) as admin:
                    admin.activate()
            self.counts["swaps"] += 1

    def _fuzz(self, seed: int) -> None:
        """Hostile requests, and after each tenth a good one that must be answered right."""
        with grpc.insecure_channel(self._worker.target) as channel:
            infer = channel.unary_unary(hostile.METHOD)
            embed = pb.OutputSelection(skip_tasks=True)  # the same for both versions
            good = pb.InferRequest(sentences=self._sentences[:3], outputs=embed)
            known = pb.InferResponse.FromString(infer(good.SerializeToString(), timeout=60))
            known_values = np.array(known.embeddings.float32_values)
            requests = hostile.requests(seed)
            for number in self._paced(FUZZ // FUZZERS):
                each = next(requests)
                try:
                    answer, code = infer(each.data, timeout=120), "OK"
                except grpc.RpcError as error:
                    answer, code = None, error.code().name
                self.counts["hostile requests"] += 1
                if code not in each.expected and code != "RESOURCE_EXHAUSTED":
                    self.failures[f"{each.kind}: {code}"] += 1
                elif answer is not None and each.sentences:
                    rows = len(pb.InferResponse.FromString(answer).statuses)
                    if rows != each.sentences:
                        self.failures[f"{each.kind}: {rows} rows"] += 1
                if number % 10 == 0:
                    found = pb.InferResponse.FromString(infer(good.SerializeToString(), timeout=60))
                    values = np.array(found.embeddings.float32_values)
                    if np.abs(values - known_values).max() > 1e-4:
                        self.failures["a good request answered wrong"] += 1

    def _attack(self, seed: int) -> None:
        connections = hostile.raw_connections(seed)
        for _ in self._paced(2000):
            _, data = next(connections)
            hostile.attack(self._worker.target, data, seconds=0.05)
            self.counts["hostile connections"] += 1

    def _cancel(self, seed: int) -> None:
        rng = random.Random(seed)
        with grpc.insecure_channel(self._worker.target) as channel:
            stub = InferenceServiceStub(channel)
            for number in self._paced(CANCELLED):
                batch = rng.sample(self._sentences, rng.randint(1, 200))
                request = pb.InferRequest(sentences=batch)
                if number % 2:
                    call = stub.Infer.future(request, timeout=rng.uniform(0.001, 0.2))
                else:
                    call = stub.Infer.future(request)
                    time.sleep(rng.uniform(0, 0.1))
                    call.cancel()
                self.counts["cancelled or expired calls"] += 1

    def _abandon(self, seed: int) -> None:
        rng = random.Random(seed)
        for _ in self._paced(ABANDONED):
            with grpc.insecure_channel(self._worker.target) as channel:
                call = InferenceServiceStub(channel).StreamInfer(self._requests(rng, 10))
                if rng.random() < 0.5:
                    next(call)
                call.cancel()
            self.counts["abandoned streams"] += 1

    def _requests(self, rng: random.Random, count: int) -> Iterator[pb.StreamInferRequest]:
        for number in range(count):
            batch = rng.sample(self._sentences, 30)
            yield pb.StreamInferRequest(
                batch_id=str(number), request=pb.InferRequest(sentences=batch)
            )

    def _read_slowly(self, seed: int) -> None:
        """Streams of full batches whose answers are not read for a while."""
        rng = random.Random(seed)
        options = [("grpc.http2.lookahead_bytes", 65_536), ("grpc.http2.bdp_probe", 0)]
        for _ in self._paced(SLOW):
            with grpc.insecure_channel(self._worker.target, options=options) as channel:
                stub = InferenceServiceStub(channel)
                stream = stub.StreamInfer(
                    pb.StreamInferRequest(request=pb.InferRequest(sentences=["ok"] * 1024))
                    for _ in range(40)
                )
                self._stop.wait(10)
                for _ in range(rng.randint(0, 3)):
                    next(stream)
                stream.cancel()
            self.counts["slow readers"] += 1

    def _vanish(self, seed: int) -> None:
        """Connections with an open call whose other end never says anything again."""
        rng = random.Random(seed)
        host, _, port = self._worker.target.rpartition(":")
        open_ones: list[socket.socket] = []
        message = hostile.message(pb.InferRequest(sentences=["half"] * 50).SerializeToString())
        for _ in self._paced(HALF_OPEN):
            connection = socket.create_connection((host, int(port)))
            cut = rng.randint(1, len(message))
            connection.sendall(hostile.call_bytes(message[:cut], end=False))
            open_ones.append(connection)
            self.counts["half-open connections"] += 1
            if len(open_ones) > 20:
                open_ones.pop(0).close()
        for connection in open_ones:
            connection.close()


def come_to_rest(worker: Running, seconds: float = 60.0) -> str:
    """Wait until the worker holds nothing for anybody; what it still holds, if anything."""
    deadline = time.monotonic() + seconds
    with AdminClient(worker.admin_target) as admin:
        while True:
            status = admin.status()
            held = f"{status.calls} calls, {status.queue_tokens} tokens"
            if not status.calls and not status.queue_tokens:
                time.sleep(REST_SECONDS)
                return ""
            if time.monotonic() > deadline:
                return held
            time.sleep(0.2)


@click.command(help=__doc__)
@click.argument("texts", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--serve", "options", default="", help="Options of `twinhead serve`.")
def main(texts: Sequence[Path], minutes: float, options: str) -> None:
    """Run and print."""
    click.echo(machine())
    sentences = read_sentences(texts)
    with tempfile.TemporaryDirectory() as name:
        port_file = Path(name) / "port"
        command = [*TWINHEAD, "serve", "--port", "0", "--port-file", str(port_file)]
        with server([*command, *options.split()], port_file) as worker:
            failures = soak(worker, sentences, minutes * 60)
    sys.exit(bool(failures))


def soak(worker: Running, sentences: Sequence[str], seconds: float) -> Counter[str]:
    """A minute of everything, a rest, and then the rest of the time."""
    click.echo(f"ready: {worker.resident_mib():.0f} MiB")
    failures: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    memory: list[float] = []
    for part in (min(60.0, seconds / 3), seconds):
        run = Soak(worker, sentences, part, part / seconds)
        run.run()
        held = come_to_rest(worker)
        if held:
            failures[f"not at rest: {held}"] += 1
        memory.append(worker.resident_mib())
        click.echo(
            f"at rest after {part / 60:.0f} min: {memory[-1]:.0f} MiB; {held or 'nothing held'}"
        )
        failures += run.failures
        counts += run.counts
    click.echo(", ".join(f"{count:,} {name}" for name, count in counts.items()))
    click.echo(
        f"memory at rest {memory[1] / memory[0] - 1:+.1%} since the first minute; "
        f"failures: {dict(failures) or 'none'}"
    )
    return failures


if __name__ == "__main__":
    main()
