"""`twinhead inspect`: what a checkpoint holds, and whether it is whole."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .command_errors import one_line_errors
from .config import LinearHead, MlpHead, TaskConfig, TaskKind
from .inspect_checkpoint import Inspection, inspect_checkpoint
from .starter import checkpoint_folder

# Labels and thresholds that are shown of a task; it can have thousands.
_SHOWN = 12


@click.command()
@click.argument("folder")
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="Base of a delta checkpoint, if it is no longer where it was when the delta was saved.",
)
@click.option("--tensors", is_flag=True, help="List each tensor with shape, type and digest.")
def inspect(folder: str, base: Path | None, tensors: bool) -> None:
    """Show what the checkpoint in FOLDER holds, and verify every digest.

    FOLDER may be `starter`: the model that comes with Twinhead. A checkpoint that is incomplete or
    damaged is an error that names what is wrong.
    """
    with one_line_errors():
        found = inspect_checkpoint(checkpoint_folder(folder), base)
    console = Console(highlight=False)
    sections = {
        "": _overview(folder, found),
        "Tasks": _tasks(found),
        "Metrics": dict(_flattened(found.checkpoint.metrics)),
        "Provenance": dict(_flattened(found.checkpoint.provenance)),
        "Files": {name: _bytes(size) for name, size in found.files.items()},
    }
    for title, rows in sections.items():
        if rows:
            console.print(*([f"\n[bold]{title}[/bold]\n"] if title else []), _grid(rows), sep="")
    if tensors:
        # Not cut to the terminal's width: a digest is to be compared or searched for.
        console.print("\n[bold]Tensors[/bold]\n")
        for tensor in found.tensors:
            shape = " x ".join(map(str, tensor.shape)) or "scalar"
            console.print(
                f"  {escape(tensor.name)}  {shape}  {tensor.dtype}  {tensor.sha256}", soft_wrap=True
            )


def _overview(name: str, found: Inspection) -> dict[str, str]:
    checkpoint, config = found.checkpoint, found.checkpoint.config
    place = "in this folder" if found.delta_tensors is None else "from the base"
    size = f"{checkpoint.network.dimensions} dimensions, up to {config.max_tokens} tokens"
    rows = {
        "checkpoint": name,
        "version": checkpoint.version,
        "verified": f"yes: the digests of all {len(found.tensors)} tensors, of the model's "
        "description and of the tokenizer are right",
        "encoder": f"{config.encoder} ({found.model_type}), {place}; {size}, "
        f"{found.parameters['encoder']:,} parameters",
        "embedding": f"{config.embedding_pooling} pooling, "
        + ("scaled to unit length" if config.normalize else "not scaled"),
        "tasks": str(len(config.tasks) or "none: it gives embeddings only"),
    }
    if found.delta_tensors is not None:
        base = f"the encoder {config.encoder}"
        if found.base is not None:
            base = f"version {found.base['version']}, saved at {found.base['path']}"
        own = "1 tensor" if found.delta_tensors == 1 else f"{found.delta_tensors} tensors"
        rows["delta"] = f"holds {own}; the others are from its base: {base}"
    return rows


def _tasks(found: Inspection) -> dict[str, str]:
    return {
        task.name: f"{task.kind}, {len(task.labels)} labels: {_shortened(task.labels)}\n"
        f"{_head(task.head)} on {_reads(task)}, "
        f"{found.parameters[f'heads.{task.name}']:,} parameters"
        + _temperature(task)
        + _thresholds(task)
        for task in found.checkpoint.config.tasks
    }


def _reads(task: TaskConfig) -> str:
    reads = "every token" if task.kind is TaskKind.TOKEN else f"{task.pooling} pooling"
    return reads + (", scaled to unit length" if task.normalize else "")


def _head(head: LinearHead | MlpHead) -> str:
    parts = ["linear head"]
    if isinstance(head, MlpHead):
        width = "the encoder's width" if head.hidden_size is None else str(head.hidden_size)
        parts = [f"mlp head (hidden layer of {width}, {head.activation}"]
        parts += ["residual"] if head.residual else []
        parts += ["layer norm"] if head.layer_norm else []
        parts[-1] += ")"
    if head.dropout:
        parts.append(f"dropout {head.dropout:g}")
    return ", ".join(parts)


def _temperature(task: TaskConfig) -> str:
    return "" if task.temperature == 1 else f", temperature {task.temperature:g}"


def _thresholds(task: TaskConfig) -> str:
    values = task.effective_thresholds
    if not values:
        return ""
    if len(set(values)) == 1:
        return f", threshold {values[0]:g}"
    return f"\nthresholds: {_shortened([f'{value:g}' for value in values])}"


def _shortened(items: Sequence[str]) -> str:
    more = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _flattened(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """What is nested has its own row, named by its path; figures that belong together share one."""
    for key, value in data.items():
        name = f"{prefix}{key}"
        if not isinstance(value, Mapping):
            yield name, _value(value)
            continue
        group = cast("Mapping[str, Any]", value)
        plain = {k: v for k, v in group.items() if not isinstance(v, Mapping | list)}
        if plain:
            yield name, ", ".join(f"{k} {_value(v)}" for k, v in plain.items())
        nested = {k: v for k, v in group.items() if k not in plain}
        yield from _flattened(nested, f"{name}.")


def _value(value: object) -> str:
    if isinstance(value, list):
        return _shortened([str(item) for item in cast("list[object]", value)])
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)


def _bytes(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"


def _grid(rows: Mapping[str, str]) -> Table:
    """Names and what they are, in two columns."""
    table = Table.grid(padding=(0, 0, 0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(f"  {escape(name)}", escape(value))
    return table
