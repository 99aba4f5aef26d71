"""`twinhead demo`: a worker and a labelled file, in one command."""

import contextlib
import importlib.resources
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .errors import WorkerFailedError
from .label_command import EXIT_ROWS_FAILED

# The model is loaded within seconds; on a slow disk the first run takes longer.
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_SHOWN_ROWS = 20


@click.command()
@click.argument("input_path", metavar="[INPUT]", required=False)
@click.option(
    "-o",
    "--output",
    "output_path",
    default="demo-output.csv",
    show_default=True,
    help="File to write; .csv, .jsonl or .parquet.",
)
def demo(input_path: str | None, output_path: str) -> None:
    """Start a worker on a free port, label INPUT with it, show some rows, stop the worker.

    Without INPUT, 200 example sentences are labelled. The worker serves the embedded starter model.
    """
    from .bulk_label import LabelOptions, bulk_label
    from .client import Client
    from .label_progress import LabelProgress
    from .row_reader import open_reader
    from .row_writer import OutputFile

    if output_path == "-":
        raise click.UsageError("the demo writes a file and shows some of it; say a file's name")
    console = Console()
    source = input_path or str(importlib.resources.files("twinhead.examples") / "sentences.csv")
    with (
        open_reader(source, None, None, "utf-8") as reader,
        _running_worker(console) as target,
        Client(target) as client,
    ):
        output = OutputFile(output_path, None, source)
        try:
            with LabelProgress(console, reader.size) as progress:
                summary = bulk_label(client, reader, output, LabelOptions(), progress.update)
            output.complete()
        except BaseException:
            output.abandon()
            raise
    with open_reader(output_path, None, reader.column, "utf-8") as labelled:
        first = next(labelled.batches(), None)
        if first is not None:
            texts = list(zip(first.texts, first.as_dicts(), strict=True))
            step = max(1, len(texts) // _SHOWN_ROWS)
            console.print(_table(texts[::step][:_SHOWN_ROWS], list(summary.labels)))
    console.print(summary.render(output_path), highlight=False)
    console.print(
        "\nNext: [bold]twinhead serve[/bold] in one terminal, "
        "[bold]twinhead label FILE -o OUT.csv[/bold] in another.",
        highlight=False,
    )
    if summary.failed:
        sys.exit(EXIT_ROWS_FAILED)


@contextlib.contextmanager
def _running_worker(console: Console) -> Generator[str]:
    """A worker of our own on a free port; gives its address, and stops it in the end."""
    with tempfile.TemporaryDirectory(prefix="twinhead-demo-") as folder:
        port_file, log = Path(folder, "port"), Path(folder, "worker.log")
        command = [sys.executable, "-P", "-m", "twinhead.client", "serve"]
        command += ["--port", "0", "--port-file", str(port_file)]
        started = time.monotonic()
        with log.open("wb") as log_stream, console.status("starting the worker ..."):
            process = subprocess.Popen(command, stdout=log_stream, stderr=log_stream)  # noqa: S603
            try:
                port = _wait_for_port(process, port_file, log)
            except BaseException:
                process.kill()
                process.wait()
                raise
        try:
            console.print(
                f"worker ready on localhost:{port} after {time.monotonic() - started:.1f} s",
                highlight=False,
            )
            yield f"localhost:{port}"
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_port(process: "subprocess.Popen[bytes]", port_file: Path, log: Path) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while not port_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip() or "it said nothing"
            raise WorkerFailedError(f"the worker did not start:\n{said}")
        time.sleep(0.05)
    return int(port_file.read_text().split()[0])


def _table(rows: Sequence[tuple[str, Mapping[str, Any]]], tasks: Sequence[str]) -> Table:
    table = Table(expand=True)
    table.add_column("text", ratio=1, no_wrap=True, overflow="ellipsis")
    for task in tasks:
        table.add_column(task, no_wrap=True)
        table.add_column("score", justify="right")
    for text, row in rows:
        cells: list[str] = []
        for task in tasks:
            score = row[f"{task}_score"]
            cells += [
                escape(row[task] or "-"),
                f"{float(score):.2f}" if score not in ("", None) else "-",
            ]
        table.add_row(escape(text.replace("\n", " ")), *cells)
    return table
