"""Lets only those in who know the token."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from .errors import Context, NoCredentialsError, abort

_HEADER = "authorization"
_SCHEME = "Bearer "


class AdminToken(grpc.aio.ServerInterceptor):
    """Answers calls without the token with UNAUTHENTICATED."""

    def __init__(self, token: str) -> None:
        self._expected = (_SCHEME + token).encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Look at the metadata of a call before anything of it is read."""
        details: Any = handler_call_details
        given = dict(details.invocation_metadata or ()).get(_HEADER)
        handler: Any = await continuation(handler_call_details)
        said = given.encode() if isinstance(given, str) else given or b""
        if handler is None or hmac.compare_digest(said, self._expected):
            return handler
        return _refusing(handler, NoCredentialsError(given=given is not None))


def read_token(file: Path) -> str:
    """The token that a file holds.

    Raises:
        ValueError: it cannot be read, or holds none.
    """
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the token file {file} cannot be read: {error}") from error
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(
            f"the token in {file} must be 16 or more printable ASCII characters without spaces"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:  # a name
        return False


def _refusing(handler: Any, error: NoCredentialsError) -> Any:
    async def refuse(_: Any, context: Context) -> Any:
        await abort(context, error)

    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    return make(refuse, handler.request_deserializer, handler.response_serializer)
