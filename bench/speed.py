"""Sentences a second, side by side, in one run.

    python bench/speed.py TEXT... [--lines 2000] [--rounds 3] [--output FOLDER]
                          [--sentence-transformers PYTHON] [--infinity PYTHON]

For each file (a sentence on each line) and each way to encode it, in alternation; the figures are
medians with the range in brackets, and ratios are of the same round, to sentence-transformers with
torch. Twinhead gives the embedding and the answers of both heads unless it says otherwise, the
others the embedding alone. All ways include tokenisation; those of Twinhead over gRPC include this
program as the caller, on the same cores. Peers that need an environment of their own are measured
when its Python is given (`make .venv-peers`). FOLDER gets the table and a plot.
"""

import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import numpy as np
from processes import TWINHEAD, Running, machine, server
from twinhead.client import Client, InferOptions
from twinhead.server.engines.choose_engine import usable_threads
from twinhead.server.worker import CPU_TOKEN_BUDGET

LOOPS = Path(__file__).with_name("loops.py")
ENGINES = ("torch float32", "openvino float32", "openvino bfloat16", "openvino int8")
PEER = "sentence-transformers, torch, batch 32"
PLAIN = "transformers, batch 32"
THREE = "three models, transformers, batch 32"
SLOW = (PLAIN, THREE)
# Of a batch on a stream.
ROWS = 64
Rates = dict[str, list[float]]


