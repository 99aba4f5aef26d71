"""The way of a request through the worker, whatever protocol it came by."""

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from twinhead.v1 import inference_service_pb2 as pb

from ..model.tokenizer import TokenizedSentence, chunked
from .batch_queue import BatchQueue
from .job import Job
from .live_model import LiveModel, Serving
from .metrics import Metrics
from .reply import build_reply
from .request_check import RequestPlan, check_request
from .sentence_check import tokenize
from .service_class import ServiceClass
from .settings import WorkerSettings

if TYPE_CHECKING:  # OpenTelemetry is an extra
    from .traces import Traces

T = TypeVar("T")

TEXT_THREADS = 2
"""Threads for work on text: two, so that one very long sentence does not hold up all others."""
# Of English, rather more than fewer: room that is kept for too few tokens is no room.
_CHARACTERS_PER_TOKEN = 4
# Characters of a single sentence that are tokenised sooner than a thread would begin with them.
_SHORT_CHARACTERS = 400


@dataclass(frozen=True)
class Accepted:
    """A request that is queued, and the statuses of its sentences."""

    job: Job
    sentences: Sequence[str]
    statuses: list[pb.SentenceStatus]
    read: float
    """When it was read, by the monotonic clock."""


class Pipeline:
    """Takes requests: check, tokenise, queue, wait, reply."""

    def __init__(
        self,
        serving: Serving,
        queue: BatchQueue,
        settings: WorkerSettings,
        metrics: Metrics,
        traces: "Traces | None" = None,
    ) -> None:
        self.serving = serving
        """Which model answers."""
        self.settings = settings
        """With the bounds of a request."""
        self._queue = queue
        self._metrics = metrics
        self._traces = traces
        self._threads = ThreadPoolExecutor(TEXT_THREADS, thread_name_prefix="text")

    async def infer(self, request: pb.InferRequest, *, wait: bool = False) -> pb.InferResponse:
        """Answer a request; see `accept`.

        Raises:
            ServiceError: there is no answer.
        """
        return await self.answer(await self.accept(request, wait=wait))

    async def accept(self, request: pb.InferRequest, *, wait: bool) -> Accepted:
        """Check, tokenise and queue a request.

        Args:
            request: of the worker's own contract.
            wait: until there is room in the queue, as streams do; else it is refused when there is
                none. It also says of which class the request is, unless it does so itself.

        Raises:
            ServiceError: it is refused.
        """
        read = time.monotonic()
        model = self.serving.model(request.model_version)
        plan = check_request(
            request,
            model.config,
            model.dimensions,
            max_sentences(self.settings, model),
            ServiceClass.BULK if wait else ServiceClass.INTERACTIVE,
        )
        # Before time is spent on tokenising what would not fit. Streams wait when it does not.
        room = (
            nullcontext()
            if wait
            else self._queue.expecting(_expected_tokens(request.sentences, model))
        )
        with room:
            started = time.monotonic()
            tokenized, statuses = await self._tokenize(request.sentences, model, plan)
        job = Job(model, plan, tokenized, time.monotonic() - started)
        if wait:
            await self._queue.put_when_room(job)
        else:
            self._queue.put(job)
        return Accepted(job, request.sentences, statuses, read)

    async def answer(self, accepted: Accepted) -> pb.InferResponse:
        """Wait until a queued request is settled, and build its reply.

        Raises:
            ServiceError: there is no answer.
        """
        try:
            await accepted.job.wait()
        except BaseException:  # the caller has left, or a pass failed: encode no more of it
            self._queue.discard(accepted.job)
            raise
        build = functools.partial(build_reply, accepted.job, accepted.sentences, accepted.statuses)
        if accepted.job.plan.needs_offsets:
            # Finding entities is work in Python for each word: it would hold up the event loop.
            reply = await asyncio.get_running_loop().run_in_executor(self._threads, build)
        else:
            reply = build()
        self._metrics.answered(accepted.job, accepted.statuses, time.monotonic() - accepted.read)
        if self._traces is not None:
            self._traces.answered(accepted.job)
        return reply

    def discard(self, accepted: Accepted) -> None:
        """Encode no more of a request that nobody waits for."""
        self._queue.discard(accepted.job)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do work on text where it does not hold up the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Release the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _tokenize(
        self, sentences: Sequence[str], model: LiveModel, plan: RequestPlan
    ) -> tuple[list[TokenizedSentence | None], list[pb.SentenceStatus]]:
        """Tokenise in pieces, so that large requests take turns and a cancelled one stops."""
        read = [sentence[: self.settings.characters_per_sentence + 1] for sentence in sentences]
        short = len(read) == 1 and len(read[0]) <= _SHORT_CHARACTERS
        tokenized: list[TokenizedSentence | None] = []
        statuses: list[pb.SentenceStatus] = []
        for chunk in chunked(read):
            work = functools.partial(
                tokenize,
                chunk,
                model.tokenizer,
                self.settings.characters_per_sentence,
                truncate=plan.truncate,
                offsets=plan.needs_offsets,
            )
            if short:
                part = work()
            else:
                part = await asyncio.get_running_loop().run_in_executor(self._threads, work)
            tokenized += part[0]
            statuses += part[1]
        return tokenized, statuses


def max_sentences(settings: WorkerSettings, model: LiveModel) -> int:
    """Sentences that one request may hold, so that its answer fits a client's default limit."""
    return min(settings.sentences_per_request, model.sentences_per_answer)


def _expected_tokens(sentences: Sequence[str], model: LiveModel) -> int:
    """About how many tokens there will be."""
    longest = model.config.max_tokens
    return sum(min(len(sentence) // _CHARACTERS_PER_TOKEN + 2, longest) for sentence in sentences)
