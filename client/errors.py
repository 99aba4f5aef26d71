"""What can go wrong for a caller of a worker.

TwinheadError
├── WorkerUnavailableError   nobody answers there, or the worker is starting or draining
├── WorkerTimeoutError       no answer within the time given
├── WorkerFullError          the worker has all the work that it can hold
├── InvalidRequestError      the worker refuses the request, naming what is wrong with it
├── UnansweredSentencesError sentences that are empty, too long or unreadable have no embedding
├── VersionNotLiveError      the pinned version is not served
├── PushRefusedError         the worker does not take a version; what is live stays live
├── OtherVersionLiveError    the version that was to be live is not; nothing was changed
├── UnknownVersionError      the worker keeps no such version
├── AccessDeniedError        the admin service asks for a token, or for another one
├── WorkerFailedError        the worker has a defect, or is not a Twinhead worker at all
└── FileError                a file to label, or to write, that cannot be used
"""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status


class TwinheadError(Exception):
    """Base of all errors of this package; its text says what is wrong and what to do."""


class WorkerUnavailableError(TwinheadError):
    """Nobody answers at the address, or the worker is starting or draining."""


class WorkerTimeoutError(TwinheadError):
    """No answer came within the time given."""


class WorkerFullError(TwinheadError):
    """The worker has all the work that it can hold."""

    def __init__(self, message: str, retry_seconds: float = 1.0) -> None:
        self.retry_seconds = retry_seconds
        """When to try again."""
        super().__init__(message)


class InvalidRequestError(TwinheadError):
    """The worker refuses the request."""

    def __init__(self, message: str, violations: Iterable[tuple[str, str]] = ()) -> None:
        self.violations = tuple(violations)
        """(field, what is wrong) of each violated field."""
        super().__init__(message)


class UnansweredSentencesError(TwinheadError):
    """Sentences have no embedding: they are empty, too long or unreadable."""

    def __init__(self, message: str, rows: Mapping[int, str] | None = None) -> None:
        self.rows = dict(rows or {})
        """Why each of them has none, by its place among the sentences, which begins at 0."""
        super().__init__(message)


class VersionNotLiveError(TwinheadError):
    """The pinned version is not served."""


class PushRefusedError(TwinheadError):
    """The worker does not take a version; what is live stays live."""

    def __init__(self, message: str, check: str = "") -> None:
        self.check = check
        """Name of the check that the version has failed; empty when it was refused for another
        reason, such as another push that is under way."""
        super().__init__(message)


class OtherVersionLiveError(TwinheadError):
    """The version that was to be live is not; nothing was changed."""


class UnknownVersionError(TwinheadError):
    """The worker keeps no such version."""


class AccessDeniedError(TwinheadError):
    """The admin service asks for a token, or for another one."""


class WorkerFailedError(TwinheadError):
    """The worker failed for a reason of its own."""


class FileError(TwinheadError):
    """A file that cannot be read or written as asked."""


# A worker sends the first; the second comes from proxies before it.
_ACCESS_DENIED = (
    grpc.StatusCode.UNAUTHENTICATED.value[0],
    grpc.StatusCode.PERMISSION_DENIED.value[0],
)
_PUSH_REASONS = ("PUSH_REFUSED", "BLOB_DAMAGED", "STORE_FULL")


def from_rpc_error(error: grpc.RpcError, target: str) -> TwinheadError:
    """Translate what a call to the worker at `target` raised."""
    call: Any = error  # what is raised is the call itself
    code: grpc.StatusCode = call.code()
    message: str = call.details() or code.name
    status = rpc_status.from_call(call)
    if status is None:  # from the transport, or from something that is no Twinhead worker
        status = Status(code=code.value[0], message=message)
    return from_status(status, target)


def from_status(status: Status, target: str) -> TwinheadError:
    """Translate a status, of a call or in a stream's answer."""
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        for known in (info, bad_request, retry):
            detail.Unpack(known)  # leaves those of another type alone
    message = status.message
    number = status.code
    if number == grpc.StatusCode.CANCELLED.value[0]:  # not by this client: that raises otherwise
        return WorkerUnavailableError(f"the worker at {target} cut the call off")
    if number == grpc.StatusCode.UNAVAILABLE.value[0]:
        if info.reason:
            return WorkerUnavailableError(f"the worker at {target} is {info.reason.lower()}")
        return WorkerUnavailableError(
            f"no worker answers at {target} ({message}); is it running, and with TLS if you ask "
            "for TLS, else without? Start one: twinhead serve"
        )
    if number == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]:
        return WorkerTimeoutError(f"the worker at {target} did not answer in time")
    if number == grpc.StatusCode.INVALID_ARGUMENT.value[0]:
        violations = [(each.field, each.description) for each in bad_request.field_violations]
        return InvalidRequestError(f"the worker refuses the request: {message}", violations)
    if info.reason in _PUSH_REASONS or number == grpc.StatusCode.ABORTED.value[0]:
        return PushRefusedError(
            f"the worker at {target} refuses the version: {message}", info.metadata.get("check", "")
        )
    if number == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]:
        if info.reason:
            delay = retry.retry_delay.ToTimedelta().total_seconds()
            return WorkerFullError(f"the worker at {target} is full", delay)
        if "larger than max" in message:
            return InvalidRequestError(f"a message is too large: {message}")
        return WorkerFullError(f"the worker at {target} takes no more calls: {message}", 1.0)
    if info.reason == "OTHER_VERSION_LIVE":
        return OtherVersionLiveError(f"the worker at {target}: {message}")
    if number == grpc.StatusCode.FAILED_PRECONDITION.value[0]:
        return VersionNotLiveError(message)
    if number == grpc.StatusCode.NOT_FOUND.value[0]:
        return UnknownVersionError(f"the worker at {target}: {message}")
    if number in _ACCESS_DENIED:
        return AccessDeniedError(f"the worker at {target}: {message}")
    if number == grpc.StatusCode.UNIMPLEMENTED.value[0]:
        return WorkerFailedError(f"what listens at {target} is no Twinhead worker: {message}")
    return WorkerFailedError(f"the worker at {target} failed: {message}")
