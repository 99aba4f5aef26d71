"""The inference RPCs: check, tokenise, queue, wait, reply."""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import inference_service_pb2_grpc as pb_grpc

from ..model.tokenizer import TokenizedSentence, chunked
from .batch_queue import BatchQueue
from .errors import (
    Context,
    InvalidRequestError,
    NotServingError,
    QueueFullError,
    abort,
    to_status,
    translate,
)
from .job import Job
from .live_model import LiveModel, Serving
from .reply import build_reply
from .request_check import RequestPlan, check_request
from .sentence_check import tokenize
from .service_class import ServiceClass
from .settings import WorkerSettings

logger = logging.getLogger(__name__)

_BATCH_ID_CHARACTERS = 256
# Calls end within seconds; a caller who finds too many of them may soon try again.
_CALLS_RETRY_SECONDS = 1.0
# Long enough for a call to get from the socket to its handler on a busy machine; callers who go on
# calling a worker that drains do not keep it from closing.
_QUIET_SECONDS = 0.2
_QUIET_AT_MOST_SECONDS = 2.0
# Characters of a single sentence that are tokenised sooner than a thread would begin with them.
_SHORT_CHARACTERS = 400
# Characters of unary calls that may wait to be tokenised: some ten seconds of work for two cores.
_READING_CHARACTERS = 32_000_000


@dataclass(frozen=True)
class _Accepted:
    """A request that is queued, and the statuses of its sentences."""

    job: Job
    sentences: Sequence[str]
    statuses: list[pb.SentenceStatus]


