"""Bytes that are no message of the contract are the caller's fault, and are answered so.

Left to itself, gRPC answers what it cannot deserialise (such as text that is not UTF-8) with
INTERNAL, as if the worker were broken.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from .errors import Context, InvalidRequestError, abort

_OURS = "/twinhead.v1."


class _Malformed:
    """Stands for a message that could not be read."""


def _error() -> InvalidRequestError:
    return InvalidRequestError(
        [("", "the request is not a valid message; is all of its text UTF-8, and the schema ours?")]
    )


class MalformedRequests(grpc.aio.ServerInterceptor):
    """Answers unreadable messages with INVALID_ARGUMENT."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the handler of a call to one of our services."""
        handler: Any = await continuation(handler_call_details)
        method: Any = handler_call_details
        if handler is None or not method.method.startswith(_OURS):
            return handler
        deserialize = _lenient(handler.request_deserializer)
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                _checked_stream(handler.stream_stream), deserialize, handler.response_serializer
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                _checked_unary(handler.unary_stream), deserialize, handler.response_serializer
            )
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                _checked_unary(handler.unary_unary), deserialize, handler.response_serializer
            )
        return handler


def _lenient(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return _Malformed()

    return read


def _checked_unary(behaviour: Any) -> Any:
    async def call(request: Any, context: Context) -> Any:
        if isinstance(request, _Malformed):
            await abort(context, _error())
        return await behaviour(request, context)

    return call


def _checked_stream(behaviour: Any) -> Any:
    async def readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            if isinstance(request, _Malformed):
                raise _error()
            yield request

    async def call(requests: AsyncIterator[Any], context: Context) -> None:
        await behaviour(readable(requests), context)

    return call
