"""`twinhead status`: what workers serve, and which versions they keep."""

import contextlib
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .admin_client import AdminClient
from .channel import Access
from .connection_options import admin_options
from .errors import TwinheadError
from .results import VersionInfo, VersionList
from .status_watch import status_json, watch
from .worker_status import WorkerStatus


@click.command()
@admin_options
@click.option(
    "-w",
    "--watch",
    "watching",
    is_flag=True,
    help="Show what they do - sentences a second, queue, latencies, failures, memory - live on a "
    "terminal, else a line at a time, until Ctrl-C.",
)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between two looks of --watch.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line and worker.")
def status(
    workers: tuple[str, ...], access: Access, watching: bool, interval: float, as_json: bool
) -> None:
    """Show how workers do, what they serve, and which versions they keep for a rollback.

    Exits with 1 when a worker does not answer.
    """
    console = Console(highlight=False, soft_wrap=True)
    if watching:
        with contextlib.suppress(KeyboardInterrupt):  # the way out
            watch(Console(highlight=False), workers, access, interval, as_json=as_json)
        return
    failed = False
    for target in workers:
        try:
            with AdminClient(target, token=access.token, tls=access.tls, timeout=10) as admin:
                versions, now = admin.versions(), admin.status()
        except TwinheadError as error:
            failed = True
            if as_json:
                print(json.dumps({"worker": target, "error": str(error)}))  # noqa: T201
            else:
                console.print(f"[bold]{escape(target)}[/bold]  [red]{escape(str(error))}[/red]")
            continue
        if as_json:
            print(json.dumps(_as_json(target, versions, now), ensure_ascii=False))  # noqa: T201
        else:
            _show(console, target, versions, now)
    if failed:
        sys.exit(1)


def _show(console: Console, target: str, found: VersionList, now: WorkerStatus) -> None:
    up = _span(datetime.now(UTC) - found.started)
    console.print(
        f"[bold]{escape(target)}[/bold]  up {up}, {escape(found.engine)}, twinhead "
        f"{escape(found.worker_release)}"
    )
    state = "ready" if now.ready else "[red]not ready: its model does not answer[/red]"
    console.print(
        f"{state}, {now.calls:,} calls open, {now.queue_tokens:,} tokens waiting, "
        f"{now.sentences:,} sentences answered, {now.resident_bytes / 2**20:,.0f} MiB"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    # Ids are there to be copied: in a narrow terminal the other columns give way.
    table.add_column("version", no_wrap=True, min_width=16)
    table.add_column("received", no_wrap=True)
    table.add_column("size", no_wrap=True, justify="right")
    table.add_column("tasks")
    table.add_column("trained by")
    for version in found.versions:
        style = "bold" if version.state == "live" else None
        table.add_row(
            version.state,
            version.version,
            f"{version.received.astimezone():%Y-%m-%d %H:%M:%S}",
            f"{version.bytes / 1e6:.1f} MB",
            escape(", ".join(version.tasks)),
            escape(_origin(version)),
            style=style,
        )
    console.print(table)
    if not found.lasting:
        console.print("[dim]kept in memory only: the worker has no --state folder[/dim]")


def _origin(version: VersionInfo) -> str:
    known = version.provenance
    # Of training, of an import, of whatever else made it.
    origin = str(known.get("recipe") or known.get("original") or known.get("method") or "")
    return origin if len(origin) <= 60 else f"{origin[:59]}…"


def _span(time: timedelta) -> str:
    seconds = max(0, int(time.total_seconds()))  # the worker's clock may be ahead of this one
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {name}"
    return f"{seconds} s"


def _as_json(target: str, found: VersionList, now: WorkerStatus) -> dict[str, Any]:
    return {
        "worker": target,
        "engine": found.engine,
        "release": found.worker_release,
        "started": found.started.isoformat(),
        "lasting": found.lasting,
        "status": status_json(now),
        "versions": [
            {
                "version": version.version,
                "state": version.state,
                "received": version.received.isoformat(),
                "bytes": version.bytes,
                "tasks": list(version.tasks),
                "provenance": dict(version.provenance),
            }
            for version in found.versions
        ],
    }
