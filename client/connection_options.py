"""Options that the commands share which call workers: where they are, and how they let one in."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .channel import DEFAULT_ADMIN_TARGET, Access, Tls

_File = click.Path(exists=True, dir_okay=False, path_type=Path)


def access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --token-file and the options of TLS, which the command gets as one `access`."""

    @functools.wraps(command)
    def with_access(
        *arguments: Any,
        token_file: Path | None,
        tls: bool,
        tls_ca: Path | None,
        tls_certificate: Path | None,
        tls_key: Path | None,
        **options: Any,
    ) -> Any:
        if (tls_certificate is None) != (tls_key is None):
            raise click.UsageError("--tls-certificate and --tls-key go together")
        used = Tls(tls_ca, tls_certificate, tls_key)
        access = Access(
            token=read_token(token_file),
            tls=used if tls or used != Tls() else None,
        )
        return command(*arguments, access=access, **options)

    for option in (
        click.option(
            "--tls-key",
            type=_File,
            envvar="TWINHEAD_CLIENT_TLS_KEY",
            show_envvar=True,
            help="File with the private key of --tls-certificate.",
        ),
        click.option(
            "--tls-certificate",
            type=_File,
            envvar="TWINHEAD_CLIENT_TLS_CERTIFICATE",
            show_envvar=True,
            help="File with a certificate to show, for workers that ask for one (mutual TLS).",
        ),
        click.option(
            "--tls-ca",
            type=_File,
            envvar="TWINHEAD_CLIENT_TLS_CA",
            show_envvar=True,
            help="File with the roots that the worker's certificate must come from; implies --tls.",
        ),
        click.option(
            "--tls",
            is_flag=True,
            envvar="TWINHEAD_CLIENT_TLS",
            show_envvar=True,
            help="Connect with TLS, and check the worker's certificate by the public roots.",
        ),
        click.option(
            "--token-file",
            type=_File,
            envvar="TWINHEAD_CLIENT_TOKEN_FILE",
            show_envvar=True,
            help="File with the token to show, for workers that ask for one.",
        ),
    ):
        with_access = option(with_access)
    return with_access


def admin_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --worker, as a tuple of targets of admin services, and `access_options`."""
    command = access_options(command)
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


def access_arguments(context: click.Context) -> list[str]:
    """The options of `access_options` as a command got them, for another that it starts.

    Options, not what they name: a token is in no list of processes.
    """
    given: list[str] = []
    for name in ("token_file", "tls_ca", "tls_certificate", "tls_key"):
        file = context.params[name]
        given += [f"--{name.replace('_', '-')}", str(file)] if file is not None else []
    return [*given, "--tls"] if context.params["tls"] else given


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
