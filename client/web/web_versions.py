"""The versions that the worker keeps, and making one of them live."""

import asyncio
import contextlib
from typing import Any

from ..admin_client import AdminClient
from ..errors import TwinheadError
from ..results import VersionInfo
from .web_board import Board
from .web_model import LiveModel

# A push that does not go live, or a version that is dropped, changes the list, too.
_LOOK_SECONDS = 5.0


class Versions:
    """Section `versions` of the board, and the change from one to another."""

    def __init__(self, admin: AdminClient, live: LiveModel, board: Board) -> None:
        self._admin = admin
        self._live = live
        self._board = board

    async def follow(self) -> None:
        """List them whenever another is live, and now and then; does not end."""
        version = ""
        while True:
            await self._board.watched.wait()
            await self.look()
            with contextlib.suppress(TimeoutError):
                model = await asyncio.wait_for(self._live.change(version), _LOOK_SECONDS)
                version = model.version

    async def look(self) -> None:
        """List them now."""
        try:
            found = await asyncio.to_thread(self._admin.versions)
        except TwinheadError as error:
            self._board.post("versions", {"message": str(error), "versions": []})
            return
        self._board.post(
            "versions",
            {
                "message": "",
                "lasting": found.lasting,
                "versions": [_version_json(version) for version in found.versions],
            },
        )

    async def activate(self, version: str, live: str) -> None:
        """Make a version the live one.

        Args:
            version: its id.
            live: the version that must be live; else somebody was quicker, and nothing is done.

        Raises:
            TwinheadError: the call failed.
        """
        await asyncio.to_thread(self._admin.activate, version, live)
        await self.look()


def _version_json(version: VersionInfo) -> dict[str, Any]:
    known = version.provenance
    return {
        "version": version.version,
        "state": version.state,
        "received": version.received.isoformat(),
        "bytes": version.bytes,
        "tasks": list(version.tasks),
        # Of training, of an import, of whatever else made it.
        "origin": str(known.get("recipe") or known.get("original") or known.get("method") or ""),
    }
