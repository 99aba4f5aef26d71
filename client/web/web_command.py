"""`twinhead web`: a page in front of a worker."""

import asyncio
import socket
import webbrowser

import click

from ..channel import DEFAULT_TARGET, Access
from ..connection_options import access_arguments, access_options
from .web_guard import HostNames, is_loopback
from .web_server import Page, address_of, listen, serve_page


@click.command()
@click.option(
    "--worker",
    metavar="HOST:PORT",
    default=DEFAULT_TARGET,
    envvar="TWINHEAD_WORKER",
    show_default=True,
    show_envvar=True,
    help="Address of the worker.",
)
@click.option(
    "--admin",
    metavar="HOST:PORT",
    default="",
    envvar="TWINHEAD_ADMIN",
    show_envvar=True,
    help="Address of its admin service (its port is one above the other, unless it was started "
    "otherwise). Then the page shows throughput, latency and versions, and whoever sees it may "
    "push and roll back, as far as the token allows. Without it, it asks and shows answers.",
)
@access_options
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Another than loopback needs --allow-others.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=50080,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--allow-others",
    is_flag=True,
    help="Listen also where others than this machine reach it. The page asks nobody who they are, "
    "and nothing is encrypted: everybody there may do what the page may. Better put a proxy with a "
    "login and TLS before a page on loopback.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="Name by which browsers may ask for the page, beside those of this machine's loopback; "
    "may be repeated. For a proxy that passes its own name on.",
)
@click.option("--open", "opening", is_flag=True, help="Open it in this machine's browser.")
@click.option("--socket", "descriptor", type=int, hidden=True, help="Of a parent that listens.")
@click.pass_context
def web(
    context: click.Context,
    worker: str,
    admin: str,
    access: Access,
    host: str,
    port: int,
    allow_others: bool,
    allowed_hosts: tuple[str, ...],
    opening: bool,
    descriptor: int | None,
) -> None:
    """Show a page in front of a worker, until Ctrl-C.

    Type sentences and see labels, entities and neighbours; see which version is live and how much
    the worker does; push or roll back a version and see the answers change.
    """
    for option, address in (("--worker", worker), ("--admin", admin)):
        if " " in address.strip():  # their variables may hold several
            raise click.UsageError(f"the page is in front of one worker; say which with {option}")
    if not is_loopback(host) and not allow_others:
        raise click.UsageError(
            f"--host {host} lets others than this machine use the worker through this page, "
            "without a login and unencrypted; where that is wanted, say --allow-others"
        )
    listening = listen(host, port) if descriptor is None else socket.socket(fileno=descriptor)
    names = [*allowed_hosts, host]
    if not is_loopback(host):
        names.append(socket.gethostname())
    page = Page(
        worker=worker,
        admin=admin,
        access=access,
        push_options=access_arguments(context),
        hosts=HostNames(names, numbers=not is_loopback(host)),
    )
    show_page(page, listening, opening=opening)


def show_page(page: Page, listening: socket.socket, *, opening: bool) -> None:
    """Say where the page is, and answer browsers until SIGTERM or Ctrl-C.

    Raises:
        FileError: a TLS file cannot be read, or is none.
    """
    url = address_of(listening)
    click.echo(f"the page is at {url} until Ctrl-C")
    if opening:
        webbrowser.open(url)
    asyncio.run(serve_page(page, listening))
