"""The inference RPCs: check, tokenise, queue, wait, reply."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import inference_service_pb2_grpc as pb_grpc

from ..model.tokenizer import TokenizedSentence, chunked
from .batch_queue import BatchQueue
from .errors import (
    Context,
    InvalidRequestError,
    NotServingError,
    to_status,
    translate,
)
from .job import Job
from .live_model import LiveModel, Serving
from .metrics import Metrics
from .outbox import Outbox, UnreadAnswers
from .reply import build_reply
from .request_check import RequestPlan, check_request
from .sentence_check import tokenize
from .service_class import ServiceClass
from .settings import WorkerSettings

if TYPE_CHECKING:  # OpenTelemetry is an extra
    from .traces import Traces

_BATCH_ID_CHARACTERS = 256
# Of English, rather more than fewer: room that is kept for too few tokens is no room.
_CHARACTERS_PER_TOKEN = 4
# Characters of a single sentence that are tokenised sooner than a thread would begin with them.
_SHORT_CHARACTERS = 400
# Answers of streams that wait for their callers: some hundred of the largest. Beyond that a stream
# has one batch in the worker at a time.
_UNREAD_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class _Accepted:
    """A request that is queued, and the statuses of its sentences."""

    job: Job
    sentences: Sequence[str]
    statuses: list[pb.SentenceStatus]
    read: float
    """When it was read, by the monotonic clock."""


class InferenceService(pb_grpc.InferenceServiceServicer):
    """Answers batches, one by one or on a stream."""

    def __init__(
        self,
        serving: Serving,
        queue: BatchQueue,
        settings: WorkerSettings,
        metrics: Metrics,
        traces: "Traces | None" = None,
    ) -> None:
        self._serving = serving
        self._queue = queue
        self._settings = settings
        self._metrics = metrics
        self._traces = traces
        self._unread = UnreadAnswers(_UNREAD_BYTES)
        # Two, so that one very long sentence does not hold up everybody else's.
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="text")

    @property
    def unread_bytes(self) -> int:
        """Bytes of answers that callers have not taken yet."""
        return self._unread.bytes

    async def Infer(self, request: pb.InferRequest, context: Context) -> pb.InferResponse:  # noqa: ARG002
        """Answer one batch; fails at once when the worker is full."""
        return await self._answer(await self._accept(request, wait=False))

    async def StreamInfer(
        self,
        request_iterator: AsyncIterator[pb.StreamInferRequest],
        context: Context,
    ) -> None:
        """Answer batches as they are ready; reads no further while the worker is full."""
        outbox = Outbox(self._unread, self._settings.batches_per_stream)
        reader = asyncio.create_task(self._read_stream(request_iterator, outbox))
        # However the reader ends, the loop below must.
        reader.add_done_callback(lambda _: outbox.end())
        try:
            while (next_out := await outbox.take()) is not None:
                answer, size = next_out
                try:
                    await context.write(answer)
                finally:
                    outbox.taken(size)
            reader.result()  # raises what the reader raised
        finally:
            reader.cancel()
            outbox.close()

    def close(self) -> None:
        """Release the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _read_stream(
        self,
        requests: AsyncIterator[pb.StreamInferRequest],
        outbox: Outbox,
    ) -> None:
        """Accept a stream's batches until it ends or the worker drains; then answer them all."""
        broken: Exception | None = None
        with self._serving.until_draining() as first:
            async with asyncio.TaskGroup() as unanswered:
                while True:
                    await outbox.room()
                    try:
                        request = await first(anext(requests, None))
                    except Exception as error:
                        broken = error
                        break
                    if request is None:
                        break
                    try:
                        if len(request.batch_id) > _BATCH_ID_CHARACTERS:
                            raise InvalidRequestError(
                                [("batch_id", f"longer than {_BATCH_ID_CHARACTERS} characters")]
                            )
                        accepted = await self._accept(request.request, wait=True)
                    except NotServingError as error:
                        broken = error  # as with all further batches: the caller may turn elsewhere
                        break
                    except Exception as error:
                        outbox.put(_failed(request.batch_id, error))
                    else:
                        answering = unanswered.create_task(
                            self._answer_batch(request.batch_id, accepted, outbox)
                        )
                        # Cancelled before its first step, a task runs none of its own clean-up.
                        answering.add_done_callback(
                            functools.partial(self._discard_cancelled, accepted.job)
                        )
        if broken is not None:
            raise broken

    def _discard_cancelled(self, job: Job, answering: asyncio.Task[None]) -> None:
        if answering.cancelled():
            self._queue.discard(job)

    async def _answer_batch(
        self,
        batch_id: str,
        accepted: _Accepted,
        outbox: Outbox,
    ) -> None:
        try:
            response = await self._answer(accepted)
        except Exception as error:
            outbox.put(_failed(batch_id, error))
        else:
            outbox.put(pb.StreamInferResponse(batch_id=batch_id, response=response))

    async def _accept(self, request: pb.InferRequest, *, wait: bool) -> _Accepted:
        """Check, tokenise and queue a request."""
        read = time.monotonic()
        model = self._serving.model(request.model_version)
        plan = check_request(
            request,
            model.config,
            model.dimensions,
            max_sentences(self._settings, model),
            ServiceClass.BULK if wait else ServiceClass.INTERACTIVE,
        )
        # Before time is spent on tokenising what would not fit. Streams wait when it does not.
        expected = 0 if wait else _expected_tokens(request.sentences, model)
        with nullcontext() if wait else self._queue.expecting(expected):
            started = time.monotonic()
            tokenized, statuses = await self._tokenize(request.sentences, model, plan)
        job = Job(model, plan, tokenized, time.monotonic() - started)
        if wait:
            await self._queue.put_when_room(job)
        else:
            self._queue.put(job)
        return _Accepted(job, request.sentences, statuses, read)

    async def _tokenize(
        self, sentences: Sequence[str], model: LiveModel, plan: RequestPlan
    ) -> tuple[list[TokenizedSentence | None], list[pb.SentenceStatus]]:
        """Tokenise in pieces, so that large requests take turns and a cancelled one stops."""
        read = [sentence[: self._settings.characters_per_sentence + 1] for sentence in sentences]
        short = len(read) == 1 and len(read[0]) <= _SHORT_CHARACTERS
        tokenized: list[TokenizedSentence | None] = []
        statuses: list[pb.SentenceStatus] = []
        for chunk in chunked(read):
            work = functools.partial(
                tokenize,
                chunk,
                model.tokenizer,
                self._settings.characters_per_sentence,
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

    async def _answer(self, accepted: _Accepted) -> pb.InferResponse:
        """Wait until a queued request is settled, and build its reply."""
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


def max_sentences(settings: WorkerSettings, model: LiveModel) -> int:
    """Sentences that one request may hold, so that its answer fits a client's default limit."""
    return min(settings.sentences_per_request, model.sentences_per_answer)


def _expected_tokens(sentences: Sequence[str], model: LiveModel) -> int:
    """About how many tokens there will be."""
    longest = model.config.max_tokens
    return sum(min(len(sentence) // _CHARACTERS_PER_TOKEN + 2, longest) for sentence in sentences)


def _failed(batch_id: str, error: Exception) -> pb.StreamInferResponse:
    return pb.StreamInferResponse(
        batch_id=batch_id[:_BATCH_ID_CHARACTERS], error=to_status(translate(error))
    )
