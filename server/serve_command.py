"""`twinhead serve`: run a worker until it is told to stop."""

import asyncio
import functools
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from pydantic import ValidationError

from ..model.config import describe_faults
from ..model.errors import ModelError
from .engines.engine import EngineError
from .free_memory import return_memory, share_memory
from .listen import ListenError
from .live_model import LiveModel
from .settings import WorkerSettings
from .worker import Worker

if TYPE_CHECKING:  # it imports torch
    from .version_store import VersionStore

logger = logging.getLogger(__name__)


def _settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option for each field of the settings, with the field's description as its help."""
    for name, field in reversed(WorkerSettings.model_fields.items()):
        flag = f"--{name.replace('_', '-')}"
        optional = field.default is None
        option = click.option(
            f"{flag}/--no-{flag[2:]}" if field.annotation is bool else flag,
            # The type of an optional one is a union with None, which stands for "not given".
            type=get_args(field.annotation)[0] if optional else field.annotation,
            default=field.default,
            show_default=field.default not in (None, ""),
            help=field.description,
        )
        command = option(command)
    return command


@click.command()
@_settings_options
@click.option(
    "--port-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write the port to once the worker is ready, and that of the admin service on a "
    "second line; for scripts that use --port 0.",
)
def serve(port_file: Path | None, **options: Any) -> None:
    """Run a worker.

    It answers over gRPC (package twinhead.v1, with health and reflection) until SIGTERM or
    Ctrl-C; then it finishes the work that it has accepted and exits.
    """
    try:
        settings = WorkerSettings(**options)
    except ValidationError as error:
        faults = [f"--{fault.replace('_', '-')}" for fault in describe_faults(error)]
        raise click.UsageError("\n".join(faults)) from error
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    share_memory()
    try:
        if port_file is not None:
            # What an earlier worker left would be taken for this one's. And whether the file can be
            # written is better known now than when the model is loaded.
            port_file.unlink(missing_ok=True)
            _staging(port_file).touch()
        finished = asyncio.run(_serve(settings, port_file))
        if port_file is not None:
            port_file.unlink(missing_ok=True)
    except (ModelError, EngineError, ListenError, ValueError, OSError) as error:
        if click.get_current_context().find_root().params.get("debug"):
            raise
        raise click.ClickException(str(error)) from error
    if not finished:
        raise click.ClickException("the drain time ran out; some accepted work was cut off")


async def _serve(settings: WorkerSettings, port_file: Path | None) -> bool:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, functools.partial(_stop, stop, number))
    worker = Worker(settings)
    starting = asyncio.create_task(worker.start(_load))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        # Loading cannot be interrupted, and nothing is lost by not waiting for it.
        logger.info("stopped before the model was loaded")
        _exit_now(0)
    model = await starting
    if port_file is not None:
        _staging(port_file).write_text(f"{worker.port}\n{worker.admin_port}\n", encoding="utf-8")
        _staging(port_file).replace(port_file)  # whoever sees the file sees the port in it
    tasks = ", ".join(task.name for task in model.config.tasks)
    logger.info(
        "ready on %s:%d, admin service on %s:%d: version %s, tasks %s",
        settings.host,
        worker.port,
        settings.admin_host,
        worker.admin_port,
        model.version,
        tasks,
    )
    await stop.wait()
    logger.info("draining, at most %.0f s", settings.drain_seconds)
    finished = await worker.drain()
    logger.info("stopped")
    return finished


def _staging(port_file: Path) -> Path:
    return port_file.with_name(port_file.name + ".partial")


def _load(settings: WorkerSettings, store: "VersionStore | None") -> LiveModel:
    # Imports torch: in the loading thread, so that the worker answers health checks meanwhile.
    from .load_model import load_model

    model = load_model(settings, store)
    # What is there now stays: looking for garbage in it would stop all threads for a quarter of a
    # second, again and again.
    gc.collect()
    gc.freeze()
    return_memory()
    return model


def _stop(stop: asyncio.Event, number: signal.Signals) -> None:
    if stop.is_set():
        logger.info("second signal, stopping at once")
        _exit_now(1)
    logger.info("received %s", signal.Signals(number).name)
    stop.set()


def _exit_now(code: int) -> None:
    logging.shutdown()
    os._exit(code)
