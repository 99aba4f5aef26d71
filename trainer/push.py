"""Pushes a checkpoint into running workers: staged on all of them before it is live on any."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from ..client.admin_client import AdminClient, DriftLimits, GateReport, Push, VersionOffer
from ..client.channel import Access
from ..client.errors import TwinheadError
from ..model.checkpoint import Checkpoint
from ..model.version_parts import VersionParts


@dataclass(frozen=True)
class PushOptions:
    """On what conditions workers are to take a version."""

    expected_live_version: str = ""
    """The version that must be live on each; empty for any."""
    allow_new_tasks: bool = False
    drift_limits: DriftLimits = field(default_factory=DriftLimits)
    access: Access = field(default_factory=Access)
    """What lets one in at the admin services."""


@dataclass(frozen=True)
class PushReport:
    """What became of a push on one worker."""

    worker: str
    live: bool = False
    """Whether the version is live there now."""
    error: str = ""
    """Why it is not; empty where only another worker is to blame."""
    gate: GateReport | None = None
    """What the worker has measured; None when it came to none."""
    previous_version: str = ""
    lasting: bool = False
    """Whether the version is still there when the worker is started again."""
    seconds: float = 0.0
    """From the start until it was live, or staged."""


def push_checkpoint(
    checkpoint: Checkpoint,
    workers: Sequence[str],
    options: PushOptions,
    sent: Callable[[str, int], None] | None = None,
) -> list[PushReport]:
    """Push a checkpoint to workers.

    No worker makes it live unless all have staged it. Where one fails in the moment of going live,
    it is live on the others; the reports tell.

    Args:
        checkpoint: what to push.
        workers: `host:port` of their admin services, each once.
        options: conditions.
        sent: told a worker and the bytes of each piece that was sent to it; from other threads.
    """
    started = time.monotonic()
    parts = VersionParts.of(checkpoint)
    offer = VersionOffer(
        files=parts.files.files,
        read=parts.read,
        expected_live_version=options.expected_live_version,
        allow_new_tasks=options.allow_new_tasks,
        drift_limits=options.drift_limits,
    )
    # The pushes are closed before the threads are waited for: an interrupt then ends both at once.
    with ThreadPoolExecutor(len(workers)) as threads, ExitStack() as open_pushes:
        pushes = {
            worker: open_pushes.enter_context(
                open_pushes.enter_context(
                    AdminClient(worker, token=options.access.token, tls=options.access.tls)
                ).push(offer)
            )
            for worker in workers
        }

        def stage(worker: str) -> PushReport:
            def told(size: int) -> None:
                if sent is not None:
                    sent(worker, size)

            try:
                gate = pushes[worker].stage(told)
            except TwinheadError as error:
                return PushReport(worker, error=str(error))
            return PushReport(worker, gate=gate, seconds=time.monotonic() - started)

        staged = list(threads.map(stage, workers))
        if any(report.error for report in staged):
            return staged
        return [_go_live(report, pushes[report.worker], started) for report in staged]


def _go_live(staged: PushReport, push: Push, started: float) -> PushReport:
    try:
        previous, lasting = push.go_live()
    except TwinheadError as error:
        return replace(staged, error=str(error))
    return replace(
        staged,
        live=True,
        previous_version=previous,
        lasting=lasting,
        seconds=time.monotonic() - started,
    )
