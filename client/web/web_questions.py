"""Sentences to the worker, and what the page shows of its answer."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..async_client import AsyncClient
from ..errors import InvalidRequestError, TwinheadError, VersionNotLiveError, WorkerFailedError
from ..requests import InferOptions
from ..results import InferResult, ModelInfo
from .web_board import Board
from .web_model import SENTENCES, LiveModel
from .web_recent import RecentSentences, Vectors
from .web_rows import answer_rows

# A thousand long sentences take two cores half a minute.
_SECONDS = 60.0
# The version may change between looking and asking, and then once more.
_TRIES = 3
# Sentences that are embedded again are sent in small batches, as bulk work, so that nobody's
# question waits long for them.
_BATCH = 64
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Question:
    """What a browser asks."""

    sentences: Sequence[str]
    truncate: bool = True
    """Whether sentences that are too long are cut, or get no answer."""
    remember: bool = True
    """Whether they become neighbours of others."""


class Questions:
    """Asks the worker, and remembers what was asked."""

    def __init__(
        self, client: AsyncClient, live: LiveModel, recent: RecentSentences, board: Board
    ) -> None:
        self._client = client
        self._live = live
        self._recent = recent
        self._board = board

    async def answer(self, question: Question) -> dict[str, Any]:
        """The answer, as JSON.

        Raises:
            TwinheadError: the call failed, or there are more sentences than one request takes.
            ValueError: a sentence that cannot be sent.
        """
        started = time.monotonic()
        result, model = await self._infer(question)
        vectors = _vectors(result)
        answered = [place for place, status in enumerate(result.statuses) if status.ok]
        remember = self._recent.add if question.remember else self._recent.renew
        remember(
            [question.sentences[place] for place in answered], model.version, vectors[answered]
        )
        neighbours = self._recent.nearest(question.sentences, model.version, vectors)
        return {
            "version": model.version,
            "seconds": round(time.monotonic() - started, 4),
            "encode_seconds": round(result.timing.encode, 4),
            "rows": answer_rows(question.sentences, result, model, neighbours),
        }

    async def keep_fresh(self) -> None:
        """Embed what is remembered again whenever another version is live; does not end.

        The sentences are kept and not dropped: after a push people want to see what has moved.
        Section `recent` of the board says for which version that is done.
        """
        version = ""
        while True:
            model = await self._live.change(version)
            stale = self._recent.stale(model.version)[:_BATCH]
            if not stale:
                version = model.version
                self._board.post("recent", {"version": version})
                continue
            options = InferOptions(
                tasks=(), normalize=True, service_class="bulk", model_version=model.version
            )
            try:
                result = await self._client.infer(
                    stale, options, timeout=_SECONDS, reconnect_seconds=0
                )
            except TwinheadError:  # full, away, or of another version by now
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._recent.renew(stale, model.version, _vectors(result))

    async def _infer(self, question: Question) -> tuple[InferResult, ModelInfo]:
        model = await self._live.current()
        for _ in range(_TRIES - 1):
            try:
                return await self._infer_by(model, question), model
            except VersionNotLiveError:
                model = await self._live.ask()
        return await self._infer_by(model, question), model

    async def _infer_by(self, model: ModelInfo, question: Question) -> InferResult:
        limit = min(SENTENCES, model.sentences_per_request)
        if len(question.sentences) > limit:
            raise InvalidRequestError(f"this takes {limit:,} sentences at a time")
        # Pinned: what labels and thresholds the answer has is told by the model.
        options = InferOptions(
            normalize=True, truncate=question.truncate, model_version=model.version
        )
        return await self._client.infer(
            question.sentences, options, timeout=_SECONDS, reconnect_seconds=0
        )


def _vectors(result: InferResult) -> Vectors:
    if result.embeddings is None:
        raise WorkerFailedError("the worker sent no embeddings")
    return result.embeddings.astype(np.float32, copy=False)
