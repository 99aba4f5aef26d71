"""The way in, the same for every call: credentials, room, a readable message; and its end, noted.

What a service raises becomes a status here, and nowhere else.
"""

import asyncio
import inspect
import logging
import re
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from .access import HEADER, Access
from .call_limit import CallLimit
from .errors import (
    REQUEST_ID,
    REQUEST_ID_KEY,
    TOLD,
    Context,
    InternalError,
    InvalidRequestError,
    ServiceError,
    abort,
)
from .metrics import Metrics

if TYPE_CHECKING:  # OpenTelemetry is an extra
    from .traces import Traces

logger = logging.getLogger(__name__)

# By the beginning of their names, in our contract and in those of others that are spoken here.
_INFERENCE = (
    "/twinhead.v1.InferenceService/",
    "/inference.GRPCInferenceService/ModelInfer",
    "/tei.v1.Embed/",
    "/tei.v1.Predict/",
    "/tei.v1.Tokenize/",
)
_PUSH = "/twinhead.v1.ModelAdminService/PushWeights"
# Of requests that hold a name or two: watchers hold theirs for as long as they watch.
_SMALL_BYTES = 4096
# What is refused before it is read when the queue has no room; streams wait.
_UNARY_INFERENCE = frozenset(
    (
        "/twinhead.v1.InferenceService/Infer",
        "/inference.GRPCInferenceService/ModelInfer",
        "/tei.v1.Embed/Embed",
        "/tei.v1.Predict/Predict",
    )
)
# What is safe to write into a log, and long enough for anybody's ids.
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_CODES: Mapping[int, str] = {code.value[0]: code.name for code in grpc.StatusCode}

_Admit = Callable[[], None]


class Gate(grpc.aio.ServerInterceptor):
    """Lets calls in, and answers those that may not come in before anything of them is read."""

    def __init__(
        self,
        access: Access,
        limit: int,
        metrics: Metrics,
        traces: "Traces | None" = None,
        admit: _Admit | None = None,
    ) -> None:
        """Guard a listener.

        Args:
            access: who may call what.
            limit: calls of inference at once, and as many of each other method.
            metrics: what is noted of calls.
            traces: where their spans go, if anywhere.
            admit: raises a ServiceError when there is no room for another call for one batch.
        """
        self._access = access
        self.inference = CallLimit(limit)
        """Calls of inference."""
        # Of each other method, so that those who watch leave probes their room.
        self._others: defaultdict[str, CallLimit] = defaultdict(lambda: CallLimit(limit))
        self._metrics = metrics
        self._traces = traces
        self._admit = admit
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of a call: the service's, in our wrapping, or one that refuses it."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        details: Any = handler_call_details
        method: str = details.method
        try:
            self._let_in(method, dict(details.invocation_metadata or ()))
        except ServiceError as error:
            return self._refusing(method, error)
        if method not in self._handlers:
            self._handlers[method] = self._wrapped(method, handler)
        return self._handlers[method]

    def _let_in(self, method: str, metadata: Mapping[str, str | bytes]) -> None:
        error = self._access.refusal(method, metadata.get(HEADER))
        if error is not None:
            raise error
        # (Methods that are not there have no handler, and do not come here.)
        limit = self.inference if method.startswith(_INFERENCE) else self._others[method]
        # This runs in the task that gRPC has made for the call, which ends when the call does.
        task = asyncio.current_task()
        if task is not None:
            limit.enter(task)
        if self._admit is not None and method in _UNARY_INFERENCE:
            self._admit()

    def _refusing(self, method: str, error: ServiceError) -> Any:
        async def refuse(_: object, context: Context) -> None:
            with self._noted(method, context):
                await abort(context, error)

        # Whatever the method is: the first message of a stream is read only when it is asked for,
        # and what nobody asks for takes no memory.
        return grpc.stream_stream_rpc_method_handler(refuse)

    def _wrapped(self, method: str, handler: Any) -> Any:
        """A handler that answers unreadable messages and whatever is raised with a status."""
        behaviour = (
            handler.stream_stream
            or handler.unary_stream
            or handler.stream_unary
            or handler.unary_unary
        )

        async def call(request: Any, context: Context) -> Any:
            with self._noted(method, context):
                try:
                    if isinstance(request, _Malformed):
                        raise _unreadable()
                    if handler.request_streaming:
                        request = _readable(request)
                    if not inspect.isasyncgenfunction(behaviour):
                        return await behaviour(request, context)
                    async for response in behaviour(request, context):
                        await context.write(response)
                except grpc.aio.AbortError:
                    raise
                except grpc.aio.InternalError as error:
                    # What writing raises when the caller has left; nothing else can be written.
                    raise asyncio.CancelledError from error
                except asyncio.CancelledError as error:
                    task = asyncio.current_task()
                    if task is not None and task.cancelling():
                        raise
                    await abort(context, RuntimeError(f"cancelled by itself: {error!r}"))
                except Exception as error:
                    await abort(context, error)

        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        small = not method.startswith((*_INFERENCE, _PUSH))
        read = _lenient(handler.request_deserializer, _SMALL_BYTES if small else None)
        return make(call, read, handler.response_serializer)

    @contextmanager
    def _noted(self, method: str, context: Context) -> Generator[None]:
        """Give a call its id, and note how it ends."""
        name = method.rpartition("/")[2]
        metadata: dict[str, str | bytes] = dict(context.invocation_metadata() or ())
        given = metadata.get(REQUEST_ID_KEY)
        if isinstance(given, str) and _REQUEST_ID.fullmatch(given):
            request_id = given
            context.set_trailing_metadata(((REQUEST_ID_KEY, request_id),))
        else:
            request_id = secrets.token_hex(8)
        # The task is the call's own, and so are these.
        REQUEST_ID.set(request_id)
        # Reasons, not the errors themselves: a stream may go on for days.
        reasons: Counter[str] = Counter()

        def told(error: ServiceError) -> None:
            reasons[error.reason] += 1
            self._metrics.told(name, error)

        TOLD.set(told)
        started = time.perf_counter()
        code = "OK"
        traced = self._traces.call(method, metadata, request_id) if self._traces else None
        with traced or nullcontext(_ignore) as ended:
            try:
                yield
            except asyncio.CancelledError:
                left: Any = context.time_remaining()  # None without a deadline
                # gRPC sends deadlines rounded up by a hundredth: callers' own clocks go first.
                passed = time.perf_counter() - started
                late = left is not None and left <= 0.01 + 0.02 * passed
                code = "DEADLINE_EXCEEDED" if late else "CANCELLED"
                raise
            except grpc.aio.AbortError:
                code = _CODES.get(_code(context), "UNKNOWN")
                raise
            finally:
                ended(code)
                self._metrics.called(name, code)
                _log(method, code, reasons, time.perf_counter() - started, context)


