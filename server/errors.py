"""Everything that the worker answers with other than OK, and the one table from it to gRPC.

ServiceError
├── InvalidRequestError    INVALID_ARGUMENT      malformed, or over a limit
├── QueueFullError         RESOURCE_EXHAUSTED    no room for more work
├── NotServingError        UNAVAILABLE           starting or draining
├── VersionNotLiveError    FAILED_PRECONDITION   the pinned version is not served
└── InternalError          INTERNAL              a defect; the log has the details
"""

import logging
import secrets
from collections.abc import Iterator
from typing import Any, NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from typing_extensions import override

logger = logging.getLogger(__name__)

DOMAIN = "twinhead"
Context = grpc.aio.ServicerContext[Any, Any]
"""The context of a call."""
_STATUS_DETAILS_KEY = "grpc-status-details-bin"


class ServiceError(Exception):
    """Base of the errors that callers see; its text is for them."""

    code: grpc.StatusCode
    reason: str

    def details(self) -> Iterator[Message]:
        """Details of the kind of error, beside the `ErrorInfo` that each has."""
        yield from ()

    def metadata(self) -> dict[str, str]:
        """Metadata of the `ErrorInfo`."""
        return {}


class InvalidRequestError(ServiceError):
    """A malformed request, or one over a limit: names every violated field."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_REQUEST"

    def __init__(self, violations: list[tuple[str, str]]) -> None:
        self.violations = violations
        super().__init__(
            "; ".join(f"{field}: {text}" if field else text for field, text in violations)
        )

    @override
    def details(self) -> Iterator[Message]:
        yield BadRequest(
            field_violations=[
                BadRequest.FieldViolation(field=field, description=text)
                for field, text in self.violations
            ]
        )


class QueueFullError(ServiceError):
    """No room for more work at present."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "QUEUE_FULL"

    def __init__(self, retry_seconds: float) -> None:
        self.retry_seconds = retry_seconds
        super().__init__(f"the worker is full; try again in {retry_seconds:.1f} s")

    @override
    def details(self) -> Iterator[Message]:
        delay = Duration()
        delay.FromMilliseconds(int(self.retry_seconds * 1000))
        yield RetryInfo(retry_delay=delay)


class NotServingError(ServiceError):
    """The worker is starting, or finishing its work before it exits."""

    code = grpc.StatusCode.UNAVAILABLE

    def __init__(self, *, draining: bool) -> None:
        self.reason = "DRAINING" if draining else "STARTING"
        super().__init__("the worker is draining" if draining else "the worker is starting")


class VersionNotLiveError(ServiceError):
    """The version that the request is pinned to is not served here."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "VERSION_NOT_LIVE"

    def __init__(self, wanted: str, live: str) -> None:
        self._metadata = {"live_version": live}
        super().__init__(f"version {wanted[:64]!r} is not served here; live is {live}")

    @override
    def metadata(self) -> dict[str, str]:
        return self._metadata


class InternalError(ServiceError):
    """A defect. Only a reference reaches the caller; the log has the cause under it."""

    code = grpc.StatusCode.INTERNAL
    reason = "INTERNAL_ERROR"

    def __init__(self, reference: str) -> None:
        self._metadata = {"reference": reference}
        super().__init__(f"internal error, reference {reference}")

    @override
    def metadata(self) -> dict[str, str]:
        return self._metadata


def translate(error: Exception) -> ServiceError:
    """The error that a caller may see; anything unforeseen is logged under a reference."""
    if isinstance(error, ServiceError):
        return error
    reference = secrets.token_hex(6)
    logger.error("internal error, reference %s", reference, exc_info=error)
    return InternalError(reference)


def to_status(error: ServiceError) -> Status:
    """The error as `google.rpc.Status`, with its `ErrorInfo` first among the details."""
    number: int = error.code.value[0]
    status = Status(code=number, message=str(error))
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata())
    for detail in (info, *error.details()):
        status.details.add().Pack(detail)
    return status


async def abort(context: Context, error: Exception) -> NoReturn:
    """End the call with the error's status."""
    service_error = translate(error)
    status = to_status(service_error)
    trailing: list[tuple[str, str | bytes]] = [(_STATUS_DETAILS_KEY, status.SerializeToString())]
    if isinstance(service_error, QueueFullError):
        # gRPC's own retries wait for as long as this says.
        trailing.append(("grpc-retry-pushback-ms", str(int(service_error.retry_seconds * 1000))))
    await context.abort(service_error.code, status.message, tuple(trailing))
    raise AssertionError("unreachable: abort raises")  # pragma: no cover
