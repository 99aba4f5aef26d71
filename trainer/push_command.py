"""`twinhead push`: a checkpoint's weights into running workers, or to where they look for them."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from ..client.channel import Access
from ..client.connection_options import admin_options
from ..model.command_errors import one_line_errors

if TYPE_CHECKING:  # they import torch, which --help need not wait for
    from ..model.checkpoint import Checkpoint
    from .push import PushOptions, PushReport


@click.command()
@click.argument("checkpoint_folder", metavar="CHECKPOINT")
@admin_options
@click.option(
    "--publish",
    metavar="URI",
    help="Publish it there instead, for workers that run with `--watch URI`: a folder, or an "
    "object-store prefix such as s3://bucket/models.",
)
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="Base of a delta checkpoint, if it is no longer where it was when the delta was saved.",
)
@click.option(
    "--allow-new-tasks",
    is_flag=True,
    help="Let the version have other tasks, labels, another architecture or tokenizer than the "
    "live one. Callers who rely on the old ones will notice.",
)
@click.option(
    "--expect",
    metavar="VERSION",
    default="",
    help="Refuse unless this version is live: nobody else's push is overwritten unseen.",
)
@click.option(
    "--min-cosine",
    type=click.FloatRange(-1, 1),
    help="Refuse when the embedding of a probe sentence turns further away from the live version's "
    "than this: stored embeddings would no longer compare. Default: any.",
)
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    help="Refuse when a smaller share of the probe sentences keeps its label, in any task. "
    "Default: any.",
)
@click.option(
    "--probes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Text file with probe sentences of your own for these two, one a line, at most 256.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line and worker.")
def push(
    checkpoint_folder: str,
    workers: tuple[str, ...],
    access: Access,
    publish: str | None,
    base: Path | None,
    allow_new_tasks: bool,
    expect: str,
    min_cosine: float | None,
    min_agreement: float | None,
    probes: Path | None,
    as_json: bool,
) -> None:
    """Put the weights of CHECKPOINT into running workers.

    Only tensors that a worker lacks are sent. Each worker checks them, tries them on probe
    sentences, and says when it is ready; when all are, they go live, between two batches. Nothing
    is interrupted. Where one refuses, nothing changes on any, and the exit code is 1.
    """
    if publish and (min_cosine is not None or min_agreement is not None or expect or probes):
        raise click.UsageError(
            "--publish names no live version to compare with; leave --expect, --min-cosine, "
            "--min-agreement and --probes out"
        )
    if publish and allow_new_tasks:
        raise click.UsageError(
            "whether new tasks are taken from --publish is for its workers to say, with "
            "`twinhead serve --watch-new-tasks`; leave --allow-new-tasks out"
        )
    with one_line_errors():
        from ..client.admin_client import DriftLimits
        from ..model.checkpoint import Checkpoint
        from ..model.starter import checkpoint_folder as find
        from .push import PushOptions

        console = Console(highlight=False, soft_wrap=True)
        checkpoint = Checkpoint.load(find(checkpoint_folder), base)
        if publish:
            _publish(console, checkpoint, publish, as_json=as_json)
            return
        options = PushOptions(
            expected_live_version=expect,
            allow_new_tasks=allow_new_tasks,
            drift_limits=DriftLimits(min_cosine, min_agreement, _read_probes(probes)),
            access=access,
        )
        reports = push_with_progress(checkpoint, workers, options)
    show_reports(console, checkpoint.version, reports, as_json=as_json)
    if not all(report.live for report in reports):
        sys.exit(1)


def push_with_progress(
    checkpoint: "Checkpoint", workers: Sequence[str], options: "PushOptions"
) -> "list[PushReport]":
    """Push, with a bar for each worker on a terminal."""
    from .push import push_checkpoint

    console = Console(stderr=True)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bars:
        rows = {worker: bars.add_task(escape(worker), total=None) for worker in workers}
        return push_checkpoint(
            checkpoint, workers, options, lambda worker, size: bars.advance(rows[worker], size)
        )


def show_reports(
    console: Console, version: str, reports: "Sequence[PushReport]", *, as_json: bool = False
) -> None:
    """Print what became of a push, a line or two for each worker."""
    for report in reports:
        if as_json:
            print(json.dumps(_as_json(version, report), ensure_ascii=False))  # noqa: T201
            continue
        if report.live:
            same = report.previous_version == version
            before = "it was already" if same else f"after {report.previous_version}"
            what = f"{version} is live, {before}"
        else:
            what = report.error or "staged and dropped again: another worker has refused"
        style = "green" if report.live else "red" if report.error else "yellow"
        console.print(f"[{style}]{escape(report.worker)}[/{style}]  {escape(what)}")
        if report.gate is not None:
            console.print(f"  {escape(_gate_line(report))}")
        if report.live and not report.lasting:
            console.print("  [dim]until the worker stops: it has no --state folder[/dim]")


def _gate_line(report: "PushReport") -> str:
    gate = report.gate
    if gate is None:
        return ""
    size = _size(gate.received_bytes)
    words = [f"{size} in {report.seconds:.2f} s, {gate.probes} probes:"]
    if gate.deviation is not None:
        words.append(f"{gate.deviation:.1e} from what was trained;")
    if gate.min_cosine is not None:
        words.append(f"embeddings' cosine with the version before at least {gate.min_cosine:.4f},")
    agreement = ", ".join(f"{task} {share:.0%}" for task, share in gate.agreement.items())
    words.append(f"same labels: {agreement}" if agreement else "no task in common")
    return " ".join(words)


def _size(count: int) -> str:
    # New heads are some KB: not nothing.
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} KB"


def _as_json(version: str, report: "PushReport") -> dict[str, object]:
    gate = report.gate
    return {
        "worker": report.worker,
        "version": version,
        "live": report.live,
        "error": report.error,
        "previous_version": report.previous_version,
        "lasting": report.lasting,
        "seconds": round(report.seconds, 3),
        "gate": None
        if gate is None
        else {
            "probes": gate.probes,
            "deviation": gate.deviation,
            "min_cosine": gate.min_cosine,
            "agreement": dict(gate.agreement),
            "received_bytes": gate.received_bytes,
        },
    }


def _publish(
    console: Console, checkpoint: "Checkpoint", uri: str, *, as_json: bool = False
) -> None:
    from ..model.published import Published
    from ..model.version_parts import VersionParts

    written = Published(uri).publish(VersionParts.of(checkpoint))
    if as_json:
        found = {"published": uri, "version": checkpoint.version, "new_bytes": written}
        print(json.dumps(found, ensure_ascii=False))  # noqa: T201
        return
    console.print(
        f"{checkpoint.version} is published at {escape(uri)}, {_size(written)} were new there"
    )


def _read_probes(file: Path | None) -> tuple[str, ...]:
    if file is None:
        return ()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file} is not UTF-8 text: {error}") from error
    probes = tuple(line.strip() for line in lines if line.strip())
    if not probes:  # else those that come with the version would be taken in their place
        raise click.ClickException(f"{file} holds no sentences")
    return probes
