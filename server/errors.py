"""Everything that the worker answers with other than OK, and the one table from it to gRPC.

ServiceError
├── InvalidRequestError    INVALID_ARGUMENT      malformed, or over a limit
├── QueueFullError         RESOURCE_EXHAUSTED    no room for more work
├── NotServingError        UNAVAILABLE           starting or draining
├── VersionNotLiveError    FAILED_PRECONDITION   the pinned version is not served
├── PushRefusedError       FAILED_PRECONDITION   a pushed version fails a check
├── OtherVersionLiveError  FAILED_PRECONDITION   not what the caller expects is live
├── BlobDamagedError       DATA_LOSS             bytes that are not those of their digest
├── PushAbortedError       ABORTED               another push is under way, or this one fell silent
├── StoreFullError         RESOURCE_EXHAUSTED    the disk has no room for a version
├── UnknownVersionError    NOT_FOUND             no such version is kept
├── UnknownModelError      NOT_FOUND             no such model, or version of it, is served
├── UnknownServiceError    NOT_FOUND             health was asked of a service that is not here
├── NoCredentialsError     UNAUTHENTICATED       the token is missing or wrong
├── ScopeMissingError      PERMISSION_DENIED     the token is right, but does not allow this
└── InternalError          INTERNAL              a defect; the log has the details
"""

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Literal, NoReturn

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
TOLD: "ContextVar[Callable[[ServiceError], None] | None]" = ContextVar("TOLD", default=None)
"""Who notes what the callers of the call at hand are told, in a status or in band."""
REQUEST_ID: ContextVar[str] = ContextVar("REQUEST_ID", default="")
"""Id of the call at hand, which its caller may have chosen."""
REQUEST_ID_KEY = "x-request-id"
# Three times that in a header, and once more in the details: under the 8 KiB that clients take.
_TEXT_BYTES = 1500
_STARTING_RETRY_SECONDS = 2.0
_STATUS_DETAILS_KEY = "grpc-status-details-bin"


class ServiceError(Exception):
    """Base of the errors that callers see; its text is for them."""

    code: grpc.StatusCode
    reason: str
    retry_seconds: float | None = None
    """When to try again, if that may help."""

    def details(self) -> Iterator[Message]:
        """Details of the kind of error, beside the `ErrorInfo` that each has."""
        if self.retry_seconds is not None:
            delay = Duration()
            delay.FromMilliseconds(int(self.retry_seconds * 1000))
            yield RetryInfo(retry_delay=delay)

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


class NotServingError(ServiceError):
    """The worker is starting, or finishing its work before it exits."""

    code = grpc.StatusCode.UNAVAILABLE

    def __init__(self, *, draining: bool) -> None:
        self.reason = "DRAINING" if draining else "STARTING"
        # A few of them make the time that loading takes.
        self.retry_seconds = None if draining else _STARTING_RETRY_SECONDS
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


class PushRefusedError(ServiceError):
    """A pushed version fails a check; what is live stays live."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "PUSH_REFUSED"

    def __init__(self, check: str, text: str) -> None:
        self.check = check
        """Name of the check."""
        super().__init__(f"{check}: {text}")

    @override
    def metadata(self) -> dict[str, str]:
        return {"check": self.check}


class OtherVersionLiveError(ServiceError):
    """The version that the caller expects to be live is not."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "OTHER_VERSION_LIVE"

    def __init__(self, expected: str, live: str) -> None:
        self._metadata = {"live_version": live}
        super().__init__(f"version {expected[:64]!r} was to be live, but {live} is")

    @override
    def metadata(self) -> dict[str, str]:
        return self._metadata


class BlobDamagedError(ServiceError):
    """Bytes arrived that are not those of their digest."""

    code = grpc.StatusCode.DATA_LOSS
    reason = "BLOB_DAMAGED"

    def __init__(self, expected: str, found: str = "") -> None:
        super().__init__(
            f"blob {expected} arrived with other bytes, of SHA-256 {found}"
            if found
            else f"blob {expected} was damaged on the worker's disk and is removed; push once more"
        )


