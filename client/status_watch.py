"""A live view of workers: what they do, once a second."""

import json
import math
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .admin_client import AdminClient
from .channel import Access
from .errors import TwinheadError
from .worker_status import Latencies, WorkerStatus

_BAR = 24


@dataclass(frozen=True)
class Look:
    """What a worker did between two looks at it."""

    target: str
    status: WorkerStatus | None
    """None when it did not answer."""
    before: WorkerStatus | None
    """The look before; None when there is none to compare with."""
    seconds: float
    """Between the two."""
    error: str = ""
    """Why it did not answer."""

    def rate(self, name: str) -> float:
        """How much a count of `WorkerStatus` has grown in a second; 0 without an earlier look."""
        if self.status is None or self.before is None:
            return 0.0
        return (getattr(self.status, name) - getattr(self.before, name)) / self.seconds

    @property
    def padding(self) -> float | None:
        """Share of padding in what was encoded; None when nothing was."""
        padded = self.rate("padded_tokens")
        return 1 - self.rate("tokens") / padded if padded else None

    def latencies(self) -> Iterator[tuple[str, Latencies]]:
        """Of each class of service that had batches."""
        if self.status is None or self.before is None:
            return
        for name, now in self.status.latencies.items():
            recent = now.since(self.before.latencies.get(name))
            if recent.count:
                yield name, recent

    def failures(self) -> Iterator[tuple[str, float, int]]:
        """Reason, errors a second, and how many there were since the start."""
        if self.status is None:
            return
        for reason, count in self.status.failures.items():
            earlier = self.before.failures.get(reason, 0) if self.before else count
            yield reason, (count - earlier) / self.seconds, count


def watch(
    console: Console,
    workers: Sequence[str],
    access: Access,
    interval: float,
    *,
    as_json: bool = False,
) -> None:
    """Show workers until interrupted: live on a terminal, else a line for each at each look."""
    with ExitStack() as stack:
        clients = {
            target: stack.enter_context(
                AdminClient(target, token=access.token, tls=access.tls, timeout=5)
            )
            for target in workers
        }
        looks = _looks(clients, interval)
        if console.is_terminal and not as_json:
            with Live(console=console, auto_refresh=False, screen=True) as live:
                for found in looks:
                    live.update(Group(*map(picture, found)), refresh=True)
        for found in looks:
            for look in found:
                print(json.dumps(_as_json(look)) if as_json else line(look), flush=True)  # noqa: T201


def _looks(clients: Mapping[str, AdminClient], interval: float) -> Generator[list[Look]]:
    before: dict[str, tuple[float, WorkerStatus]] = {}
    while True:
        began = time.monotonic()
        found: list[Look] = []
        for target, client in clients.items():
            try:
                status = client.status()
            except TwinheadError as error:
                before.pop(target, None)
                found.append(Look(target, None, None, interval, str(error)))
                continue
            now = time.monotonic()
            then, earlier = before.get(target, (now - interval, None))
            if earlier is not None and earlier.started != status.started:
                earlier = None  # another process: its counts begin anew
            found.append(Look(target, status, earlier, max(now - then, 1e-3)))
            before[target] = now, status
        yield found
        time.sleep(max(0.0, began + interval - time.monotonic()))


def picture(look: Look) -> RenderableType:
    """A worker as some lines on a terminal."""
    status = look.status
    if status is None:
        return Text.from_markup(f"[bold]{escape(look.target)}[/bold]  [red]{escape(look.error)}[/]")
    state = "[green]ready[/]" if status.ready else "[red]not ready[/]"
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=11)
    table.add_column()
    swaps = f", {status.swaps:,} swaps since the start" if status.swaps else ""
    table.add_row("version", f"[bold]{escape(status.model_version)}[/]{swaps}")
    table.add_row("memory", f"{status.resident_bytes / 2**20:,.0f} MiB")
    padding = f", {look.padding:.1%} padding" if look.padding is not None else ""
    table.add_row(
        "sentences",
        f"[bold]{look.rate('sentences'):,.0f}[/] a second ({status.sentences:,} since the start)",
    )
    table.add_row(
        "encoder",
        f"{look.rate('passes'):,.0f} passes, {look.rate('tokens'):,.0f} tokens a second{padding}",
    )
    table.add_row("calls", f"{status.calls:,} open")
    limit = max(status.queue_limit_tokens, 1)
    full = min(_BAR, math.ceil(_BAR * status.queue_tokens / limit))
    table.add_row(
        "queue",
        f"[cyan]{'█' * full}[/][dim]{'░' * (_BAR - full)}[/] {status.queue_tokens:,} of "
        f"{status.queue_limit_tokens:,} tokens",
    )
    for name, latencies in look.latencies():
        table.add_row(
            escape(name),
            f"{latencies.count / look.seconds:,.0f} batches a second, half within "
            f"{_time(latencies.quantile(0.5))}, 99 % within {_time(latencies.quantile(0.99))}",
        )
    for reason, rate, count in look.failures():
        style = "red" if rate else "dim"
        table.add_row("failures", f"[{style}]{escape(reason)}: {rate:,.1f} a second ({count:,})[/]")
    return Group(
        Text.from_markup(
            f"[bold]{escape(look.target)}[/]  {state}, {escape(status.engine)}, twinhead "
            f"{escape(status.release)}"
        ),
        table,
        "",
    )


def line(look: Look) -> str:
    """A worker as one line."""
    status = look.status
    if status is None:
        return f"{look.target}: {look.error}"
    parts = [
        f"{look.target}: {'ready' if status.ready else 'not ready'}",
        status.model_version,
        f"{look.rate('sentences'):,.0f} sentences/s",
        f"{status.calls:,} calls",
        f"queue {status.queue_tokens:,} tokens",
        f"{status.resident_bytes / 2**20:,.0f} MiB",
    ]
    parts += [f"{name} p99 {_time(each.quantile(0.99))}" for name, each in look.latencies()]
    parts += [f"{reason} {rate:,.1f}/s" for reason, rate, _ in look.failures() if rate]
    return ", ".join(parts)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if math.isinf(seconds):
        return "over a minute"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _as_json(look: Look) -> dict[str, Any]:
    if look.status is None:
        return {"worker": look.target, "error": look.error}
    return {
        "worker": look.target,
        **status_json(look.status),
        "sentences_per_second": round(look.rate("sentences"), 1),
        "seconds": {
            name: {"p50": _finite(each.quantile(0.5)), "p99": _finite(each.quantile(0.99))}
            for name, each in look.latencies()
        },
    }


def status_json(status: WorkerStatus) -> dict[str, Any]:
    """What a worker says of itself, as JSON."""
    return {
        "model_version": status.model_version,
        "ready": status.ready,
        "started": status.started.isoformat(),
        "release": status.release,
        "engine": status.engine,
        "resident_bytes": status.resident_bytes,
        "calls": status.calls,
        "queue_tokens": status.queue_tokens,
        "queue_limit_tokens": status.queue_limit_tokens,
        "sentences": status.sentences,
        "tokens": status.tokens,
        "padded_tokens": status.padded_tokens,
        "passes": status.passes,
        "swaps": status.swaps,
        "failures": dict(status.failures),
    }


def _finite(seconds: float | None) -> float | None:
    return None if seconds is None or math.isinf(seconds) else round(seconds, 6)
