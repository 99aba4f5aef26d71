"""The inference RPCs: one batch, or a stream of them."""

import asyncio
import functools
from collections.abc import AsyncIterator

from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1 import inference_service_pb2_grpc as pb_grpc

from .errors import (
    Context,
    InvalidRequestError,
    NotServingError,
    to_status,
    translate,
)
from .outbox import Outbox, UnreadAnswers
from .pipeline import Accepted, Pipeline

_BATCH_ID_CHARACTERS = 256
# Answers of streams that wait for their callers: some hundred of the largest. Beyond that a stream
# has one batch in the worker at a time.
_UNREAD_BYTES = 256 * 1024 * 1024


class InferenceService(pb_grpc.InferenceServiceServicer):
    """Answers batches, one by one or on a stream."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._unread = UnreadAnswers(_UNREAD_BYTES)

    @property
    def unread_bytes(self) -> int:
        """Bytes of answers that callers have not taken yet."""
        return self._unread.bytes

    async def Infer(self, request: pb.InferRequest, context: Context) -> pb.InferResponse:  # noqa: ARG002
        """Answer one batch; fails at once when the worker is full."""
        return await self._pipeline.infer(request)

    async def StreamInfer(
        self,
        request_iterator: AsyncIterator[pb.StreamInferRequest],
        context: Context,
    ) -> None:
        """Answer batches as they are ready; reads no further while the worker is full."""
        outbox = Outbox(self._unread, self._pipeline.settings.batches_per_stream)
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

    async def _read_stream(
        self,
        requests: AsyncIterator[pb.StreamInferRequest],
        outbox: Outbox,
    ) -> None:
        """Accept a stream's batches until it ends or the worker drains; then answer them all."""
        broken: Exception | None = None
        with self._pipeline.serving.until_draining() as first:
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
                        accepted = await self._pipeline.accept(request.request, wait=True)
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
                            functools.partial(self._discard_cancelled, accepted)
                        )
        if broken is not None:
            raise broken

    def _discard_cancelled(self, accepted: Accepted, answering: asyncio.Task[None]) -> None:
        if answering.cancelled():
            self._pipeline.discard(accepted)

    async def _answer_batch(
        self,
        batch_id: str,
        accepted: Accepted,
        outbox: Outbox,
    ) -> None:
        try:
            response = await self._pipeline.answer(accepted)
        except Exception as error:
            outbox.put(_failed(batch_id, error))
        else:
            outbox.put(pb.StreamInferResponse(batch_id=batch_id, response=response))


def _failed(batch_id: str, error: Exception) -> pb.StreamInferResponse:
    return pb.StreamInferResponse(
        batch_id=batch_id[:_BATCH_ID_CHARACTERS], error=to_status(translate(error))
    )
