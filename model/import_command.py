"""`twinhead import`: a model of another library becomes a checkpoint."""

from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from .checkpoint import Checkpoint
from .command_errors import one_line_errors
from .config import TaskConfig

# Labels that are shown; a task can have thousands.
_SHOWN_LABELS = 12


@click.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="Checkpoint folder to make; it appears only when it is complete.",
)
@click.option(
    "--task",
    default="label",
    show_default=True,
    help="Name of the task that the model's head becomes.",
)
def import_command(folder: Path, output: Path, task: str) -> None:
    """Make a Twinhead checkpoint of the model in FOLDER, with the same embeddings and logits.

    FOLDER is one of: a Hugging Face model for sequence or token classification; a
    sentence-transformers model; a SetFit model with a torch head. Weights are read from
    safetensors, and no code of the folder is run.
    """
    with one_line_errors():
        from .import_model import import_model  # torch and transformers take seconds

        checkpoint = import_model(folder, task)
        checkpoint.save(output)
    _show(checkpoint, output)


def _show(checkpoint: Checkpoint, output: Path) -> None:
    config, network = checkpoint.config, checkpoint.network
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{escape(str(output))}[/bold], version {checkpoint.version}")
    console.print(
        f"encoder   {escape(config.encoder)}: {network.dimensions} dimensions, "
        f"up to {config.max_tokens} tokens, {config.embedding_pooling} pooling"
    )
    for task in config.tasks:
        console.print(f"task      {task.name}: {task.kind}, {escape(_labels(task))}")
    if not config.tasks:
        console.print("task      none: it gives embeddings only")
    if checkpoint.provenance["tokenizer"] != "tokenizer.json":
        console.print(f"tokenizer {checkpoint.provenance['tokenizer']}: no tokenizer.json says it")
    console.print(f"\nNext: [bold]twinhead serve --model {escape(str(output))}[/bold]")


def _labels(task: TaskConfig) -> str:
    shown = ", ".join(task.labels[:_SHOWN_LABELS])
    more = len(task.labels) - _SHOWN_LABELS
    return f"{len(task.labels)} labels: {shown}" + (f" and {more} more" if more > 0 else "")
