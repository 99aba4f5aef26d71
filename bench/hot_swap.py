"""Hot swap, measured and put to the test.

    python bench/hot_swap.py load TEXT       full load of 8 clients with swaps all the time: failed
                                             requests, each answer recomputed, p99, stalls, memory
    python bench/hot_swap.py latency         from push to the first answer of the new version
    python bench/hot_swap.py fuzz            corrupted pushes: all refused, nothing leaks
    python bench/hot_swap.py kills           kill -9 in the middle of pushes, and start again
    python bench/hot_swap.py live DATA       labelled rows to live answers

TEXT is a file with a sentence on each line; DATA a folder with review_sentences. Workers, pushes
and callers are real; all of it runs on this machine, on loopback.
"""

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

import click
import numpy as np
import torch
from corrupted_offers import FAULTS, corrupted
from processes import TWINHEAD, Running, read_sentences, server
from twinhead.client import AdminClient, Client, TwinheadError
from twinhead.client.admin_client import VersionOffer
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.probes import Probes
from twinhead.model.starter import checkpoint_folder
from twinhead.model.version_parts import VersionParts
from twinhead.trainer.push import PushOptions, push_checkpoint

HERE = Path(__file__)
# Sentences of a unary call, and of a batch on a stream.
UNARY_ROWS, STREAM_ROWS = 8, 32
HEADS, TOP_TWO = ("heads.",), ("heads.", "layer.4.", "layer.5.")
ALL = ("heads.", "encoder.")
# Largest difference between an answer and its version computed offline: the order of sums differs.
SAME = 1e-3


def changed(base: Checkpoint, names: Sequence[str], seed: int, by: float = 0.02) -> Checkpoint:
    """The base with noise on some of its tensors, as large as a short training changes them."""
    torch.manual_seed(seed)
    state = base.network.state_dict()
    noisy = {
        name: tensor + by * tensor.std() * torch.randn_like(tensor)
        for name, tensor in state.items()
        if tensor.is_floating_point() and tensor.numel() > 1 and any(n in name for n in names)
    }
    made = Checkpoint.create(base.network.with_tensors(base.config, noisy), base.tokenizer)
    # As in a checkpoint that was saved; else each push would measure them anew.
    return replace(made, probes=Probes.measure(made.network, made.tokenizer))


def worker_command(folder: Path, *options: str, measured: bool = False) -> list[str]:
    """A worker with a state folder on free ports."""
    start = [sys.executable, str(HERE), "measured-worker"] if measured else [*TWINHEAD, "serve"]
    places = ["--port-file", str(folder / "port"), "--state", str(folder / "state")]
    engine = click.get_current_context().find_root().params["engine"]
    return [*start, *options, "--engine", engine, "--port", "0", *places]


@click.group(help=__doc__)
@click.option("--engine", type=click.Choice(["torch", "openvino"]), default="torch")
def main(engine: str) -> None:
    """Measure hot swap."""


@main.command("measured-worker", hidden=True, context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1)
@click.option("--passes", type=click.Path(path_type=Path), required=True)
def measured_worker(options: tuple[str, ...], passes: Path) -> None:
    """`twinhead serve` that writes down when each encoder pass began and ended."""
    from twinhead.server.engines.openvino_engine import OpenVinoEngine
    from twinhead.server.engines.torch_engine import TorchEngine
    from twinhead.server.serve_command import serve

    times: list[tuple[float, float, int]] = []

    def timed(encode):
        def timed_encode(self, ids, tasks, *, alone=False):
            started = time.monotonic()
            try:
                return encode(self, ids, tasks, alone=alone)
            finally:
                times.append((started, time.monotonic(), id(self)))

        return timed_encode

    for engine in (OpenVinoEngine, TorchEngine):
        engine.encode = timed(engine.encode)
    try:
        serve(list(options), standalone_mode=False)
    finally:
        passes.write_text(json.dumps(times))


# --- full load


@dataclass
class Calls:
    """What clients saw."""

    answers: Counter[str] = field(default_factory=Counter)
    """By version."""
    wrong: int = 0
    failures: list[str] = field(default_factory=list)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    """(when it was answered, seconds) of each unary call."""
    sentences: int = 0