class PushAbortedError(ServiceError):
    """The worker does not go on with a push."""

    code = grpc.StatusCode.ABORTED

    def __init__(self, *, idle: bool) -> None:
        self.reason = "PUSH_IDLE" if idle else "PUSH_IN_PROGRESS"
        super().__init__(
            "nothing, or next to nothing, came on the stream of this push for too long"
            if idle
            else "another version is being brought to this worker; try again when that is done"
        )


class StoreFullError(ServiceError):
    """The worker's disk has no room for a version."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "STORE_FULL"

    def __init__(self, needed: int, free: int) -> None:
        super().__init__(
            f"the worker's disk has no room for the version: it needs {needed:,} bytes more, "
            f"{free:,} are free"
        )


class UnknownVersionError(ServiceError):
    """The worker keeps no such version."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "UNKNOWN_VERSION"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"version {version[:64]!r} is not kept here"
            if version
            else "no version was live before this one"
        )


class UnknownModelError(ServiceError):
    """No model of this name, or no such version of it, is served here."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "UNKNOWN_MODEL"

    def __init__(self, what: Literal["model", "version"], wanted: str, served: str) -> None:
        self._metadata = {what: served}
        super().__init__(f"{what} {wanted[:64]!r} is not served here; {served} is")

    @override
    def metadata(self) -> dict[str, str]:
        return self._metadata


class UnknownServiceError(ServiceError):
    """Health was asked of a service that is not here."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "UNKNOWN_SERVICE"

    def __init__(self) -> None:
        super().__init__("there is no such service here")


class NoCredentialsError(ServiceError):
    """A call without the token."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "NO_CREDENTIALS"

    def __init__(self, *, given: bool) -> None:
        super().__init__("the token is not the right one" if given else "a token is needed")


class ScopeMissingError(ServiceError):
    """A call with a token that does not allow it."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "SCOPE_MISSING"

    def __init__(self, scopes: Sequence[str]) -> None:
        self._scopes = scopes
        wanted = " or ".join(scopes)
        super().__init__(f"the token does not allow this; the scope {wanted} is needed")

    @override
    def metadata(self) -> dict[str, str]:
        return {"scopes": ",".join(self._scopes)}


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
    if not isinstance(error, ServiceError):
        reference = secrets.token_hex(6)
        logger.error("internal error, reference %s", reference, exc_info=error)
        error = InternalError(reference)
    told = TOLD.get()
    if told is not None:
        told(error)
    return error


def to_status(error: ServiceError) -> Status:
    """The error as `google.rpc.Status`, with its `ErrorInfo` first among the details."""
    number: int = error.code.value[0]
    status = Status(code=number, message=_short(str(error)))
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata())
    for detail in (info, *error.details()):
        status.details.add().Pack(detail)
    return status


def _short(text: str) -> str:
    """A text that fits into a status, which travels in headers, and there in percents."""
    if len(text.encode()) <= _TEXT_BYTES:
        return text
    return text.encode()[:_TEXT_BYTES].decode(errors="ignore") + "..."


async def abort(context: Context, error: Exception) -> NoReturn:
    """End the call with the error's status."""
    service_error = translate(error)
    status = to_status(service_error)
    trailing: list[tuple[str, str | bytes]] = [(_STATUS_DETAILS_KEY, status.SerializeToString())]
    if service_error.retry_seconds is not None:
        # gRPC's own retries wait for as long as this says.
        trailing.append(("grpc-retry-pushback-ms", str(int(service_error.retry_seconds * 1000))))
    if REQUEST_ID.get():
        trailing.append((REQUEST_ID_KEY, REQUEST_ID.get()))
    await context.abort(service_error.code, status.message, tuple(trailing))
    raise AssertionError("unreachable: abort raises")  # pragma: no cover
