"""Follows published versions: what is named live there goes live here."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from ..model.errors import ModelError, PublishError
from ..model.published import Published
from .blob_receiver import Chunk
from .daemon_thread import in_daemon_thread
from .errors import NotServingError, PushAbortedError, PushRefusedError, ServiceError
from .live_model import Serving
from .metrics import Metrics
from .model_versions import ModelVersions, Offer

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Of one read, a megabyte at most; a place that takes longer is as good as away.
_READ_SECONDS = 30.0


@dataclass
class VersionWatch:
    """Looks at a place again and again."""

    published: Published
    serving: Serving
    versions: ModelVersions
    seconds: float
    """Between two looks."""
    new_tasks: bool
    """Whether a version may change architecture, tasks or labels."""
    metrics: Metrics
    """Where refusals are counted."""
    failing: bool = False
    """Whether what is named there cannot be served: it is away, damaged or refused."""
    # What was named when it last went live here or was refused for good. What is activated here by
    # hand stays until another version is named there.
    _settled: str = ""
    _refused: str = ""
    _complaint: str = ""
    # A read that has been given up may hang for ever: no other is begun beside it.
    _reading: threading.Lock = field(default_factory=threading.Lock)

    async def follow(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self.seconds)
            await self.look(new_tasks=self.new_tasks)

    async def look(self, *, new_tasks: bool) -> None:
        """Bring the version that is named, if it is another than last time; never raises."""
        version = ""
        try:
            version = await self._read(self.published.live)
            if version and version != self._settled:
                await self._bring(version, new_tasks=new_tasks)
                self._settled, self._refused = version, ""
            self._complaint = ""
            self.failing = bool(self._refused)
        except (PushAbortedError, NotServingError):
            pass  # a push is under way, or the worker drains: look again next time
        except PushRefusedError as error:  # and so it would be again
            self._settled = self._refused = version
            self.failing = True
            self.metrics.refused(error)
            logger.error("version %s from %s is refused: %s", version, self.published.uri, error)
        except Exception as error:  # the place is away, or what is there is not whole: it may come
            if str(error) != self._complaint:
                known = isinstance(error, (ModelError, ServiceError))
                logger.error("%s: %s", self.published.uri, error, exc_info=not known)
            self._complaint = str(error)
            self.failing = True

    async def _bring(self, version: str, *, new_tasks: bool) -> None:
        if self.serving.model().version == version:
            return
        files = await self._read(self.published.files, version)
        offer = Offer(files, allow_new_tasks=new_tasks)
        async with self.versions.staging(offer, self._fetch, _ignore) as staged:
            await self.versions.go_live(staged)

    async def _fetch(self, digests: Sequence[str]) -> AsyncGenerator[Chunk]:
        for digest in digests:
            pieces = self.published.chunks(digest)
            while (piece := await self._read(_next, pieces)) is not None:
                yield Chunk(digest, piece, last=False)
            yield Chunk(digest, b"", last=True)

    async def _read(self, work: Callable[..., T], *arguments: object) -> T:
        def read() -> T:
            try:
                return work(*arguments)
            finally:
                self._reading.release()

        if self._reading.acquire(blocking=False):
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(in_daemon_thread(read), _READ_SECONDS)
        raise PublishError(f"it has not answered for {_READ_SECONDS:g} s")


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


async def _ignore(_: int) -> None:
    pass
