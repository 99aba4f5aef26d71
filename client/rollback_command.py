"""`twinhead rollback`: make an earlier version live again."""

import sys

import click

from .admin_client import AdminClient
from .channel import Access
from .connection_options import admin_options
from .errors import TwinheadError


@click.command()
@admin_options
@click.option(
    "--to",
    "version",
    metavar="VERSION",
    default="",
    help="Version to go to; `twinhead status` lists them. Default: the one that was live before, "
    "which is still in memory, so that it takes no time.",
)
@click.option(
    "--from",
    "expected",
    metavar="VERSION",
    default="",
    help="Do nothing on a worker unless this version is live there.",
)
def rollback(workers: tuple[str, ...], access: Access, version: str, expected: str) -> None:
    """Make the version that was live before, or any kept one, live again.

    Nothing is interrupted: what is being answered is answered by the version that it began with.
    Running it twice goes back and forth. Exits with 1 when it failed on a worker.
    """
    failed = False
    for target in workers:
        try:
            with AdminClient(target, token=access.token, tls=access.tls, timeout=120) as admin:
                live, before = admin.activate(version, expected)
        except TwinheadError as error:
            failed = True
            click.echo(f"{target}: failed: {error}", err=True)
            continue
        if live == before:
            click.echo(f"{target}: {live} is live already")
        else:
            click.echo(f"{target}: {live} is live, after {before}")
    if failed:
        sys.exit(1)