class Load:
    """Callers, half of them unary and half streams, that check every answer."""

    def __init__(self, target: str, texts: Sequence[str], known: dict[str, dict]) -> None:
        self._target = target
        self._texts = texts
        self._known = known
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.calls = Calls()

    def __enter__(self) -> "Load":
        work = [self._unary, self._stream] * 4
        self._threads = [
            threading.Thread(target=work, args=(index,)) for index, work in enumerate(work)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _rows(self, rng: random.Random, count: int) -> list[int]:
        return rng.sample(range(len(self._texts)), count)

    def _unary(self, seed: int) -> None:
        rng = random.Random(seed)
        with Client(self._target) as client:
            while not self._stop.is_set():
                rows = self._rows(rng, UNARY_ROWS)
                started = time.monotonic()
                try:
                    result = client.infer([self._texts[row] for row in rows])
                except TwinheadError as error:
                    self._failed(error)
                    continue
                ended = time.monotonic()
                self._check(rows, result, (ended, ended - started))

    def _stream(self, seed: int) -> None:
        rng = random.Random(seed)
        sent: list[list[int]] = []

        def batches():
            while not self._stop.is_set():
                sent.append(self._rows(rng, STREAM_ROWS))
                yield [self._texts[row] for row in sent[-1]]

        with Client(self._target) as client:
            for number, result in enumerate(client.infer_stream(batches(), in_flight=2)):
                if isinstance(result, TwinheadError):
                    self._failed(result)
                else:
                    self._check(sent[number], result, None)

    def _failed(self, error: TwinheadError) -> None:
        with self._lock:
            self.calls.failures.append(str(error))

    def _check(self, rows: list[int], result, latency: tuple[float, float] | None) -> None:
        right = is_right(result, self._known, rows)
        with self._lock:
            self.calls.answers[result.model_version] += 1
            self.calls.wrong += not right
            self.calls.sentences += len(rows)
            if latency is not None:
                self.calls.latencies.append(latency)


def is_right(result, known: dict[str, dict], rows: Sequence[int] = (0,)) -> bool:
    """Whether an answer is that of the version it names, in all it says."""
    version = known.get(result.model_version)
    found = {"embedding": result.embeddings}
    found |= {task: answer.logits for task, answer in result.tasks.items()}
    return version is not None and all(
        np.abs(values - version[name][rows]).max() < SAME for name, values in found.items()
    )


def answers_of(checkpoint: Checkpoint, texts: Sequence[str]) -> dict[str, np.ndarray]:
    """What a version says of each text, computed here and one by one."""
    found: dict[str, list[np.ndarray]] = {}
    with torch.inference_mode():
        for sentence in checkpoint.tokenizer(texts):
            ids = torch.tensor([sentence.ids])
            output = checkpoint.network(ids, torch.ones_like(ids))
            unit = torch.nn.functional.normalize(output.embeddings, dim=-1)
            for name, row in (("embedding", unit), *output.logits.items()):
                found.setdefault(name, []).append(row[0].numpy())
    return {name: np.stack(rows) for name, rows in found.items()}


@main.command()
@click.argument("text", type=click.Path(exists=True, path_type=Path))
@click.option("--minutes", default=5.0, show_default=True, help="Of load with swaps.")
@click.option("--quiet-minutes", default=1.0, show_default=True, help="Without, before and after.")
@click.option("--every", default=2.5, show_default=True, help="Seconds between two swaps.")
@click.option("--texts", default=400, show_default=True, help="Sentences that are asked for.")
def load(text: Path, minutes: float, quiet_minutes: float, every: float, texts: int) -> None:
    """Full load with swaps among four versions."""
    sentences = random.Random(1).sample(read_sentences([text]), texts)
    base = Checkpoint.load(checkpoint_folder("starter"))
    versions = [
        base,
        changed(base, HEADS, 1, 0.2),
        changed(base, TOP_TWO, 2),
        changed(base, ALL, 3),
    ]
    known = {version.version: answers_of(version, sentences) for version in versions}
    apart = min(
        np.abs(one["topic"] - two["topic"]).max()
        for one in known.values()
        for two in known.values()
        if one is not two
    )
    click.echo(f"versions differ by {apart:.3f} at least; an answer may by {SAME}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        command = worker_command(folder, "--passes", str(folder / "passes"), measured=True)
        with server(command, folder / "port") as worker:
            pushes: list[tuple[float, float]] = []
            memory: list[float] = []
            with Load(worker.target, sentences, known) as calls:
                started = time.monotonic()
                time.sleep(60 * quiet_minutes)
                swapping = time.monotonic()
                memory.append(worker.resident_mib())
                _swap_around(worker, versions, swapping + 60 * minutes, every, pushes, memory)
                swapped = time.monotonic()
                time.sleep(60 * quiet_minutes)
            found = calls.calls
            seconds = time.monotonic() - started
        passes = json.loads((folder / "passes").read_text())
    click.echo(
        f"{len(pushes)} swaps in {swapped - swapping:.0f} s; {sum(found.answers.values()):,} "
        f"batches, {found.sentences:,} sentences, {found.sentences / seconds:.0f} a second"
    )
    click.echo(f"failed requests: {len(found.failures)} {found.failures[:3]}")
    click.echo(f"answers that are not those of the version they name: {found.wrong}")
    click.echo(f"answers by version: {dict(found.answers)}")
    during = [took for when, took in found.latencies if swapping < when <= swapped]
    # The first seconds fill the queue.
    without = [took for when, took in found.latencies if not swapping < when <= swapped + 1][50:]
    for name, of in (("p50", 50), ("p99", 99)):
        one, two = np.percentile(without, of), np.percentile(during, of)
        click.echo(
            f"{name}: {one * 1e3:.0f} ms without swaps, {two * 1e3:.0f} with: {two / one:.2f}x"
        )
    _show_stalls(passes, pushes)
    tenths = [memory[len(memory) * tenth // 10] for tenth in range(10)] + memory[-1:]
    click.echo(
        f"resident memory at every tenth of the swaps, MiB: {[round(each) for each in tenths]}"
    )


def _swap_around(
    worker: Running,
    versions: Sequence[Checkpoint],
    until: float,
    every: float,
    pushes: list[tuple[float, float]],
    memory: list[float],
) -> None:
    rng, live = random.Random(2), versions[0].version
    while time.monotonic() < until:
        target = rng.choice([version for version in versions if version.version != live])
        started = time.monotonic()
        (report,) = push_checkpoint(target, [worker.admin_target], PushOptions())
        if not report.live:
            raise RuntimeError(report.error)
        pushes.append((started, time.monotonic()))
        live = target.version
        time.sleep(max(0.0, started + every - time.monotonic()))
        memory.append(worker.resident_mib())


def _show_stalls(passes: list, pushes: list[tuple[float, float]]) -> None:
    """Times without any encoder pass, while a version is pushed and otherwise."""
    passes = sorted(passes)  # several run at once
    ends = accumulate((end for _, end, _ in passes), max)
    gaps = [
        (end, began - end)
        for end, (began, *_) in zip(ends, passes[1:], strict=False)
        if began > end
    ]
    within = [
        max((gap for at, gap in gaps if start <= at <= end), default=0.0) for start, end in pushes
    ]
    first, last = pushes[0][0] - 30, pushes[0][0]
    otherwise = max((gap for at, gap in gaps if first < at < last), default=0.0)
    click.echo(
        f"longest time without a pass: {max(within) * 1e3:.0f} ms during a push (median over the "
        f"pushes {np.median(within) * 1e3:.0f}), {otherwise * 1e3:.0f} ms in 30 s without"
    )


# --- latency


@main.command()
@click.option("--repeats", default=5, show_default=True)
def latency(repeats: int) -> None:
    """From the start of a push to the first answer of the new version; the worker is idle."""
    base = Checkpoint.load(checkpoint_folder("starter"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with (
            server(worker_command(folder), folder / "port") as worker,
            Client(worker.target) as client,
        ):
            push_checkpoint(changed(base, HEADS, 0), [worker.admin_target], PushOptions())
            for name, names in (("heads only", HEADS), ("top two layers", TOP_TWO), ("all", ALL)):
                seconds, sizes = [], []
                for repeat in range(repeats):
                    version = changed(base, names, 100 + repeat)
                    started = time.monotonic()
                    (report,) = push_checkpoint(version, [worker.admin_target], PushOptions())
                    answer = client.infer(["The first answer."]).model_version
                    seconds.append(time.monotonic() - started)
                    if answer != version.version or report.gate is None:
                        raise RuntimeError(report.error)
                    sizes.append(report.gate.received_bytes)
                click.echo(
                    f"{name:15} {np.median(seconds):.2f} s ({min(seconds):.2f} to "
                    f"{max(seconds):.2f}), {np.median(sizes) / 1e6:.2f} MB"
                )


# --- fuzz


@main.command()
@click.option("--count", default=500, show_default=True)
@click.option("--seed", default=1, show_default=True)
def fuzz(count: int, seed: int) -> None:
    """Corrupted pushes to a worker that serves on."""
    rng = random.Random(seed)
    base = Checkpoint.load(checkpoint_folder("starter"))
    parts = VersionParts.of(changed(base, HEADS, 5))
    refused: Counter[str] = Counter()
    reasons: dict[str, set[str]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with (
            server(worker_command(folder), folder / "port") as worker,
            Client(worker.target) as client,
            AdminClient(worker.admin_target) as admin,
        ):
            before = client.infer(["Is it the same?"])
            memory: list[float] = []
            for number in range(count):
                kind = rng.choice(FAULTS)
                offer = corrupted(parts, kind, rng)
                try:
                    with admin.push(offer) as push:
                        push.stage()
                        push.go_live()
                except TwinheadError as error:
                    refused[kind] += 1
                    reasons.setdefault(kind, set()).add(str(error).partition(": ")[2][:90])
                else:
                    raise RuntimeError(f"a push with {kind!r} went live")
                if number % 50 == 49:
                    memory.append(worker.resident_mib())
            after = client.infer(["Is it the same?"])
            same = before.model_version == after.model_version and np.array_equal(
                before.embeddings, after.embeddings
            )
            kept = [version.version for version in admin.versions().versions]
            left = list((folder / "state" / "staging").iterdir())
            # And a good one is still taken.
            good = VersionOffer(files=parts.files.files, read=parts.read)
            with admin.push(good) as push:
                push.stage()
                push.go_live()
    for kind in sorted(refused):
        click.echo(f"{refused[kind]:4} {kind:18} {sorted(reasons[kind])[0]}")
    click.echo(
        f"refused: {sum(refused.values())} of {count}; the live version answers the same: {same}"
    )
    click.echo(f"versions kept: {len(kept)}; files left in staging: {len(left)}")
    click.echo(f"resident memory every 50 pushes, MiB: {[round(each) for each in memory]}")
    if not same or left or len(kept) != 1:
        sys.exit(1)


# --- kills


@main.command()
@click.option("--count", default=50, show_default=True)
@click.option("--seed", default=1, show_default=True)
def kills(count: int, seed: int) -> None:
    """Kill -9 at random moments of pushes; the worker must come up on a whole version."""
    rng = random.Random(seed)
    base = Checkpoint.load(checkpoint_folder("starter"))
    sentence = ["Which version answers?"]
    versions = [changed(base, names, seed) for names in (HEADS, TOP_TWO, ALL) for seed in (7, 8)]
    known = {each.version: answers_of(each, sentence) for each in [base, *versions]}
    live, pushed, outcomes = base.version, base.version, Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for _ in range(count):
            with (
                server(worker_command(folder), folder / "port") as worker,
                Client(worker.target) as client,
            ):
                answer = client.infer(sentence)
                if answer.model_version not in (live, pushed) or not is_right(answer, known):
                    raise RuntimeError(f"{answer.model_version} answers, {live} was live")
                outcomes["it was live already" if answer.model_version == pushed else "not"] += 1
                live = answer.model_version
                target = rng.choice([each for each in versions if each.version != live])
                pushed = target.version
                # A push of all weights takes about a second, one of the heads a tenth of that.
                timer = threading.Timer(rng.uniform(0, rng.choice([0.2, 1.5])), worker.kill)
                timer.start()
                (report,) = push_checkpoint(target, [worker.admin_target], PushOptions())
                timer.join()
                if report.live:
                    live = pushed  # the caller was told so
        with (
            server(worker_command(folder), folder / "port") as worker,
            Client(worker.target) as client,
        ):
            answer = client.infer(sentence)
            if answer.model_version not in (live, pushed) or not is_right(answer, known):
                raise RuntimeError(f"{answer.model_version} answers, {live} was live")
        state = folder / "state"
        size = sum(file.stat().st_size for file in state.rglob("*") if file.is_file())
    click.echo(f"{count} kills, each time up again on a whole version, the last live or the pushed")
    click.echo(f"whether the pushed one was live after the kill: {dict(outcomes)}")
    click.echo(f"state folder: {size / 1e6:.0f} MB")


# --- labels to live


@main.command()
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rows", default=1000, show_default=True)
def live(data: Path, rows: int) -> None:
    """New labelled rows, `twinhead train` with heads only and --push, and the first live answer."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        recipe = folder / "rows.toml"
        recipe.write_text(
            f"""
[model]
encoder = "all-MiniLM-L6-v2"
max_tokens = 128
tasks = [{{ name = "topic" }}, {{ name = "sentiment" }}]
[[data]]
name = "reviews"
train = "review_sentences/train.jsonl"
validation = "review_sentences/validation.jsonl"
tasks = {{ topic = "topic", sentiment = "sentiment" }}
limit = {rows}
[freezing]
freeze = ["encoder"]
[training]
epochs = 10
head_learning_rate = 5e-3
"""
        )
        with (
            server(worker_command(folder), folder / "port") as worker,
            Client(worker.target) as client,
        ):
            before = client.model()
            where = ["--data", str(data), "-o", str(folder / "run")]
            where += ["--push", worker.admin_target]
            started = time.monotonic()
            subprocess.run(
                [*TWINHEAD, "train", str(recipe), *where, "--allow-new-tasks", "--no-tensorboard"],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            answer = client.infer(["The soup was cold and the waiter rude."])
            seconds = time.monotonic() - started
    if answer.model_version == before.version:
        raise RuntimeError("nothing new is live")
    labels = {name: task.labels for name, task in answer.tasks.items()}
    click.echo(f"{rows} rows to the first live answer: {seconds:.1f} s ({labels})")


if __name__ == "__main__":
    main()
