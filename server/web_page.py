"""The web page in front of this worker, as a process of its own beside it."""

import asyncio
import importlib.util
import logging
import socket
import sys

from .listen import ListenError, is_loopback
from .settings import WorkerSettings

logger = logging.getLogger(__name__)

# A name and no import: the worker needs nothing of the client.
_COMMAND = ("-P", "-m", "twinhead.client.with_parent", "web")
_NEEDED = ("starlette", "uvicorn")
_STOP_SECONDS = 5.0


class WebPage:
    """`twinhead web` on an address that the worker has taken for it.

    It speaks to the worker as any client does, and ends with it. The worker does not end with it.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        """Take the address; whoever asks waits until `start`.

        Raises:
            ListenError: it is taken, not ours, or open to more than it should be; or a package is
                missing.
        """
        for package in _NEEDED:
            if importlib.util.find_spec(package) is None:
                raise ListenError(f"--web needs the package {package}: pip install 'twinhead[web]'")
        host = settings.web_host
        if not is_loopback(host) and not settings.allow_plaintext:
            raise ListenError(
                f"--web-host {host} lets others than this machine use the worker through the page, "
                "which asks nobody who they are, and nothing is encrypted; where that is wanted, "
                "say --allow-plaintext"
            )
        bare = host.removeprefix("[").removesuffix("]")
        family = socket.AF_INET6 if ":" in bare else socket.AF_INET
        try:
            self._listening = socket.create_server((bare, settings.web or 0), family=family)
        except OSError as error:
            raise ListenError(
                f"cannot show the page on {host}:{settings.web}: {error.strerror}; choose another "
                "--web or --web-host"
            ) from error
        self.port: int = self._listening.getsockname()[1]
        """The port that browsers ask."""
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def start(self, port: int, admin_port: int) -> None:
        """Start the process.

        Args:
            port: of the worker.
            admin_port: of its admin service.
        """
        settings = self._settings
        descriptor = self._listening.fileno()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, *_COMMAND, "--socket", str(descriptor)),
            *("--worker", _address(settings.host, port)),
            *("--admin", _address(settings.admin_host, admin_port)),
            *("--host", settings.web_host),
            *([] if is_loopback(settings.web_host) else ["--allow-others"]),
            *(["--tls"] if settings.tls_certificate else []),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(descriptor,),
            start_new_session=True,  # Ctrl-C is for the worker, which then ends it
        )
        self._listening.close()  # when that process is gone, browsers are to notice

    async def follow(self) -> None:
        """Log what the process complains of, and its end."""
        process = self._process
        if process is None or process.stderr is None:
            return
        # Not by lines, which may be of any length.
        while said := await process.stderr.read(4_096):
            logger.warning("the web page: %s", said.decode(errors="replace").strip())
        code = await process.wait()
        if not self._stopping:
            logger.error(
                "the web page has ended, with code %d; the worker goes on without it", code
            )

    async def stop(self) -> None:
        """End the process."""
        self._stopping = True
        self._listening.close()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def _address(host: str, port: int) -> str:
    """Where a program on this machine finds what listens on a host."""
    bare = host.removeprefix("[").removesuffix("]")
    if is_loopback(host) or bare in ("0.0.0.0", "::"):  # noqa: S104 (compared, not taken)
        return f"localhost:{port}"
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
