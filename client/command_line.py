"""The `twinhead` command."""

import importlib
import os
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import click


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
        "twinhead.client.demo_command",
        "demo",
        "Start a worker and label a file, or show a page.",
        extra="web",
    ),
    "evaluate": _Entry(
        "twinhead.trainer.evaluate_command",
        "evaluate",
        "Measure a model on labelled rows.",
        extra="trainer",
    ),
    "health": _Entry(
        "twinhead.client.health_command", "health", "Tell by the exit code whether a worker serves."
    ),
    "import": _Entry(
        "twinhead.model.import_command",
        "import_command",
        "Make a checkpoint of another library's model.",
        extra="server",
    ),
    "inspect": _Entry(
        "twinhead.model.inspect_command",
        "inspect",
        "Show what a checkpoint holds, and verify it.",
        extra="server",
    ),
    "label": _Entry("twinhead.client.label_command", "label", "Add labels to every row of a file."),
    "push": _Entry(
        "twinhead.trainer.push_command",
        "push",
        "Put a checkpoint's weights into running workers.",
        extra="trainer",
    ),
    "rollback": _Entry(
        "twinhead.client.rollback_command", "rollback", "Go back to the version before."
    ),
    "serve": _Entry("twinhead.server.serve_command", "serve", "Run a worker.", extra="starter"),
    "status": _Entry(
        "twinhead.client.status_command", "status", "Show what workers serve and keep."
    ),
    "train": _Entry(
        "twinhead.trainer.train_command", "train", "Train a model on your files.", extra="trainer"
    ),
    "web": _Entry(
        "twinhead.client.web.web_command",
        "web",
        "Show a page in front of a worker.",
        extra="web",
    ),
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
            _explain_missing(cmd_name, error)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:  # some packages are imported when they are needed
            if not ctx.params["debug"]:
                _explain_missing(ctx.invoked_subcommand or "", error)
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in _COMMANDS.items()])


def _explain_missing(command: str, error: ModuleNotFoundError) -> None:
    """Say what to install, if the bare install is all that is wrong."""
    entry = _COMMANDS.get(command)
    if entry is not None and entry.extra:
        raise click.ClickException(
            f"`twinhead {command}` needs the package {error.name}: "
            f"pip install 'twinhead[{entry.extra}]'"
        ) from error


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error; for every command.")
@click.version_option(version("twinhead"), prog_name="twinhead")
def twinhead(debug: bool) -> None:
    """Embeddings and the answer of every task head, from one encoder pass, over gRPC.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but some rows have no label.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    if debug:  # wherever it stands: it is one option of all commands
        given = ["--debug", *(argument for argument in given if argument != "--debug")]
    command: Any = twinhead
    try:
        command.main(args=given, prog_name="twinhead")
    except BrokenPipeError:
        _leave(1)
    except Exception as error:
        if debug:
            raise
        from .errors import TwinheadError  # imports gRPC, which --help need not wait for

        if isinstance(error, TwinheadError):
            click.echo(f"Error: {error}", err=True)
        else:
            click.echo(f"Error: {error!r}; this is a defect, see it with --debug", err=True)
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
