"""`twinhead serve`: run a worker until it is told to stop."""

import os

# gRPC's core writes into the log what strangers send, byte for byte; it looks at this once, when it
# is imported. What it would say of interest, callers see or we say.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import asyncio
import functools
import gc
import logging
import signal
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click
import prometheus_client

from ..model.errors import ModelError
from .engines.engine import EngineError
from .free_memory import return_memory, share_memory
from .listen import ListenError
from .live_model import LiveModel
from .logs import set_up
from .read_settings import CONFIG, PREFIX, SettingsError, read_settings
from .settings import WorkerSettings
from .web_page import WebPage
from .worker import Worker

if TYPE_CHECKING:  # it imports torch
    from .version_store import VersionStore

logger = logging.getLogger(__name__)


def _settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """One option for each field of the settings, with the field's description as its help.

    None of them has a default here: what is not given is taken from a variable, a file, or the
    field's default.
    """
    for name, field in reversed(WorkerSettings.model_fields.items()):
        flag = f"--{name.replace('_', '-')}"
        kind = field.annotation
        if get_origin(kind) is UnionType:  # with None, which stands for "not given"
            kind = get_args(kind)[0]
        elif get_origin(kind) is Literal:
            kind = click.Choice(get_args(kind))
        shown = field.default not in (None, "")
        default = str(field.default).lower()
        option = click.option(
            f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
            type=kind,
            default=None,
            help=f"{field.description}  [default: {default}]" if shown else field.description,
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
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"TOML file with any of these settings, called as the options are with _ for -. An option "
    f"goes before a variable ({PREFIX} and the setting's name), a variable before the file. "
    f"Default: the file that {CONFIG} names.",
)
@click.option(
    "--show-config",
    is_flag=True,
    help="Print all settings, as a file for --config, and where each is from; do not run.",
)
def serve(port_file: Path | None, config: Path | None, show_config: bool, **options: Any) -> None:
    """Run a worker.

    It answers over gRPC (package twinhead.v1, with health and reflection) until SIGTERM or
    Ctrl-C; then it finishes the work that it has accepted and exits.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        read = read_settings(given, config)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    if show_config:
        click.echo(read.as_toml(), nl=False)
        return
    settings = read.settings
    set_up(settings.log_format, settings.log_level)
    # When each counter was made is told by the process's start, too.
    prometheus_client.disable_created_metrics()
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
        click.echo("Error: the drain time ran out; some accepted work was cut off", err=True)
        # A pass still runs, and an engine that is taken down under it aborts the process.
        _exit_now(1)


async def _serve(settings: WorkerSettings, port_file: Path | None) -> bool:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, functools.partial(_stop, stop, number))
    page = WebPage(settings) if settings.web is not None else None
    worker = Worker(settings)
    starting = asyncio.create_task(worker.start(_load))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        # Loading cannot be interrupted, and nothing is lost by not waiting for it.
        logger.info("stopped before the model was loaded")
        _exit_now(0)
    model = await starting
    tasks = ", ".join(task.name for task in model.config.tasks)
    logger.info(
        "ready on %s:%d%s, admin service on %s:%d: version %s, tasks %s",
        settings.host,
        worker.port,
        " (TLS)" if settings.tls_certificate else "",
        settings.admin_host,
        worker.admin_port,
        model.version,
        tasks,
    )
    if worker.metrics_port:
        logger.info("metrics on http://%s:%d/metrics", settings.metrics_host, worker.metrics_port)
    if page is not None:
        await page.start(worker.port, worker.admin_port)
        logger.info("web page on http://%s:%d/", settings.web_host, page.port)
    if port_file is not None:
        _staging(port_file).write_text(f"{worker.port}\n{worker.admin_port}\n", encoding="utf-8")
        _staging(port_file).replace(port_file)  # whoever sees the file sees the port in it
    following = asyncio.create_task(page.follow()) if page is not None else None
    await stop.wait()
    logger.info("draining, at most %.0f s", settings.drain_seconds)
    finished = await worker.drain()
    if page is not None and following is not None:
        await page.stop()
        await following
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
