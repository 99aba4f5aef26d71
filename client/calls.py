"""What the clients do, written once.

As coroutines over a `Transport`: `AsyncClient` is these calls over asyncio, and `Client` runs them
over a transport that blocks.
"""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from twinhead.v1 import model_service_pb2

from .embedding_rows import EmbeddingRows, Unanswered
from .errors import TwinheadError, WorkerFullError, WorkerUnavailableError, from_rpc_error
from .patience import RECONNECT_PAUSE_SECONDS, Patience
from .requests import InferOptions, build_request, request_metadata
from .results import InferResult, ModelInfo, read_model, read_result
from .sentences import SentenceBatches, each, sentence_list
from .stream_window import StreamResult, StreamWindow
from .transport import Metadata, Stubs, Transport

# Of a stream. gRPC's own retries see to unary calls that find the worker full.
_PASSING = (WorkerUnavailableError, WorkerFullError)


class Calls:
    """The calls that a client makes; `Client` says what is to be known of each."""

    def __init__(
        self, target: str, transport: Transport, headers: Metadata, timeout: float | None
    ) -> None:
        self.target = target
        self._transport = transport
        self._headers = headers
        self._timeout = timeout
        # Whether a worker has answered: then it makes sense to wait for it when it is gone.
        self._reached = False

    async def model(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 (gRPC's deadline, sent to the worker)
        reconnect_seconds: float = 60.0,
    ) -> ModelInfo:
        """Describe the live model; see `Client.model`."""
        request = model_service_pb2.GetModelRequest()
        return read_model(
            await self._call(
                lambda stubs: stubs.models.GetModel, request, timeout, reconnect_seconds
            )
        )

    async def watch(self) -> AsyncGenerator[ModelInfo]:
        """The live model, and each that follows; see `Client.watch`."""
        method = self._transport.stubs().models.WatchModel
        stream = self._transport.subscribe(
            method, model_service_pb2.WatchModelRequest(), self._headers
        )
        try:
            while (response := await stream.read()) is not None:
                yield read_model(response.model)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error
        finally:
            await stream.close()
        raise WorkerUnavailableError(f"{self.target} ended the stream")

    async def infer(
        self,
        sentences: Iterable[str],
        options: InferOptions | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        reconnect_seconds: float = 60.0,
        request_id: str = "",
    ) -> InferResult:
        """Answer one batch of sentences; see `Client.infer`."""
        request = build_request(sentences, options or InferOptions())
        headers = request_metadata(request_id)
        return read_result(
            await self._call(
                lambda stubs: stubs.inference.Infer, request, timeout, reconnect_seconds, headers
            )
        )

    async def infer_stream(
        self,
        batches: Iterable[Iterable[str]] | AsyncIterable[Iterable[str]],
        options: InferOptions | None = None,
        *,
        in_flight: int = 8,
        reconnect_seconds: float = 60.0,
    ) -> AsyncGenerator[StreamResult]:
        """Answer many batches on one stream, in their order; see `Client.infer_stream`.

        `batches` may be asynchronous. Those that are not are read in the event loop, so their
        iterator should not wait for anything.
        """
        transport = self._transport
        window = StreamWindow(options or InferOptions(), in_flight, self.target, transport.mailbox)
        feeding = transport.start(window.feed(each(batches)))
        lost: TwinheadError | None = None
        patience: Patience | None = None
        try:
            while await window.lacks_answers():
                if lost is not None:
                    patience = patience or Patience(None, reconnect_seconds, _PASSING)
                    if not patience.waits_for(lost):
                        raise lost
                    await transport.pause(RECONNECT_PAUSE_SECONDS)
                method = transport.stubs().inference.StreamInfer
                stream = transport.stream(method, window.outbox(), self._headers)
                try:
                    while (response := await stream.read()) is not None:
                        self._reached = True
                        patience = None
                        window.settle(response)
                        for result in window.results():
                            yield result
                    lost = WorkerUnavailableError(f"{self.target} ended the stream")
                except grpc.RpcError as error:
                    lost = from_rpc_error(error, self.target)
                    lost.__cause__ = error
                finally:
                    await stream.close()
            if window.failure is not None:
                raise window.failure
        finally:
            window.stop()
            await feeding.stop()

    async def infer_many(
        self,
        sentences: Iterable[str] | AsyncIterable[str],
        options: InferOptions | None = None,
        *,
        batch_size: int = 64,
        in_flight: int = 8,
        reconnect_seconds: float = 60.0,
    ) -> AsyncGenerator[InferResult]:
        """Answer any number of sentences, in batches; see `Client.infer_many`.

        `sentences` may be asynchronous; see `infer_stream`.
        """
        batches = SentenceBatches(sentences, batch_size)
        results = self.infer_stream(
            batches, options, in_flight=in_flight, reconnect_seconds=reconnect_seconds
        )
        async with contextlib.aclosing(results):
            async for result in results:
                if isinstance(result, TwinheadError):
                    raise result
                yield result

    async def embed(
        self,
        sentences: Iterable[str],
        *,
        normalize: bool | None = None,
        dimensions: int | None = None,
        truncate: bool = True,
        unanswered: Unanswered = "error",
        model_version: str | None = None,
        batch_size: int = 64,
    ) -> NDArray[np.float32]:
        """The embeddings of any number of sentences; see `Client.embed`."""
        texts = sentence_list(sentences)
        rows = EmbeddingRows(len(texts), unanswered)
        options = InferOptions(
            tasks=(),
            normalize=normalize,
            dimensions=dimensions,
            truncate=truncate,
            model_version=model_version,
        )
        if 0 < len(texts) <= batch_size:
            rows.add(await self.infer(texts, options))
            return rows.array
        model = await self.model()
        if not texts:
            return np.empty((0, dimensions or model.embedding_dimensions), np.float32)
        # Another version may go live meanwhile, and rows of two versions cannot be compared.
        pinned = replace(options, model_version=model_version or model.version)
        results = self.infer_many(texts, pinned, batch_size=batch_size)
        async with contextlib.aclosing(results):
            async for result in results:
                rows.add(result)
        return rows.array

    async def _call(
        self,
        method: Callable[[Stubs], Any],
        request: Any,
        timeout: float | None,  # noqa: ASYNC109
        reconnect_seconds: float,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Any:
        """Make a call with one response; wait for a worker that went away."""
        patience = Patience(
            self._timeout if timeout is None else timeout,
            reconnect_seconds if self._reached else 0.0,
        )
        while True:
            stubs = self._transport.stubs()
            try:
                response = await self._transport.call(
                    method(stubs), request, patience.left(), [*self._headers, *headers]
                )
            except grpc.RpcError as error:
                failure = from_rpc_error(error, self.target)
                if not patience.waits_for(failure):
                    raise failure from error
                await self._transport.pause(RECONNECT_PAUSE_SECONDS)
            else:
                self._reached = True
                return response
