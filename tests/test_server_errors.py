"""The status table, row by row."""

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from twinhead.server import errors

EXAMPLES = {
    errors.InvalidRequestError: (
        errors.InvalidRequestError([("sentences", "too many"), ("truncation", "unknown")]),
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
    ),
    errors.QueueFullError: (
        errors.QueueFullError(1.5),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "QUEUE_FULL",
    ),
    errors.NotServingError: (
        errors.NotServingError(draining=True),
        grpc.StatusCode.UNAVAILABLE,
        "DRAINING",
    ),
    errors.VersionNotLiveError: (
        errors.VersionNotLiveError("a", "b"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "VERSION_NOT_LIVE",
    ),
    errors.PushRefusedError: (
        errors.PushRefusedError("finite", "a tensor holds NaN"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "PUSH_REFUSED",
    ),
    errors.OtherVersionLiveError: (
        errors.OtherVersionLiveError("a", "b"),
        grpc.StatusCode.FAILED_PRECONDITION,
        "OTHER_VERSION_LIVE",
    ),
    errors.BlobDamagedError: (
        errors.BlobDamagedError("a", "b"),
        grpc.StatusCode.DATA_LOSS,
        "BLOB_DAMAGED",
    ),
    errors.PushAbortedError: (
        errors.PushAbortedError(idle=False),
        grpc.StatusCode.ABORTED,
        "PUSH_IN_PROGRESS",
    ),
    errors.StoreFullError: (
        errors.StoreFullError(2, 1),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "STORE_FULL",
    ),
    errors.UnknownVersionError: (
        errors.UnknownVersionError("a"),
        grpc.StatusCode.NOT_FOUND,
        "UNKNOWN_VERSION",
    ),
    errors.UnknownModelError: (
        errors.UnknownModelError("version", "a", "b"),
        grpc.StatusCode.NOT_FOUND,
        "UNKNOWN_MODEL",
    ),
    errors.UnknownServiceError: (
        errors.UnknownServiceError(),
        grpc.StatusCode.NOT_FOUND,
        "UNKNOWN_SERVICE",
    ),
    errors.NoCredentialsError: (
        errors.NoCredentialsError(given=True),
        grpc.StatusCode.UNAUTHENTICATED,
        "NO_CREDENTIALS",
    ),
    errors.ScopeMissingError: (
        errors.ScopeMissingError(["read", "admin"]),
        grpc.StatusCode.PERMISSION_DENIED,
        "SCOPE_MISSING",
    ),
    errors.InternalError: (
        errors.InternalError("abc"),
        grpc.StatusCode.INTERNAL,
        "INTERNAL_ERROR",
    ),
}


def details_of(error, kind):
    found = []
    for detail in errors.to_status(error).details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


def test_every_error_is_in_the_table():
    assert set(errors.ServiceError.__subclasses__()) == set(EXAMPLES)


@pytest.mark.parametrize(("error", "code", "reason"), EXAMPLES.values())
def test_status_has_its_code_and_exactly_one_error_info(error, code, reason):
    status = errors.to_status(error)
    assert status.code == code.value[0]
    assert status.message == str(error)
    (info,) = details_of(error, ErrorInfo)
    assert (info.reason, info.domain) == (reason, "twinhead")


def test_invalid_request_names_every_field():
    (bad,) = details_of(EXAMPLES[errors.InvalidRequestError][0], BadRequest)
    assert [each.field for each in bad.field_violations] == ["sentences", "truncation"]


def test_a_full_queue_says_when_to_retry():
    (retry,) = details_of(errors.QueueFullError(1.5), RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_starting_and_draining_are_told_apart():
    assert errors.NotServingError(draining=False).reason == "STARTING"


def test_what_is_not_foreseen_reaches_only_the_log(caplog):
    translated = errors.translate(ValueError("secret path"))
    assert isinstance(translated, errors.InternalError)
    assert "secret" not in str(errors.to_status(translated))
    reference = translated.metadata()["reference"]
    assert reference in caplog.text
    assert "secret path" in caplog.text
