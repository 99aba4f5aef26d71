"""Start-up, memory, and the speed of `twinhead label` beside SentenceTransformer.encode.

    python bench/first_light.py TEXT [--lines 5000] [--rounds 3]

TEXT has one sentence a line. The two are run in alternation; the figures are medians, with the
range in brackets. Twinhead gives the embedding and both heads' answers of each sentence,
SentenceTransformer the embedding alone.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from processes import TWINHEAD, machine, run, server


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    with arguments.text.open(encoding="utf-8") as file:
        lines = [line.rstrip("\n") for _, line in zip(range(arguments.lines), file, strict=False)]
    if not lines:
        parser.error(f"{arguments.text} is empty")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run([*TWINHEAD, "--help"])  # compiles what is imported, once
        measure_start(folder)
        measure_speed(folder, lines, arguments.rounds)


def measure_start(folder: Path) -> None:
    """`--help`, and the worker from its start to ready."""
    report("twinhead --help", [run([*TWINHEAD, "--help"]).seconds for _ in range(7)], "s")
    ready = []
    for _ in range(5):
        with server(serve(folder), folder / "port") as worker:
            ready.append(worker.start_seconds)
    report("worker, start to ready", ready, "s")


def measure_speed(folder: Path, lines: Sequence[str], rounds: int) -> None:
    """Sentences a second, end to end, in alternation; and what the processes take."""
    from sentence_transformers import SentenceTransformer
    from twinhead.model.encoder import find_encoder

    source = folder / "lines.txt"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    peer = SentenceTransformer(str(find_encoder("all-MiniLM-L6-v2")), device="cpu")
    peer.encode(lines[:64], batch_size=32)
    rates: dict[str, list[float]] = {"peer": [], "label": [], "embeddings": []}
    peaks = []
    with server(serve(folder), folder / "port") as worker:
        label = [*TWINHEAD, "label", str(source), "--worker", worker.target, "-o"]
        run([*label, str(folder / "warm.csv")])
        for _ in range(rounds):
            started = time.monotonic()
            peer.encode(lines, batch_size=32)
            rates["peer"].append(len(lines) / (time.monotonic() - started))
            for kind, options in (("label", []), ("embeddings", ["--embeddings"])):
                done = run([*label, str(folder / "out.parquet"), *options])
                rates[kind].append(len(lines) / done.seconds)
                peaks.append(done.peak_mib)
        resident = worker.resident_mib()
    report("SentenceTransformer.encode, batch 32", rates["peer"], "sentences/s")
    report("twinhead label, whole command", rates["label"], "sentences/s")
    report("twinhead label --embeddings, whole command", rates["embeddings"], "sentences/s")
    for kind in ("label", "embeddings"):
        ratios = [ours / theirs for ours, theirs in zip(rates[kind], rates["peer"], strict=True)]
        report(f"ratio {kind} / SentenceTransformer", ratios, "x")
    report("client, peak memory", peaks, "MiB")
    report("worker, memory after the runs", [resident], "MiB")


def serve(folder: Path) -> list[str]:
    """The command of a worker on a free port."""
    return [*TWINHEAD, "serve", "--port", "0", "--port-file", str(folder / "port")]


def report(what: str, values: Sequence[float], unit: str) -> None:
    """Print a median, and the range where there are several."""
    digits = 0 if statistics.median(values) >= 100 else 2
    line = f"{what}: {statistics.median(values):,.{digits}f} {unit}"
    if len(values) > 1:
        line += f" [{min(values):,.{digits}f} to {max(values):,.{digits}f}]"
    print(line, flush=True)


if __name__ == "__main__":
    main()
