"""What the page shows at present, for any number of browsers that look."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

# A browser that went away without a word is noticed when something is sent to it.
_BEAT_SECONDS = 15.0


class Board:
    """The latest value of each section.

    Readers get whole values and never differences: who was away, or is slow, misses what was
    between and ends up with the same. So nothing is kept for anybody.
    """

    def __init__(self) -> None:
        self._latest: dict[str, tuple[int, str]] = {}
        self._revision = 0
        self._news = asyncio.Event()
        self._readers = 0
        self._closed = False
        self.watched = asyncio.Event()
        """Set while somebody reads."""

    def post(self, section: str, value: Any) -> None:
        """Replace a section by a value, as JSON has them; one that is the same is no news."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if section in self._latest and self._latest[section][1] == text:
            return
        self._revision += 1
        self._latest[section] = self._revision, text
        self._tell()

    def close(self) -> None:
        """Let all who read come to their end."""
        self._closed = True
        self._tell()

    async def read(self) -> AsyncGenerator[tuple[str, str]]:
        """Every section with its value as JSON, then each that changes, until `close`.

        Two empty texts are a sign of life.
        """
        self._readers += 1
        self.watched.set()
        seen = 0
        try:
            while not self._closed:
                news, now = self._news, self._revision
                fresh = [
                    (section, text)
                    for section, (revision, text) in self._latest.items()
                    if revision > seen
                ]
                for section, text in fresh:
                    yield section, text
                seen = now
                if not fresh:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(news.wait(), _BEAT_SECONDS)
                        continue
                    yield "", ""
        finally:
            self._readers -= 1
            if not self._readers:
                self.watched.clear()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
