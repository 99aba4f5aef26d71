"""One accepted request on its way through the worker."""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import numpy as np

from ..model.config import TaskKind
from ..model.tokenizer import TokenizedSentence
from .engines.engine import EngineOutput, FloatArray
from .live_model import LiveModel
from .request_check import RequestPlan


class Job:
    """A request, the version that answers it, and the results as they come.

    Made and awaited on the event loop; `settle` and `fail` are called from the runner's thread.
    """

    def __init__(
        self,
        model: LiveModel,
        plan: RequestPlan,
        sentences: Sequence[TokenizedSentence | None],
        tokenize_seconds: float,
    ) -> None:
        """Take a request; `sentences` has None where there is nothing to encode."""
        self.model = model
        self.plan = plan
        self.sentences = sentences
        rows = len(sentences)
        self.embeddings: FloatArray = np.zeros(
            (rows, model.dimensions if plan.embedding is not None else 0), dtype=np.float32
        )
        self.logits: dict[str, FloatArray] = {
            task.name: np.zeros((rows, task.logits), dtype=np.float32)
            for task in plan.tasks
            if task.kind is not TaskKind.TOKEN
        }
        # Of token tasks: for each row [its tokens, labels].
        self.token_logits: dict[str, list[FloatArray]] = {
            task.name: [np.zeros((0, task.logits), dtype=np.float32)] * rows
            for task in plan.tasks
            if task.kind is TaskKind.TOKEN
        }
        self.tokens = sum(len(sentence.ids) for sentence in sentences if sentence is not None)
        self.tokenize_seconds = tokenize_seconds
        self.queue_seconds = 0.0
        self.encode_seconds = 0.0
        self._unsettled = sum(sentence is not None for sentence in sentences)
        self.queued = time.monotonic()
        """When it was made, by the monotonic clock."""
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        if not self._unsettled:
            self._done.set_result(None)

    async def wait(self) -> None:
        """Wait until every row is settled; raises what an encoder pass of it raised."""
        await self._done

    def started(self) -> None:
        """Note that an encoder pass with rows of this job starts."""
        self.queue_seconds = time.monotonic() - self.queued

    def settle(
        self, rows: Sequence[int], output: EngineOutput, at: Sequence[int], seconds: float
    ) -> None:
        """Take the results of one encoder pass.

        Args:
            rows: rows of this job.
            output: the pass's results.
            at: where in `output` those rows are.
            seconds: how long the pass took.
        """
        self.encode_seconds += seconds
        if self.plan.embedding is not None:
            self.embeddings[rows] = output.embeddings[at]
        for name, logits in self.logits.items():
            logits[rows] = output.logits[name][at]
        for name, by_row in self.token_logits.items():
            for row, place in zip(rows, at, strict=True):
                tokens = self.sentences[row]
                # A copy: a view would keep the whole pass in memory.
                by_row[row] = output.logits[name][place, : len(tokens.ids) if tokens else 0].copy()
        self._unsettled -= len(rows)
        if not self._unsettled:
            self._post(None)

    def fail(self, error: Exception) -> None:
        """End the job with an error."""
        self._post(error)

    def _post(self, error: Exception | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker was cut off
            self._loop.call_soon_threadsafe(self._finish, error)

    def _finish(self, error: Exception | None) -> None:
        if self._done.done():  # failed in an earlier pass, or its caller has left
            return
        if error is None:
            self._done.set_result(None)
        else:
            self._done.set_exception(error)
