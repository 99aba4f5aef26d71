"""`twinhead label`: add labels to every row of a file."""

import signal
import sys
from pathlib import Path

import click
from rich.console import Console

from .channel import DEFAULT_TARGET, Access
from .connection_options import access_options

EXIT_ROWS_FAILED = 3


@click.command()
@click.argument("input_path", metavar="INPUT")
@click.option(
    "-o",
    "--output",
    "output_path",
    metavar="OUTPUT",
    required=True,
    help="File to write; its suffix says the format. `-` is standard output (JSON lines). The file "
    "appears under its name only when it is complete.",
)
@click.option(
    "--worker",
    default=DEFAULT_TARGET,
    show_default=True,
    envvar="TWINHEAD_WORKER",
    show_envvar=True,
    help="Address of the worker, host:port.",
)
@access_options
@click.option(
    "--column",
    help="Column that holds the text. Default: the only column, or the one called text, sentence "
    "or content.",
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    help="Task to label by; may be repeated. Default: every task, which costs no more time.",
)
@click.option(
    "--embeddings",
    is_flag=True,
    help="Add the sentence embedding: in Parquet a fixed-size list of float32 (1.5 KB a row with "
    "the starter model), in JSON lines a list.",
)
@click.option(
    "--truncate/--no-truncate",
    default=True,
    show_default=True,
    help="Label over-long texts by their beginning, or leave them without a label and say so in "
    "the column `error`.",
)
@click.option(
    "--prefix",
    default="",
    help="Put before the names of the new columns, for inputs that have such names already.",
)
@click.option(
    "--input-format",
    type=click.Choice(["txt", "csv", "jsonl", "parquet"]),
    help="Default: by the suffix; txt for standard input.",
)
@click.option(
    "--output-format",
    type=click.Choice(["csv", "jsonl", "parquet"]),
    help="Default: by the suffix; jsonl for standard output.",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Of text formats.")
@click.option(
    "--force",
    is_flag=True,
    help="Overwrite OUTPUT.partial, the finished rows that an earlier run left. Default: refuse.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Batches of up to 256 rows on their way at once. More hides the latency of a far worker "
    "and takes memory.",
)
@click.option(
    "--reconnect",
    "reconnect_seconds",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Seconds to wait for a worker that went away in mid-file; then what is unanswered is sent "
    "again.",
)
def label(
    input_path: str,
    output_path: str,
    worker: str,
    access: Access,
    column: str | None,
    tasks: tuple[str, ...],
    embeddings: bool,
    truncate: bool,
    prefix: str,
    input_format: str | None,
    output_format: str | None,
    encoding: str,
    force: bool,
    in_flight: int,
    reconnect_seconds: float,
) -> None:
    """Label every row of INPUT, a TXT, CSV, JSONL or Parquet file, also with .gz.

    All columns are kept and the rows stay in their order. For each task a column with the label
    and one with its score are added, and `truncated`, `error` and `model_version`. INPUT may be
    `-` for standard input.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some rows have no label.
    """
    # Here, so that --help needs neither gRPC nor Arrow.
    from .bulk_label import LabelOptions, bulk_label
    from .client import Client
    from .label_progress import LabelProgress
    from .row_reader import open_reader
    from .row_writer import OutputFile

    # Told to end, it ends as with Ctrl-C: finished rows are kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(stderr=True)
    options = LabelOptions(
        tasks=tasks or None,
        embeddings=embeddings,
        truncate=truncate,
        prefix=prefix,
        in_flight=in_flight,
        reconnect_seconds=reconnect_seconds,
    )
    with (
        open_reader(input_path, input_format, column, encoding) as reader,
        Client(worker, token=access.token, tls=access.tls) as client,
    ):
        client.model()  # a worker that is not there is told before anything is written
        output = OutputFile(output_path, output_format, input_path, force=force)
        if embeddings and output.format == "csv":
            output.abandon()
            raise click.UsageError("--embeddings needs Parquet or JSON lines; CSV has no lists")
        try:
            with LabelProgress(console, reader.size) as progress:
                summary = bulk_label(client, reader, output, options, progress.update)
            output.complete()
        except BaseException as error:
            kept = output.abandon()
            if kept is not None:
                console.print(
                    f"{output.rows:,} finished {'row is' if output.rows == 1 else 'rows are'} "
                    f"kept in {kept}",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )
            if isinstance(error, KeyboardInterrupt):
                raise click.Abort from error
            raise
    destination = "standard output" if output_path == "-" else str(Path(output_path))
    console.print(summary.render(destination), highlight=False)
    if summary.failed:
        sys.exit(EXIT_ROWS_FAILED)
