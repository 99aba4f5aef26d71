"""The `twinhead` command."""

import importlib
import os
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import click

from .errors import TwinheadError


@dataclass(frozen=True)
class _Entry:
    """Where a command is defined.

    A name, not an import: --help must not load torch, and the bare install has no server.
    """

    module: str
    name: str
    help: str
    extra: str = ""


_COMMANDS = {
    "demo": _Entry(
        "twinhead.client.demo_command", "demo", "Start a worker and label a file with it."
    ),
    "label": _Entry("twinhead.client.label_command", "label", "Add labels to every row of a file."),
    "serve": _Entry("twinhead.server.serve_command", "serve", "Run a worker.", extra="starter"),
}


class _Commands(click.Group):
    """Loads a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = _COMMANDS.get(cmd_name)
        if entry is None:
            return None
        try:
            return getattr(importlib.import_module(entry.module), entry.name)
        except ModuleNotFoundError as error:
            if not entry.extra:
                raise
            raise click.ClickException(
                f"`twinhead {cmd_name}` needs the package {error.name}: "
                f"pip install 'twinhead[{entry.extra}]'"
            ) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in _COMMANDS.items()])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(version("twinhead"), prog_name="twinhead")
def twinhead(debug: bool) -> None:
    """Embeddings and the answer of every task head, from one encoder pass, over gRPC.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some rows have no label.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    command: Any = twinhead
    try:
        command.main(args=arguments, prog_name="twinhead")
    except TwinheadError as error:
        if debug:
            raise
        click.echo(f"Error: {error}", err=True)
        _leave(1)
    except BrokenPipeError:
        _leave(1)


def _leave(code: int) -> None:
    """Exit, also when standard output is a pipe that nobody reads any more."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] (closed by the caller)
        sys.exit(code)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
