"""The page's server: takes an address, follows the worker, answers until it is told to stop."""

import asyncio
import contextlib
import csv
import importlib.resources
import io
import signal
import socket
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import uvicorn

from ..admin_client import AdminClient
from ..async_client import AsyncClient
from ..channel import Access
from ..errors import TwinheadError
from .web_app import Services, make_app
from .web_board import Board
from .web_guard import HostNames, is_loopback
from .web_load import Load
from .web_model import LiveModel
from .web_push import Pushes
from .web_questions import Questions
from .web_recent import RecentSentences
from .web_versions import Versions

# Browsers have six connections to a page at most; this is some dozens of them.
_CONNECTIONS = 256
# For an answer that is under way; the worker's own are seconds at most.
_END_SECONDS = 3
# A call of the admin service that hangs would leave the page with old figures for as long.
_ADMIN_SECONDS = 10.0
# Shown in the box at once; one of each few of the examples, which go by topic.
_SHOWN_EXAMPLES = 8


class ListenError(TwinheadError):
    """An address cannot be listened on; the text says why and what to do."""


@dataclass(frozen=True)
class Page:
    """A page in front of a worker."""

    worker: str
    """`host:port`."""
    admin: str = ""
    """`host:port` of its admin service; without it the page shows no load and no versions."""
    access: Access = field(default_factory=Access)
    """Lets the page in at both."""
    push_options: Sequence[str] = ()
    """Of `twinhead push`, that let it in there too."""
    hosts: HostNames = field(default_factory=HostNames)


def listen(host: str, port: int) -> socket.socket:
    """Take an address.

    Args:
        host: name or number; IPv6 with or without brackets.
        port: 0 takes a free one.

    Raises:
        ListenError: it is taken or not ours.
    """
    bare = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        return socket.create_server((bare, port), family=family)
    except OSError as error:
        raise ListenError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port"
        ) from error


def address_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds the page."""
    host, port = listening.getsockname()[:2]
    if is_loopback(host) or host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not taken)
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


async def serve_page(page: Page, listening: socket.socket) -> None:
    """Answer browsers until SIGTERM or SIGINT.

    Raises:
        FileError: a TLS file cannot be read, or is none.
    """
    board, examples = Board(), _examples()
    access = page.access
    async with AsyncClient(page.worker, token=access.token, tls=access.tls) as client:
        live = LiveModel(client, board)
        questions = Questions(client, live, RecentSentences(examples), board)
        following = [live.follow(), questions.keep_fresh()]
        board.post("admin", {"address": page.admin})
        board.post("examples", examples[:: len(examples) // _SHOWN_EXAMPLES])
        with _admin_client(page) as admin:
            versions = pushes = None
            if admin is not None:
                versions = Versions(admin, live, board)
                pushes = Pushes(page.admin, page.push_options, board)
                following += [versions.follow(), Load(admin, board).follow()]
            services = Services(board, questions, versions, pushes)
            server = _Server(_config(services, page.hosts), board)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each) for each in following]
                await server.serve([listening])
                for task in tasks:
                    task.cancel()


class _Server(uvicorn.Server):
    """Ends the streams of events before it waits for what is under way."""

    def __init__(self, config: uvicorn.Config, board: Board) -> None:
        super().__init__(config)
        self._board = board

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        # uvicorn's own raises them once more in the end: whoever stops it would see it fail.
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        self.should_exit = True
        self._board.close()


def _config(services: Services, hosts: HostNames) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(services, hosts),
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        # What strangers send is not worth a line each.
        log_level="error",
        access_log=False,
        server_header=False,
        # A proxy before it changes nothing that is looked at here.
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_END_SECONDS,
    )


@contextlib.contextmanager
def _admin_client(page: Page) -> Generator[AdminClient | None]:
    if not page.admin:
        yield None
        return
    access = page.access
    with AdminClient(
        page.admin, token=access.token, tls=access.tls, timeout=_ADMIN_SECONDS
    ) as admin:
        yield admin


def _examples() -> list[str]:
    file = importlib.resources.files("twinhead.examples") / "sentences.csv"
    return [row["text"] for row in csv.DictReader(io.StringIO(file.read_text("utf-8")))]
