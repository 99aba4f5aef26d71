"""`twinhead demo`: a worker and a labelled file, or a page in front of it, in one command."""

import importlib.resources
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .channel import Access
from .label_command import EXIT_ROWS_FAILED

if TYPE_CHECKING:
    from .own_worker import OwnWorker

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
@click.option(
    "--web",
    "as_page",
    is_flag=True,
    help="Label no file; show a page in front of the worker instead, until Ctrl-C. Needs the extra "
    "`web`.",
)
@click.option("--open", "opening", is_flag=True, help="Open the page in this machine's browser.")
@click.pass_context
def demo(
    context: click.Context,
    input_path: str | None,
    output_path: str,
    as_page: bool,
    opening: bool,
) -> None:
    """Start a worker on a free port, label INPUT with it, show some rows, stop the worker.

    Without INPUT, 200 example sentences are labelled. The worker serves the embedded starter model.
    """
    if as_page:
        said = context.get_parameter_source("output_path")
        if input_path is not None or said is not ParameterSource.DEFAULT:
            raise click.UsageError("--web shows a page and labels no file; leave the files out")
        _show_page(opening=opening)
        return
    if opening:
        raise click.UsageError("--open is for the page of --web")
    _label(input_path, output_path)


def _show_page(*, opening: bool) -> None:
    from .web.web_command import show_page  # an extra
    from .web.web_server import Page, listen

    console = Console()
    listening = listen("127.0.0.1", 0)
    with _started_worker(console) as worker:
        show_page(Page(worker.target, worker.admin_target), listening, opening=opening)


def _label(input_path: str | None, output_path: str) -> None:
    from .files.row_reader import open_reader
    from .labelling.bulk_label import LabelOptions
    from .labelling.label_files import FileOptions, label_files
    from .labelling.worker_pool import WorkerPool

    if output_path == "-":
        raise click.UsageError("the demo writes a file and shows some of it; say a file's name")
    console = Console()
    source = input_path or str(importlib.resources.files("twinhead.examples") / "sentences.csv")
    with open_reader(source, None, None, "utf-8") as reader:  # before a worker is started for it
        next(reader.batches(), None)  # in JSON lines, the first row tells the column
        column = reader.column
    with _started_worker(console) as worker:
        pool = WorkerPool([worker.target], Access())
        files = FileOptions(journal="")
        summary = label_files([source], output_path, pool, LabelOptions(), files, console)
    with open_reader(output_path, None, column, "utf-8") as labelled:
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


def _started_worker(console: Console) -> "OwnWorker":
    from .own_worker import OwnWorker

    started = time.monotonic()
    with console.status("starting the worker ..."):
        worker = OwnWorker()
    console.print(
        f"worker ready on {worker.target} after {time.monotonic() - started:.1f} s",
        highlight=False,
    )
    return worker


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
