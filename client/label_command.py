"""`twinhead label`: add labels to every row of files."""

import shlex
import signal
import sys
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource
from rich.console import Console

from .channel import DEFAULT_TARGET, Access
from .connection_options import access_options
from .files.file_formats import INPUT_FORMATS, OUTPUT_FORMATS

if TYPE_CHECKING:
    from .labelling.label_summary import LabelSummary

EXIT_ROWS_FAILED = 3
# Options that make no sense with the other engine.
_RAY_ONLY = ("model", "serve_options", "ray_address", "ray_actors", "ray_cpus")
_WORKER_ONLY = (
    *("workers", "token_file", "token", "tls", "tls_ca", "tls_certificate", "tls_key"),
    *("report", "fail_fast", "allow_changed", "journal", "streams", "in_flight"),
    "reconnect_seconds",
)


@click.command()
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
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
    "workers",
    multiple=True,
    default=[DEFAULT_TARGET],
    show_default=True,
    envvar="TWINHEAD_WORKER",
    show_envvar=True,
    help="Address of a worker, host:port; may be repeated, then they share the work by their pace. "
    "dns:///name:port is all addresses behind a name (say --streams, too).",
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
    "--scores",
    is_flag=True,
    help="Add a column TASK_score_LABEL with the probability of each label. Keeps one version of "
    "the model, as --pin does.",
)
@click.option(
    "--embeddings",
    is_flag=True,
    help="Add the sentence embedding: in Parquet and Arrow a fixed-size list of float32 (1.5 KB a "
    "row with the starter model), beside CSV, TSV and JSON lines a matrix in NAME.npy.",
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
@click.option("--report", metavar="FILE.html", help="Also write a page about the run.")
@click.option(
    "--input-format",
    type=click.Choice(INPUT_FORMATS),
    help="Default: by the suffix; txt for standard input.",
)
@click.option(
    "--output-format",
    type=click.Choice(OUTPUT_FORMATS),
    help="Default: by the suffix; jsonl for standard output.",
)
@click.option("--encoding", default="utf-8", show_default=True, help="Of text formats.")
@click.option(
    "--header/--no-header",
    default=True,
    show_default=True,
    help="Whether CSV and TSV begin with the names of the columns. Without, they are called "
    "column_1, column_2 and so on.",
)
@click.option(
    "--dedupe/--no-dedupe",
    default=True,
    show_default=True,
    help="Send identical texts once, or every one of them.",
)
@click.option(
    "--pin",
    is_flag=True,
    help="One version of the model for the whole file: ends with an error when the worker keeps it "
    "no longer. Default: a version that goes live in mid-file goes on; model_version tells.",
)
@click.option(
    "--fail-fast",
    is_flag=True,
    help="End at the first row that gets no label. Default: say why in its column `error`, go on, "
    "and exit with 3.",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Begin anew. Default: go on with what an interrupted run has left in the journal.",
)
@click.option(
    "--allow-changed",
    is_flag=True,
    help="Go on though INPUT has changed since: answers are kept as far as the texts are the same, "
    "what was mended or appended after that is sent.",
)
@click.option(
    "--journal",
    metavar="FILE",
    help="Keeps the answers until OUTPUT is complete, and takes as much room as they do. Default: "
    "OUTPUT.journal; in the user's cache folder when OUTPUT is a URI; none for standard output. "
    "'': none, a run that is interrupted begins anew.",
)
@click.option(
    "--streams",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Streams to each worker. One keeps a worker busy; a name with many workers behind it "
    "needs twice as many as those.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(1, 64),
    default=16,
    show_default=True,
    help="Requests of up to 256 rows on their way on a stream, at most; as a rule they are as many "
    "as the worker answers in two seconds.",
)
@click.option(
    "--reconnect",
    "reconnect_seconds",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Seconds to go on when no worker is left in mid-file; what is unanswered is sent again.",
)
@click.option(
    "--engine",
    type=click.Choice(["worker", "ray"]),
    default="worker",
    show_default=True,
    help="`worker` sends to the workers of --worker; `ray` labels on a Ray cluster, with workers "
    "of its own, into a folder of part files.",
)
@click.option(
    "--model",
    default="starter",
    show_default=True,
    help="With --engine ray: checkpoint folder, the same on every node, or `starter`.",
)
@click.option(
    "--serve-options",
    default="",
    help="With --engine ray: more options of `twinhead serve` for its workers, such as "
    "'--precision int8'.",
)
@click.option(
    "--ray-address",
    help="Cluster to use: `auto` for the one that this machine is part of, or host:port. Default: "
    "one of this machine alone, for this run.",
)
@click.option(
    "--ray-actors",
    type=click.IntRange(1),
    help="Workers, each with the model. Default: as many as leave one CPU free to read and write.",
)
@click.option(
    "--ray-cpus",
    type=click.IntRange(1),
    help="CPUs of each worker, which are its threads. Default: 4, or fewer on smaller nodes.",
)
@click.pass_context
def label(
    context: click.Context,
    inputs: tuple[str, ...],
    output_path: str,
    workers: tuple[str, ...],
    access: Access,
    column: str | None,
    tasks: tuple[str, ...],
    scores: bool,
    embeddings: bool,
    truncate: bool,
    prefix: str,
    report: str | None,
    input_format: str | None,
    output_format: str | None,
    encoding: str,
    header: bool,
    dedupe: bool,
    pin: bool,
    fail_fast: bool,
    restart: bool,
    allow_changed: bool,
    journal: str | None,
    streams: int,
    in_flight: int,
    reconnect_seconds: float,
    engine: str,
    model: str,
    serve_options: str,
    ray_address: str | None,
    ray_actors: int | None,
    ray_cpus: int | None,
) -> None:
    """Label every row of INPUT: TXT, CSV, TSV, JSONL, Parquet or Arrow, also with .gz or .zst.

    INPUT may be several files, folders, patterns such as 'in/*.csv', URIs such as s3://..., or `-`
    for standard input; they are read one after the other into one OUTPUT.

    All columns are kept and the rows stay in their order. For each task a column with the label
    and one with its score are added, and `truncated`, `error` and `model_version`.

    Whatever ends it (Ctrl-C, a kill, a full disk, a worker that stays away), the same command goes
    on where it was, and OUTPUT becomes what it would have been without.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some rows have no label.
    """
    _check_engine(context, engine, output_path)
    console = Console(stderr=True)
    # Told to end, it ends as with Ctrl-C: what is answered is kept.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Imported here, so that --help needs neither gRPC nor Arrow.
    if engine == "ray":
        from .files.input_files import expand
        from .labelling.ray_label import RayOptions, ray_label

        result = ray_label(
            [path for place in inputs for path in expand(place, input_format)],
            output_path,
            RayOptions(
                input_format=input_format,
                column=column,
                encoding=encoding,
                header=header,
                output_format=output_format or "parquet",
                tasks=tasks or None,
                embeddings=embeddings,
                scores=scores,
                truncate=truncate,
                prefix=prefix,
                dedupe=dedupe,
                restart=restart,
                model=model,
                serve_options=shlex.split(serve_options),
                address=ray_address,
                actors=ray_actors,
                cpus_per_actor=ray_cpus,
            ),
        )
        _finish(console, result.summary, output_path)
        return
    from .labelling.bulk_label import LabelOptions
    from .labelling.label_files import FileOptions, label_files
    from .labelling.worker_pool import WorkerPool

    pool = WorkerPool(
        workers,
        access,
        streams=streams,
        in_flight=in_flight,
        reconnect_seconds=reconnect_seconds,
        tell=lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True),
    )
    options = LabelOptions(
        tasks=tasks or None,
        embeddings=embeddings,
        scores=scores,
        truncate=truncate,
        prefix=prefix,
        dedupe=dedupe,
        pin=pin,
        allow_changed=allow_changed,
        fail_fast=fail_fast,
    )
    files = FileOptions(
        input_format=input_format,
        output_format=output_format,
        column=column,
        encoding=encoding,
        header=header,
        journal=journal,
        restart=restart,
        report=report,
    )
    try:
        summary = label_files(inputs, output_path, pool, options, files, console)
    except KeyboardInterrupt as error:
        raise click.Abort from error
    if report is not None:
        console.print(f"report written to {report}", highlight=False, markup=False)
    _finish(console, summary, output_path)


def _check_engine(context: click.Context, engine: str, output_path: str) -> None:
    """Refuse options that the other engine has."""
    given = {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        if parameter.name
        and context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    }
    for name in _RAY_ONLY if engine == "worker" else _WORKER_ONLY:
        if name in given:
            other = "ray" if engine == "worker" else "worker"
            raise click.UsageError(f"{given[name]} is for --engine {other}")
    if engine == "ray" and output_path == "-":
        raise click.UsageError("--engine ray writes a folder of part files; say its name")


def _finish(console: Console, summary: "LabelSummary", output_path: str) -> None:
    """Tell what was done, and exit with what that means."""
    destination = "standard output" if output_path == "-" else output_path
    console.print(summary.render(destination), highlight=False)
    if summary.failed:
        sys.exit(EXIT_ROWS_FAILED)
