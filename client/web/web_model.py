"""The live model of the worker, as it changes."""

import asyncio
import contextlib
from typing import Any

from ..async_client import AsyncClient
from ..errors import TwinheadError, WorkerUnavailableError
from ..results import ModelInfo
from .web_board import Board

# Sentences of one question. Bars of so many are what a browser still draws at once.
SENTENCES = 1_000
# A worker that is started again is noticed soon; one that refuses is not bothered, and its log not
# filled.
_AWAY_SECONDS = 0.5
_REFUSED_SECONDS = 5.0


class LiveModel:
    """Follows a worker; sections `worker` and `model` of the board."""

    def __init__(self, client: AsyncClient, board: Board) -> None:
        self._client = client
        self._board = board
        self._changed = asyncio.Event()
        self._model: ModelInfo | None = None
        board.post("worker", {"address": client.target, "ready": False, "message": ""})

    async def follow(self) -> None:
        """Watch the worker, and wait for one that is away; does not end."""
        while True:
            models = self._client.watch()
            try:
                async with contextlib.aclosing(models):
                    async for model in models:
                        self._board.post(
                            "worker", {"address": self._client.target, "ready": True, "message": ""}
                        )
                        self._set(model)
            except TwinheadError as error:
                pause = _REFUSED_SECONDS
                if isinstance(error, WorkerUnavailableError):
                    pause = _AWAY_SECONDS
                self._board.post(
                    "worker",
                    {"address": self._client.target, "ready": False, "message": str(error)},
                )
                await asyncio.sleep(pause)

    async def current(self) -> ModelInfo:
        """The live model, as far as is known here.

        Raises:
            TwinheadError: the worker has not told yet, and does not now.
        """
        return self._model if self._model is not None else await self.ask()

    async def ask(self) -> ModelInfo:
        """The live model, as the worker tells now.

        Raises:
            TwinheadError: the call failed.
        """
        self._set(await self._client.model(reconnect_seconds=0))
        return await self.current()

    async def change(self, before: str) -> ModelInfo:
        """Wait for a live version other than `before`."""
        while True:
            changed = self._changed
            if self._model is not None and self._model.version != before:
                return self._model
            await changed.wait()

    def _set(self, model: ModelInfo) -> None:
        self._model = model
        self._board.post("model", _model_json(model))
        self._changed.set()
        self._changed = asyncio.Event()


def _model_json(model: ModelInfo) -> dict[str, Any]:
    return {
        "version": model.version,
        "encoder": model.encoder,
        "dimensions": model.embedding_dimensions,
        "runs": f"{model.engine}, {model.precision}, {model.device}",
        "release": model.worker_release,
        "tasks": [
            {"name": task.name, "kind": task.kind, "labels": len(task.label_names)}
            for task in model.tasks.values()
        ],
        "sentences": min(SENTENCES, model.sentences_per_request),
        "tokens": model.tokens_per_sentence,
    }
