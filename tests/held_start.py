"""A debug worker in the middle of its start: the port is open, and the model is not loaded."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from debug_model import debug_model
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import Worker


@asynccontextmanager
async def loading_worker(
    settings: WorkerSettings,
) -> AsyncGenerator[tuple[Worker, Callable[[], Awaitable[None]]]]:
    """A worker that loads, and what lets it finish; it is drained in the end."""
    loading, loaded = threading.Event(), threading.Event()

    def load(*_):
        loading.set()
        loaded.wait(30)
        return debug_model()

    worker = Worker(settings)
    starting = asyncio.create_task(worker.start(load))

    async def finish() -> None:
        loaded.set()
        await starting

    try:
        await asyncio.to_thread(loading.wait, 30)
        yield worker, finish
    finally:
        await finish()
        await worker.drain()
