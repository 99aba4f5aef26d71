"""A push from the page: `twinhead push`, in a process of its own."""

import asyncio
import codecs
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from .web_board import Board

# Of what it says, the end: errors are last.
_SHOWN_CHARACTERS = 10_000
_READ_BYTES = 4_096


class PushError(Exception):
    """A push cannot be begun; the text says why."""


class Pushes:
    """Section `push` of the board; one push at a time."""

    def __init__(self, admin: str, options: Sequence[str], board: Board) -> None:
        """Offer it, if it can be run.

        Args:
            admin: address of the worker's admin service.
            options: of `twinhead push`, that let it in there.
            board: told how it goes.
        """
        self._options = ("--worker", admin, *options)
        self._board = board
        self._running = False
        # The command itself imports more than this; it says so when that is missing.
        self._offered = importlib.util.find_spec("torch") is not None
        self._post()

    async def push(self, folder: str, live: str, *, new_tasks: bool) -> None:
        """Push a checkpoint, and wait for the end of it.

        Args:
            folder: the checkpoint, on this machine.
            live: the version that must be live.
            new_tasks: whether it may have other tasks, labels or another architecture.

        Raises:
            PushError: another is under way, or there is no such folder.
        """
        if not self._offered:
            raise PushError("this page cannot push: pip install 'twinhead[trainer]'")
        if self._running:
            raise PushError("another push from this page is under way")
        if not folder or not await asyncio.to_thread(Path(folder).is_dir):
            raise PushError("there is no such folder on the machine of this page")
        self._running = True
        try:
            await self._run(folder, live, new_tasks=new_tasks)
        finally:
            self._running = False

    async def _run(self, folder: str, live: str, *, new_tasks: bool) -> None:
        allowed = ["--allow-new-tasks"] if new_tasks else []
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "twinhead.client.with_parent", "push"),
            *(*self._options, "--expect", live, *allowed, "--", folder),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
        try:
            self._post(folder=folder, running=True)
            while process.stdout and (read := await process.stdout.read(_READ_BYTES)):
                said = (said + decoder.decode(read))[-_SHOWN_CHARACTERS:]
                self._post(folder=folder, running=True, said=said)
            code = await process.wait()
            self._post(folder=folder, said=said, done=code == 0, failed=code != 0)
        finally:
            if process.returncode is None:  # this page ends
                process.kill()

    def _post(
        self,
        *,
        folder: str = "",
        running: bool = False,
        said: str = "",
        done: bool = False,
        failed: bool = False,
    ) -> None:
        self._board.post(
            "push",
            {
                "offered": self._offered,
                "folder": folder,
                "running": running,
                "said": said,
                "done": done,
                "failed": failed,
            },
        )
