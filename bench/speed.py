"""Sentences a second, side by side, in one run.

    python bench/speed.py TEXT... [--lines 2000] [--rounds 3]

For each file (a sentence on each line) and each way to encode it, in alternation; the figures are
medians with the range in brackets, and ratios are of the same round. Twinhead gives the embedding
and the answers of both heads, the others the embedding alone. All ways include tokenisation; those
of Twinhead over gRPC include this program as the caller, on the same cores.
"""

import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import click
import torch
from processes import TWINHEAD, Running, machine, server
from twinhead.client import Client, InferOptions
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.encoder import find_encoder
from twinhead.model.starter import checkpoint_folder
from twinhead.server.engines.choose_engine import choose_engine, usable_threads
from twinhead.server.engines.engine import Engine
from twinhead.server.length_groups import groups_by_length
from twinhead.server.settings import WorkerSettings

PRECISIONS = ("float32", "bfloat16", "int8")
ENCODER = "all-MiniLM-L6-v2"
PEER = "sentence-transformers, torch, batch 32"
BUDGET = 1024
# Of a batch on a stream.
ROWS = 64
Way = Callable[[Sequence[str]], None]


@click.command(help=__doc__)
@click.argument("texts", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--lines", default=2000, show_default=True, help="Of each file, at most.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--precision", "precisions", multiple=True, type=click.Choice(PRECISIONS))
def main(texts: Sequence[Path], lines: int, rounds: int, precisions: Sequence[str]) -> None:
    """Measure and print."""
    click.echo(machine())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ways: dict[str, Way] = {PEER: sentence_transformers(), "plain transformers": plain()}
        workers: dict[str, Running] = {}
        for precision in precisions or PRECISIONS:
            options = ["--precision", precision, "--port", "0"]
            command = [*TWINHEAD, "serve", *options, "--port-file", str(folder / precision)]
            worker = stack.enter_context(server(command, folder / precision))
            click.echo(f"worker, {precision}, start to ready: {worker.start_seconds:.1f} s")
            client = stack.enter_context(Client(worker.target))
            workers[precision] = worker
            ways[f"in process, {precision}"] = in_process(precision)
            ways[f"gRPC stream, {precision}"] = stream(client)
            for callers in (8, 64):
                name = f"gRPC, {callers} callers of one sentence, {precision}"
                ways[name] = unary(client, callers)
        for text in texts:
            sentences = read(text, lines)
            click.echo(f"\n{text.name}, {len(sentences):,} lines")
            measure(ways, sentences, rounds)
        for precision, worker in workers.items():
            latencies(worker, precision, read(texts[0], 200))
            click.echo(f"worker, {precision}, memory: {worker.resident_mib():.0f} MiB")


def measure(ways: dict[str, Way], sentences: Sequence[str], rounds: int) -> None:
    """Run all ways in turn, and print what each gave."""
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(sentences[:200])
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.monotonic()
            way(sentences)
            rates[name].append(len(sentences) / (time.monotonic() - started))
    for name, values in rates.items():
        ratio = statistics.median([one / two for one, two in zip(values, rates[PEER], strict=True)])
        spread = f"[{min(values):,.0f} to {max(values):,.0f}]"
        click.echo(f"{name:52} {statistics.median(values):8,.0f} {spread:20} {ratio:5.2f} x")


def latencies(worker: Running, precision: str, sentences: Sequence[str]) -> None:
    """Of one sentence, one caller: over gRPC beside the same engine in process, in alternation."""
    checkpoint, engine = load(precision)
    tasks = [task.name for task in checkpoint.config.tasks]
    direct, called = [], []
    with Client(worker.target) as client:
        for sentence in sentences:
            started = time.perf_counter()
            (tokens,) = checkpoint.tokenizer([sentence])
            engine.encode([tokens.ids], tasks, alone=True)
            direct.append(time.perf_counter() - started)
            started = time.perf_counter()
            client.infer([sentence])
            called.append(time.perf_counter() - started)
    one, two = (statistics.median(each) * 1e3 for each in (direct, called))
    click.echo(
        f"\none sentence, {precision}, p50: in process {one:.1f} ms, gRPC {two:.1f} ms, "
        f"{two - one:+.1f} ms"
    )


def sentence_transformers() -> Way:
    """As its users call it."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(find_encoder(ENCODER)), device="cpu")

    def encode(sentences: Sequence[str]) -> None:
        torch.set_num_threads(usable_threads())  # this thread's: engines have set their own
        model.encode(list(sentences), batch_size=32)

    return encode


def plain() -> Way:
    """The loop of transformers' own documentation: batches of 32 in their order, mean pooling."""
    from transformers import AutoModel, AutoTokenizer

    folder = find_encoder(ENCODER)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)

    def encode(sentences: Sequence[str]) -> None:
        torch.set_num_threads(usable_threads())
        for start in range(0, len(sentences), 32):
            batch = list(sentences[start : start + 32])
            inputs = tokenizer(
                batch, padding=True, truncation=True, max_length=256, return_tensors="pt"
            )
            with torch.inference_mode():
                hidden = model(**inputs).last_hidden_state
                mask = inputs["attention_mask"].unsqueeze(-1)
                _ = (hidden * mask).sum(1) / mask.sum(1)

    return encode


def load(precision: str) -> tuple[Checkpoint, Engine]:
    """The starter in an engine, as the worker has it."""
    checkpoint = Checkpoint.load(checkpoint_folder("starter"))
    return checkpoint, choose_engine(WorkerSettings(precision=precision), checkpoint)


def in_process(precision: str) -> Way:
    """Length-sorted batches by token budget, as many at once as the engine has streams."""
    checkpoint, engine = load(precision)
    tasks = [task.name for task in checkpoint.config.tasks]

    def encode(sentences: Sequence[str]) -> None:
        ids = [each.ids for each in checkpoint.tokenizer(sentences)]
        groups = groups_by_length([len(each) for each in ids], BUDGET)
        batches = [[ids[place] for place in group] for group in groups]
        with ThreadPoolExecutor(engine.streams) as threads:
            list(threads.map(lambda ids: engine.encode(ids, tasks), batches))

    return encode


def stream(client: Client) -> Way:
    """One stream with several batches on their way."""

    def encode(sentences: Sequence[str]) -> None:
        batches = (sentences[start : start + ROWS] for start in range(0, len(sentences), ROWS))
        for result in client.infer_stream(batches, InferOptions(), in_flight=16):
            if isinstance(result, Exception):
                raise result

    return encode


def unary(client: Client, callers: int) -> Way:
    """Callers that each wait for the answer to one sentence before they send the next."""

    def encode(sentences: Sequence[str]) -> None:
        left, lock = iter(sentences), threading.Lock()

        def call() -> None:
            while True:
                with lock:
                    sentence = next(left, None)
                if sentence is None:
                    return
                client.infer([sentence])

        threads = [threading.Thread(target=call) for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return encode


def read(text: Path, lines: int) -> list[str]:
    """Lines of a file, in an order that says nothing of their lengths."""
    kept = [line.strip() for line in text.read_text(encoding="utf-8").splitlines()]
    kept = [line for line in kept if line][:lines]
    random.Random(1).shuffle(kept)
    return kept


if __name__ == "__main__":
    main()
