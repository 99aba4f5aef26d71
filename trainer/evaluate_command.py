"""`twinhead evaluate`: how right a model is, of a checkpoint or as a worker serves it."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from ..client.channel import Access
from ..client.connection_options import access_options
from ..client.label_command import EXIT_ROWS_FAILED
from ..client.labelling.label_progress import LabelProgress
from ..model.command_errors import one_line_errors

if TYPE_CHECKING:  # what they import takes seconds, which --help need not wait for
    from ..model.config import TaskConfig
    from .evaluate_model import ModelEvaluation
    from .evaluation_rows import EvaluationRows

_Read = Callable[["Mapping[str, TaskConfig]"], "EvaluationRows"]
_Outcome = tuple["ModelEvaluation", tuple[str, ...]]

_FILE_OPTIONS = ("text", "words", "columns", "maps")
_RECIPE_OPTIONS = ("data_folder", "splits")


def _columns_of(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for item in given:
        name, equals, column = item.partition("=")
        if not (name and equals and column):
            raise click.BadParameter(f"{item!r} is not of the form NAME=COLUMN")
        columns[name] = column
    return columns


@click.command()
@click.argument("places", metavar="[CHECKPOINT] DATA", nargs=-1)
@click.option(
    "--worker", metavar="HOST:PORT", help="Measure what this worker serves, not a checkpoint."
)
@access_options
@click.option("--text", metavar="COLUMN", help="Column of a file with the text. Default: text.")
@click.option(
    "--words",
    metavar="COLUMN",
    help="Column of a file with the words that the tags of a token task stand for, in place of a "
    "text. Token tasks need it.",
)
@click.option(
    "--task",
    "columns",
    metavar="NAME=COLUMN",
    multiple=True,
    callback=_columns_of,
    help="Task to measure and the column of a file with its labels; may be repeated. Default: each "
    "task of which the file has a column of the same name; if there is none and the model has one "
    "task, that by the column label.",
)
@click.option(
    "--map",
    "maps",
    metavar="[TASK:]VALUE=LABEL",
    multiple=True,
    help="What a value of a file's label columns is called in the model; may be repeated. An empty "
    "LABEL: such rows have no label.",
)
@click.option(
    "--data",
    "data_folder",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="What the paths of a recipe's data files start from. Default: the recipe's folder.",
)
@click.option(
    "--split",
    "splits",
    type=click.Choice(["train", "validation", "test"]),
    multiple=True,
    help="Split of a recipe to measure; may be repeated. Default: validation and test.",
)
@click.option(
    "--details",
    is_flag=True,
    help="Show the figures of each label, too, and what is mistaken for what.",
)
@click.option(
    "--json",
    "json_file",
    metavar="FILE",
    help="Also write all figures, confusion matrices included, as JSON; `-` is standard output, "
    "and the tables go to standard error then.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to run a checkpoint; auto takes a GPU if there is one.",
)
@click.pass_context
def evaluate(
    context: click.Context,
    places: tuple[str, ...],
    worker: str | None,
    access: Access,
    text: str | None,
    words: str | None,
    columns: dict[str, str],
    maps: tuple[str, ...],
    data_folder: Path | None,
    splits: tuple[str, ...],
    details: bool,
    json_file: str | None,
    device: str,
) -> None:
    """Measure the model in CHECKPOINT, or a worker's, on labelled DATA.

    CHECKPOINT is a folder, or `starter`: the model that comes with Twinhead; with --worker there
    is none. DATA is a JSONL, CSV or Parquet file, or a recipe (.toml, or the name of one that
    Twinhead brings along), whose data sets are measured together and one by one. Every label must
    be one of the model's; a task is measured on the rows that have a label of it.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some rows have no answer.
    """
    if len(places) != (1 if worker else 2):
        wanted = "--worker and DATA" if worker else "CHECKPOINT and DATA, or --worker and DATA"
        raise click.UsageError(f"{wanted} are needed; {len(places)} arguments were given")
    data = places[-1]
    # A name without suffix is a recipe's.
    is_recipe = Path(data).suffix.lower() in (".toml", "")
    for name in _FILE_OPTIONS if is_recipe else _RECIPE_OPTIONS:
        if context.params[name]:
            option = {"columns": "task", "maps": "map", "data_folder": "data", "splits": "split"}
            of = "files" if is_recipe else "recipes"
            raise click.UsageError(f"--{option.get(name, name)} is for {of}, which {data} is not")
    out, aside = Console(highlight=False, stderr=json_file == "-"), Console(stderr=True)

    with one_line_errors():

        def read(tasks: "Mapping[str, TaskConfig]") -> "EvaluationRows":
            from .evaluation_rows import FileColumns, rows_of_file, rows_of_recipe
            from .read_recipe import find_recipe, read_recipe

            if is_recipe:
                recipe = read_recipe(find_recipe(data), data_folder)
                return rows_of_recipe(recipe, splits or ("validation", "test"), tasks)
            return rows_of_file(
                Path(data), FileColumns(text or "text", words, columns, maps), tasks
            )

        model = worker or places[0]
        if worker:
            measured, notes = _of_worker(worker, access, read, aside)
        else:
            measured, notes = _of_checkpoint(model, device, read, aside)
        _show(measured, notes, model, out, aside, details=details)
        if json_file is not None:
            _write_json(json_file, measured, notes, model)
    if measured.failed:
        sys.exit(EXIT_ROWS_FAILED)


def _of_checkpoint(model: str, device: str, read: _Read, console: Console) -> _Outcome:
    import torch

    from ..model.checkpoint import Checkpoint
    from ..model.starter import checkpoint_folder
    from .evaluate_model import evaluate_model

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("--device cuda: there is no GPU that torch can use")
    checkpoint = Checkpoint.load(checkpoint_folder(model))
    rows = read({task.name: task for task in checkpoint.config.tasks})
    with LabelProgress(console, rows.count) as progress:
        measured = evaluate_model(
            checkpoint,
            rows,
            device=torch.device(device),
            on_progress=progress.done,
        )
    return measured, rows.notes


def _of_worker(worker: str, access: Access, read: _Read, console: Console) -> _Outcome:
    from ..client import Client
    from .evaluate_worker import evaluate_worker, tasks_of

    with Client(worker, token=access.token, tls=access.tls) as client:
        model = client.model()
        rows = read(tasks_of(model))
        with LabelProgress(console, rows.count) as progress:
            measured = evaluate_worker(client, model, rows, on_progress=progress.done)
    return measured, rows.notes


def _show(
    measured: "ModelEvaluation",
    notes: tuple[str, ...],
    model: str,
    out: Console,
    aside: Console,
    *,
    details: bool,
) -> None:
    from .evaluation_output import lines_of_failed, print_evaluation

    for line in (*notes, *lines_of_failed(measured.failed)):
        aside.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
    head = f"{model}, version {measured.version}, {measured.rows:,} rows\n"
    out.print(head, markup=False, soft_wrap=True)
    print_evaluation(out, measured, details=details)


def _write_json(file: str, measured: "ModelEvaluation", notes: tuple[str, ...], model: str) -> None:
    from .evaluation_output import as_json

    text = json.dumps(as_json(measured, model, notes), indent=2, ensure_ascii=False) + "\n"
    if file == "-":
        click.echo(text, nl=False)
    else:
        Path(file).write_text(text, encoding="utf-8")
