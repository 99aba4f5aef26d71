"""The asyncio client."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Self

import grpc
from twinhead.v1 import model_service_pb2
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub
from twinhead.v1.model_service_pb2_grpc import ModelServiceStub

from .channel import DEFAULT_TARGET, OPTIONS
from .client import Client
from .errors import TwinheadError, WorkerUnavailableError, from_rpc_error
from .requests import InferOptions, build_request
from .results import InferResult, ModelInfo, read_model, read_result


class AsyncClient:
    """Calls a worker from asyncio; the twin of `Client`.

    >>> async with AsyncClient("localhost:50051") as client:
    ...     result = await client.infer(["The match was a delight."])
    """

    def __init__(self, target: str = DEFAULT_TARGET, *, timeout: float | None = 60.0) -> None:
        """Connect to a worker when the first call is made; see `Client`."""
        self.target = target
        self._timeout = timeout
        self._channel = grpc.aio.insecure_channel(target, options=OPTIONS)
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
            return read_model(
                await self._models.GetModel(request, timeout=timeout or self._timeout)
            )
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error

    async def watch(self) -> AsyncGenerator[ModelInfo]:
        """The live model, and each that follows; see `Client.watch`."""
        call = self._models.WatchModel(model_service_pb2.WatchModelRequest())
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
    ) -> InferResult:
        """Answer one batch of sentences; see `Client.infer`."""
        request = build_request(sentences, options or InferOptions())
        try:
            response = await self._inference.Infer(request, timeout=timeout or self._timeout)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error
        return read_result(response)

    async def infer_stream(
        self,
        batches: Iterable[Sequence[str]],
        options: InferOptions | None = None,
        *,
        in_flight: int = 8,
        reconnect_seconds: float = 20.0,
    ) -> AsyncGenerator[InferResult | TwinheadError]:
        """Answer many batches on one stream, in their order; see `Client.infer_stream`.

        The stream is the blocking client's, run in a thread, so both behave alike.
        """
        with Client(self.target) as blocking:  # closing it ends a thread that is still waiting
            results = blocking.infer_stream(
                batches, options, in_flight=in_flight, reconnect_seconds=reconnect_seconds
            )
            while (result := await asyncio.to_thread(next, results, None)) is not None:
                yield result