@click.command(help=__doc__)
@click.argument("texts", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--lines", default=2000, show_default=True, help="Of each file, at most.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--engine", "engines", multiple=True, type=click.Choice(ENGINES), default=ENGINES)
@click.option("--sentence-transformers", type=click.Path(exists=True), help="Python that has it.")
@click.option("--infinity", type=click.Path(exists=True), help="Python that has it.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for table and plot.")
def main(
    texts: Sequence[Path],
    lines: int,
    rounds: int,
    engines: Sequence[str],
    sentence_transformers: str | None,
    infinity: str | None,
    output: Path | None,
) -> None:
    """Measure and print."""
    report = Report()
    report.say(machine())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def loop(*arguments: str, python: str = sys.executable) -> Callable[..., float]:
            return stack.enter_context(looping([python, str(LOOPS), *arguments], report))

        ways = {PEER: loop("sentence-transformers")}
        ways[PLAIN] = loop("transformers")
        ways[THREE] = loop("three-models")
        if sentence_transformers:
            options = ["sentence-transformers-int8", str(folder / "peer")]
            name = "sentence-transformers, its int8, batch 32"
            ways[name] = loop(*options, python=sentence_transformers)
        if infinity:
            ways["infinity, torch, batch 32"] = loop("infinity", python=infinity)
        workers: dict[str, tuple[Running, Client]] = {}
        for engine in engines:
            name, precision = engine.split()
            options = ["--engine", name, "--precision", precision, "--port", "0"]
            port_file = folder / engine.replace(" ", "-")
            command = [*TWINHEAD, "serve", *options, "--port-file", str(port_file)]
            worker = stack.enter_context(server(command, port_file))
            report.say(f"worker, {engine}, start to ready: {worker.start_seconds:.1f} s")
            client = stack.enter_context(Client(worker.target))
            workers[engine] = worker, client
            ways[f"{engine}: in process"] = loop("twinhead", name, precision)
            ways[f"{engine}: stream"] = timed(stream(client, InferOptions()))
            ways[f"{engine}: stream, embedding only"] = timed(
                stream(client, InferOptions(tasks=()))
            )
            for callers in (8, 64):
                ways[f"{engine}: {callers} callers of one sentence"] = timed(unary(client, callers))
        for text in texts:
            sentences = read(text, lines)
            report.say(f"\n{text.name}, {len(sentences):,} lines, median of {rounds} rounds\n")
            report.table(text.name, measure(ways, sentences, rounds))
        for engine, (worker, client) in workers.items():
            report.say(f"\n{engine}")
            one_sentence(ways[f"{engine}: in process"], client, read(texts[0], 300), report)
            shared(client, read(texts[0], 2000), report)
            report.say(f"worker's memory: {worker.resident_mib():.0f} MiB")
    if output:
        report.write(output)


class Report:
    """What was measured, on the screen and in files."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._rates: dict[str, Rates] = {}

    def say(self, line: str) -> None:
        """Tell a line."""
        click.echo(line)
        self._lines.append(line)

    def table(self, text: str, rates: Rates) -> None:
        """Tell the sentences a second of each way."""
        self._rates[text] = rates
        self.say(f"| {'':50} | {'sentences/s':>11} | {'range':18} | ratio |")
        self.say(f"|{'-' * 52}|{'-' * 12}:|{'-' * 20}|{'-' * 6}:|")
        for name, values in rates.items():
            ratio = median([one / two for one, two in zip(values, rates[PEER], strict=True)])
            spread = f"{min(values):,.0f} to {max(values):,.0f}"
            self.say(f"| {name:50} | {median(values):11,.0f} | {spread:18} | {ratio:5.2f} |")

    def write(self, folder: Path) -> None:
        """Write the table, and a plot of the medians."""
        import matplotlib.pyplot as plt

        folder.mkdir(parents=True, exist_ok=True)
        (folder / "speed.md").write_text("\n".join(self._lines) + "\n", encoding="utf-8")
        figure, axes = plt.subplots(
            1, len(self._rates), figsize=(8 * len(self._rates), 9), sharey=True, squeeze=False
        )
        for axis, (text, rates) in zip(axes[0], self._rates.items(), strict=True):
            middles = [median(values) for values in rates.values()]
            below = [middle - min(v) for middle, v in zip(middles, rates.values(), strict=True)]
            above = [max(v) - middle for middle, v in zip(middles, rates.values(), strict=True)]
            colours = ["tab:blue" if ":" in name else "tab:gray" for name in rates]
            axis.barh(list(rates), middles, xerr=[below, above], color=colours)
            axis.set_title(text)
            axis.set_xlabel("sentences a second")
            axis.grid(axis="x", alpha=0.3)
        axes[0][0].invert_yaxis()
        figure.tight_layout()
        figure.savefig(folder / "speed.png", dpi=100)


def measure(ways: dict[str, Callable[..., float]], sentences: Sequence[str], rounds: int) -> Rates:
    """Run all ways in turn."""
    rates: Rates = {name: [] for name in ways}
    for encode in ways.values():
        encode(sentences[:200])
    for _ in range(rounds):
        for name, encode in ways.items():
            # What is slow is as slow with fewer.
            some = sentences[: len(sentences) // 4] if name in SLOW else sentences
            rates[name].append(len(some) / encode(some))
    return rates


def one_sentence(
    direct: Callable[..., float], client: Client, sentences: Sequence[str], report: Report
) -> None:
    """One caller: over gRPC beside the same engine in process, in alternation."""
    pairs = [(direct([each]), timed(lambda some: client.infer(some))([each])) for each in sentences]
    one, two = (median(each) * 1e3 for each in zip(*pairs, strict=True))
    report.say(
        f"one sentence, p50: in process {one:.1f} ms, gRPC {two:.1f} ms, {two - one:+.1f} ms"
    )


def shared(client: Client, sentences: Sequence[str], report: Report) -> None:
    """Calls of one sentence, one after the other with pauses, beside a stream that never ends."""
    stop, rng = threading.Event(), random.Random(2)
    waits: list[float] = []

    def bulk(seconds: float) -> tuple[float, float]:
        """Sentences and tokens a second."""
        started = time.monotonic()

        def batches() -> Iterator[Sequence[str]]:
            while time.monotonic() < started + seconds:
                yield rng.sample(sentences, ROWS)

        rows = tokens = 0
        for result in client.infer_stream(batches(), in_flight=16):
            if isinstance(result, Exception):
                raise result
            rows += len(result.statuses)
            tokens += sum(status.tokens_used for status in result.statuses)
        seconds = time.monotonic() - started
        return rows / seconds, tokens / seconds

    def calls() -> None:
        while not stop.is_set():
            started = time.perf_counter()
            client.infer([rng.choice(sentences)])
            waits.append(time.perf_counter() - started)
            stop.wait(0.1)

    quiet, tokens = bulk(10)
    caller = threading.Thread(target=calls)
    caller.start()
    together, _ = bulk(30)
    stop.set()
    caller.join()
    # As many passes at once as there are cores share the tokens a second.
    one_pass = CPU_TOKEN_BUDGET * min(usable_threads(), 8) / tokens * 1e3
    p50, p99 = np.percentile(waits, [50, 99]) * 1e3
    report.say(
        f"bulk {quiet:,.0f} sentences/s alone, {together:,.0f} beside ten calls a second "
        f"({together / quiet - 1:+.0%}); these: p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
        f"{p99 / one_pass:.1f} times the {one_pass:.0f} ms of a full pass"
    )


@contextmanager
def looping(command: Sequence[str], report: Report) -> Iterator[Callable[[Sequence[str]], float]]:
    """A process of `loops.py`, as a function from sentences to seconds."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin
    assert process.stdout
    stdin, stdout = process.stdin, process.stdout

    def encode(sentences: Sequence[str]) -> float:
        process.send_signal(signal.SIGCONT)
        stdin.write(json.dumps(sentences) + "\n")
        stdin.flush()
        seconds = float(stdout.readline())
        process.send_signal(signal.SIGSTOP)  # some wait busily for more
        return seconds

    try:
        for line in stdout:
            if line.startswith("ready"):
                report.say(f"{' '.join(command[2:])}:{line.rstrip().removeprefix('ready')}")
                break
        else:
            raise RuntimeError(f"{command} failed")
        process.send_signal(signal.SIGSTOP)
        yield encode
    finally:
        process.send_signal(signal.SIGCONT)
        stdin.close()
        process.wait(60)
        stdout.close()


def timed(encode: Callable[[Sequence[str]], object]) -> Callable[[Sequence[str]], float]:
    """As a function from sentences to seconds."""

    def seconds(sentences: Sequence[str]) -> float:
        started = time.perf_counter()
        encode(sentences)
        return time.perf_counter() - started

    return seconds


def stream(client: Client, options: InferOptions) -> Callable[[Sequence[str]], None]:
    """One stream with several batches on their way."""

    def encode(sentences: Sequence[str]) -> None:
        batches = (sentences[start : start + ROWS] for start in range(0, len(sentences), ROWS))
        for result in client.infer_stream(batches, options, in_flight=16):
            if isinstance(result, Exception):
                raise result

    return encode


def unary(client: Client, callers: int) -> Callable[[Sequence[str]], None]:
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


median = statistics.median

if __name__ == "__main__":
    main()
