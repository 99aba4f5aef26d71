"""`twinhead train`: a recipe becomes a checkpoint and a report."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape

from ..client.admin_client import AdminClient
from ..client.channel import Access
from ..client.connection_options import access_options
from ..model.command_errors import one_line_errors

if TYPE_CHECKING:  # what it imports takes a second, which --help need not wait for
    from .run_summary import RunSummary


@click.command()
@click.argument("recipe")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for checkpoint, report and logs. Default: runs/ and the recipe's name.",
)
@click.option(
    "--data",
    "data_folder",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="What the paths of the recipe's data files start from. Default: the recipe's folder.",
)
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Replace a key of the recipe, such as training.epochs=1 or data.news.limit=500; may be "
    "repeated.",
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted run, where it was saved.")
@click.option("--force", is_flag=True, help="Replace what an earlier run has left in OUTPUT.")
@click.option(
    "--delta",
    is_flag=True,
    help="Write only the tensors that training changed: smaller, but the encoder (or checkpoint) "
    "that training began with is needed to load it.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train; auto takes a GPU if there is one. With torchrun, each process takes its "
    "own.",
)
@click.option(
    "--tensorboard/--no-tensorboard", default=True, show_default=True, help="Write its event files."
)
@click.option(
    "--push",
    "workers",
    metavar="HOST:PORT",
    multiple=True,
    help="In the end, put the weights into the running worker whose admin service listens there; "
    "may be repeated. Not done where training from a checkpoint has not improved on it.",
)
@click.option(
    "--allow-new-tasks",
    is_flag=True,
    help="With --push: let the version have other tasks or labels than the live one.",
)
@access_options
@click.option(
    "--check", is_flag=True, help="Check the recipe and the data files' columns, and stop."
)
def train(
    recipe: str,
    output: Path | None,
    data_folder: Path | None,
    settings: tuple[str, ...],
    resume: bool,
    force: bool,
    delta: bool,
    device: str,
    tensorboard: bool,
    workers: tuple[str, ...],
    allow_new_tasks: bool,
    access: Access,
    check: bool,
) -> None:
    """Train the encoder and the task heads of RECIPE on its data.

    RECIPE is a TOML file, or the name of a recipe that Twinhead brings along, such as
    minilm_synchronous.

    OUTPUT gets `checkpoint` (serve it with `twinhead serve --model OUTPUT/checkpoint`),
    `report.html`, `history.jsonl` and TensorBoard's event files. Several processes train together
    under `torchrun -m twinhead.client train RECIPE`.
    """
    with one_line_errors():
        from .read_recipe import find_recipe, read_recipe

        file = find_recipe(recipe)
        checked = read_recipe(file, data_folder, settings)
        if check:
            click.echo(f"{file}: no faults")
            return
        from .tensorboard_log import TensorBoardLog
        from .train_progress import TrainProgress
        from .train_recipe import Observer, train_recipe

        for worker in workers:  # better known now than in an hour
            with AdminClient(worker, token=access.token, tls=access.tls, timeout=10) as admin:
                admin.versions()
        folder = output or Path("runs") / file.stem
        console = Console(stderr=True)

        def observers(folder: Path) -> Sequence[Observer]:
            found: list[Observer] = [TrainProgress(console)]
            return [*found, TensorBoardLog(folder)] if tensorboard else found

        summary = train_recipe(
            checked,
            folder,
            title=file.stem,
            resume=resume,
            force=force,
            device=device,
            delta=delta,
            observers=observers,
        )
    if summary is None:
        return
    _show(summary, folder)
    if not workers:
        return
    if not summary.improved:
        click.echo("Not pushed: validation is no better than with what training began with.")
        return
    with one_line_errors():
        _push(folder, workers, allow_new_tasks=allow_new_tasks, access=access)


def _push(folder: Path, workers: Sequence[str], *, allow_new_tasks: bool, access: Access) -> None:
    from ..model.checkpoint import Checkpoint
    from .push import PushOptions
    from .push_command import push_with_progress, show_reports
    from .train_recipe import CHECKPOINT

    checkpoint = Checkpoint.load(folder / CHECKPOINT)
    options = PushOptions(allow_new_tasks=allow_new_tasks, access=access)
    reports = push_with_progress(checkpoint, list(dict.fromkeys(workers)), options)
    show_reports(Console(highlight=False, soft_wrap=True), checkpoint.version, reports)
    if not all(report.live for report in reports):
        sys.exit(1)


def _show(summary: "RunSummary", folder: Path) -> None:
    from .figures_table import figures_table, print_table
    from .train_recipe import CHECKPOINT, REPORT

    console = Console(highlight=False, soft_wrap=True)
    print_table(console, figures_table(summary.evaluations))
    checkpoint = folder / CHECKPOINT
    console.print(
        f"version {summary.version}, best after step {summary.best_step:,}\n"
        f"checkpoint  {escape(str(checkpoint))}\n"
        f"report      {escape(str(folder / REPORT))}\n\n"
        f"Next: [bold]twinhead serve --model {escape(str(checkpoint))}[/bold]"
    )