def _ignore(_: str) -> None:
    pass


class _Malformed:
    """Stands for a message that could not be read."""


def _unreadable() -> InvalidRequestError:
    # Left to itself, gRPC answers what it cannot deserialise with INTERNAL, as if the worker were
    # broken.
    return InvalidRequestError(
        [("", "the request is not a valid message; is all of its text UTF-8, and the schema ours?")]
    )


def _lenient(deserialize: Callable[[bytes], Any], most_bytes: int | None) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        if most_bytes is not None and len(data) > most_bytes:
            return _Malformed()
        try:
            return deserialize(data)
        except DecodeError:
            return _Malformed()

    return read


async def _readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        if isinstance(request, _Malformed):
            raise _unreadable()
        yield request


def _code(context: Context) -> int:
    code: Any = context.code()
    return code.value[0] if isinstance(code, grpc.StatusCode) else code


def _log(
    method: str, code: str, reasons: Mapping[str, int], seconds: float, context: Context
) -> None:
    """A line for a call: for the patient when all went well, and one level up when it did not."""
    level = logging.INFO if reasons or code != "OK" else logging.DEBUG
    if InternalError.reason in reasons:
        level = logging.ERROR
    if not logger.isEnabledFor(level):
        return
    counted = ", ".join(
        reason if count == 1 else f"{count} x {reason}" for reason, count in sorted(reasons.items())
    )
    logger.log(
        level,
        "%s from %s: %s%s after %.1f ms",
        method,
        context.peer(),
        code,
        f" ({counted})" if counted else "",
        seconds * 1000,
        extra={
            "method": method,
            "peer": context.peer(),
            "code": code,
            "reasons": dict(reasons),
            "milliseconds": round(seconds * 1000, 1),
        },
    )