class _Calls:
    """Counts the calls that are being answered, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self.last_begin = 0.0
        self.none_left = asyncio.Event()
        self.none_left.set()

    def __enter__(self) -> None:
        """Begin a call; raises QueueFullError when there are as many as may be."""
        if self._count >= self._limit:
            raise QueueFullError(_CALLS_RETRY_SECONDS)
        self._count += 1
        self.last_begin = time.monotonic()
        self.none_left.clear()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self.none_left.set()


class InferenceService(pb_grpc.InferenceServiceServicer):
    """Answers batches, one by one or on a stream."""

    def __init__(self, serving: Serving, queue: BatchQueue, settings: WorkerSettings) -> None:
        self._serving = serving
        self._queue = queue
        self._settings = settings
        self._calls = _Calls(settings.concurrent_calls)
        self._reading_characters = 0
        # Two, so that one very long sentence does not hold up everybody else's.
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="text")

    async def Infer(self, request: pb.InferRequest, context: Context) -> pb.InferResponse:
        """Answer one batch; fails at once when the worker is full."""
        try:
            with self._calls:
                return await self._answer(await self._accept(request, wait=False))
        except Exception as error:
            await abort(context, error)

    async def StreamInfer(
        self,
        request_iterator: AsyncIterator[pb.StreamInferRequest],
        context: Context,
    ) -> None:
        """Answer batches as they are ready; reads no further while the worker is full."""
        try:
            with self._calls:
                await self._write_stream(request_iterator, context)
        except grpc.aio.BaseError:
            logger.debug("a caller left in the middle of its stream")
        except Exception as error:
            await abort(context, error)

    async def idle(self, timeout_seconds: float) -> bool:
        """Wait until no call is left; returns whether that came within the time."""
        try:
            await asyncio.wait_for(self._calls.none_left.wait(), timeout_seconds)
        except TimeoutError:
            return False
        # Calls may be on their way in, not counted yet; closing now would cut them off instead of
        # telling them that the worker drains. So wait for a moment in which none begins.
        until = time.monotonic() + _QUIET_AT_MOST_SECONDS
        # (No event tells of nothing.)
        while self._calls.last_begin + _QUIET_SECONDS > time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_QUIET_SECONDS / 4)
        return True

    def close(self) -> None:
        """Release the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _write_stream(
        self, requests: AsyncIterator[pb.StreamInferRequest], context: Context
    ) -> None:
        """Write answers as they come, until all that was read is answered."""
        answers: asyncio.Queue[pb.StreamInferResponse | None] = asyncio.Queue()
        room = asyncio.Semaphore(self._settings.batches_per_stream)
        reader = asyncio.create_task(self._read_stream(requests, answers, room))
        # However the reader ends, the loop below must.
        reader.add_done_callback(lambda _: answers.put_nowait(None))
        try:
            while (answer := await answers.get()) is not None:
                await context.write(answer)
                room.release()
            reader.result()  # raises what the reader raised
        finally:
            reader.cancel()

    async def _read_stream(
        self,
        requests: AsyncIterator[pb.StreamInferRequest],
        answers: asyncio.Queue[pb.StreamInferResponse | None],
        room: asyncio.Semaphore,
    ) -> None:
        """Accept a stream's batches until it ends or the worker drains; then answer them all."""
        broken: Exception | None = None
        with self._serving.until_draining() as first:
            async with asyncio.TaskGroup() as unanswered:
                while True:
                    await room.acquire()
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
                        answers.put_nowait(_failed(request.batch_id, error))
                    else:
                        answering = unanswered.create_task(
                            self._answer_batch(request.batch_id, accepted, answers)
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
        answers: asyncio.Queue[pb.StreamInferResponse | None],
    ) -> None:
        try:
            response = await self._answer(accepted)
        except Exception as error:
            answers.put_nowait(_failed(batch_id, error))
        else:
            answers.put_nowait(pb.StreamInferResponse(batch_id=batch_id, response=response))

    async def _accept(self, request: pb.InferRequest, *, wait: bool) -> _Accepted:
        """Check, tokenise and queue a request."""
        model = self._serving.model(request.model_version)
        plan = check_request(
            request,
            model.config,
            model.dimensions,
            max_sentences(self._settings, model),
            ServiceClass.BULK if wait else ServiceClass.INTERACTIVE,
        )
        if not wait:
            self._queue.check_room()  # before time is spent on tokenising
        started = time.monotonic()
        tokenized, statuses = await self._tokenize(request.sentences, model, plan, wait=wait)
        job = Job(model, plan, tokenized, time.monotonic() - started)
        if wait:
            await self._queue.put_when_room(job)
        else:
            self._queue.put(job)
        return _Accepted(job, request.sentences, statuses)

    async def _tokenize(
        self, sentences: Sequence[str], model: LiveModel, plan: RequestPlan, *, wait: bool
    ) -> tuple[list[TokenizedSentence | None], list[pb.SentenceStatus]]:
        """Tokenise in pieces, so that large requests take turns and a cancelled one stops."""
        read = [sentence[: self._settings.characters_per_sentence + 1] for sentence in sentences]
        characters = sum(map(len, read))
        if not wait and self._reading_characters + characters > _READING_CHARACTERS:
            raise QueueFullError(_CALLS_RETRY_SECONDS)
        tokenized: list[TokenizedSentence | None] = []
        statuses: list[pb.SentenceStatus] = []
        self._reading_characters += characters
        try:
            for chunk in chunked(read):
                work = functools.partial(
                    tokenize,
                    chunk,
                    model.tokenizer,
                    self._settings.characters_per_sentence,
                    truncate=plan.truncate,
                    offsets=plan.needs_offsets,
                )
                if len(read) == 1 and characters <= _SHORT_CHARACTERS:
                    part = work()
                else:
                    part = await asyncio.get_running_loop().run_in_executor(self._threads, work)
                tokenized += part[0]
                statuses += part[1]
        finally:
            self._reading_characters -= characters
        return tokenized, statuses

    async def _answer(self, accepted: _Accepted) -> pb.InferResponse:
        """Wait until a queued request is settled, and build its reply."""
        try:
            await accepted.job.wait()
        except BaseException:  # the caller has left, or a pass failed: encode no more of it
            self._queue.discard(accepted.job)
            raise
        reply = functools.partial(build_reply, accepted.job, accepted.sentences, accepted.statuses)
        if accepted.job.plan.needs_offsets:
            # Finding entities is work in Python for each word: it would hold up the event loop.
            return await asyncio.get_running_loop().run_in_executor(self._threads, reply)
        return reply()


def max_sentences(settings: WorkerSettings, model: LiveModel) -> int:
    """Sentences that one request may hold, so that its answer fits a client's default limit."""
    return min(settings.sentences_per_request, model.sentences_per_answer)


def _failed(batch_id: str, error: Exception) -> pb.StreamInferResponse:
    return pb.StreamInferResponse(
        batch_id=batch_id[:_BATCH_ID_CHARACTERS], error=to_status(translate(error))
    )
