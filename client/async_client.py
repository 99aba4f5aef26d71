"""The asyncio client."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Self

import grpc
from twinhead.v1 import model_service_pb2
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub
from twinhead.v1.model_service_pb2_grpc import ModelServiceStub

from .channel import DEFAULT_TARGET, Access, Tls
from .client import Client
from .errors import TwinheadError, WorkerUnavailableError, from_rpc_error
from .patience import RECONNECT_PAUSE_SECONDS, Patience
from .requests import InferOptions, build_request, request_metadata
from .results import InferResult, ModelInfo, read_model, read_result


class AsyncClient:
    """Calls a worker from asyncio; the twin of `Client`.

    >>> async with AsyncClient("localhost:50051") as client:
    ...     result = await client.infer(["The match was a delight."])
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        token: str = "",
        tls: Tls | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        """Connect to a worker when the first call is made; see `Client`."""
        self.target = target
        self._timeout = timeout
        self._access = Access(token, tls)
        self._metadata = self._access.metadata
        self._channel = self._access.aio_channel(target)
        self._reached = False
        self._inference: Any = InferenceServiceStub(self._channel)
        self._models: Any = ModelServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def model(self, *, timeout: float | None = None) -> ModelInfo:  # noqa: ASYNC109
        """Describe the live model; see `Client.model`."""
        request = model_service_pb2.GetModelRequest()
        try:
            response = await self._models.GetModel(
                request, timeout=timeout or self._timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error
        self._reached = True
        return read_model(response)

    async def watch(self) -> AsyncGenerator[ModelInfo]:
        """The live model, and each that follows; see `Client.watch`."""
        call = self._models.WatchModel(
            model_service_pb2.WatchModelRequest(), metadata=self._metadata
        )
        try:
            async for response in call:
                yield read_model(response.model)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error
        finally:
            call.cancel()
        raise WorkerUnavailableError(f"{self.target} ended the stream")

    async def infer(
        self,
        sentences: Sequence[str],
        options: InferOptions | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 (gRPC's deadline, sent to the worker)
        reconnect_seconds: float = 60.0,
        request_id: str = "",
    ) -> InferResult:
        """Answer one batch of sentences; see `Client.infer`."""
        request = build_request(sentences, options or InferOptions())
        patience = Patience(timeout or self._timeout, reconnect_seconds if self._reached else 0.0)
        metadata = [*self._metadata, *request_metadata(request_id)]
        while True:
            try:
                response = await self._inference.Infer(
                    request, timeout=patience.left(), metadata=metadata
                )
            except grpc.RpcError as error:
                failure = from_rpc_error(error, self.target)
                if not patience.waits_for(failure):
                    raise failure from error
                await asyncio.sleep(RECONNECT_PAUSE_SECONDS)
            else:
                self._reached = True
                return read_result(response)

    async def infer_stream(
        self,
        batches: Iterable[Sequence[str]],
        options: InferOptions | None = None,
        *,
        in_flight: int = 8,
        reconnect_seconds: float = 60.0,
    ) -> AsyncGenerator[InferResult | TwinheadError]:
        """Answer many batches on one stream, in their order; see `Client.infer_stream`.

        The stream is the blocking client's, run in a thread, so both behave alike.
        """
        access = self._access
        with Client(
            self.target, token=access.token, tls=access.tls
        ) as blocking:  # closing it ends a thread that is still waiting
            results = blocking.infer_stream(
                batches, options, in_flight=in_flight, reconnect_seconds=reconnect_seconds
            )
            while (result := await asyncio.to_thread(next, results, None)) is not None:
                yield result
