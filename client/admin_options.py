"""Options that the commands share which call admin services."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .channel import DEFAULT_ADMIN_TARGET


def token_option(condition: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add --token-file, whose help begins with a condition."""
    said = "file with the token of the workers' admin services, if they ask for one."
    return click.option(
        "--token-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        envvar="TWINHEAD_ADMIN_TOKEN_FILE",
        show_envvar=True,
        help=f"{condition}: {said}" if condition else said.capitalize(),
    )


def worker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --worker, as a tuple of targets, and --token-file."""
    command = token_option()(command)
    return click.option(
        "--worker",
        "workers",
        metavar="HOST:PORT",
        multiple=True,
        default=(DEFAULT_ADMIN_TARGET,),
        callback=_each_once,
        envvar="TWINHEAD_ADMIN",
        show_default=True,
        show_envvar=True,
        help="Address of a worker's admin service (its port is one above the other, unless it was "
        "started otherwise); may be repeated.",
    )(command)


def read_token(file: Path | None) -> str:
    """The token that a file holds; empty without a file.

    Raises:
        click.ClickException: it holds nothing that can be a token.
    """
    if file is None:
        return ""
    token = file.read_bytes().strip()
    # What else there is cannot travel in a header.
    if not token or not all(0x21 <= byte <= 0x7E for byte in token):
        raise click.ClickException(
            f"{file} holds no token: that is one line of printable ASCII characters without spaces"
        )
    return token.decode("ascii")


def _each_once(_: click.Context, __: click.Parameter, workers: tuple[str, ...]) -> tuple[str, ...]:
    # A second rollback would undo the first.
    return tuple(dict.fromkeys(workers))
