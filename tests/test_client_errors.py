"""Every status that a worker sends becomes an error of the client's own."""

import pickle

import grpc
import pytest
from google.rpc.status_pb2 import Status
from test_server_errors import EXAMPLES
from twinhead.client import errors
from twinhead.server import errors as server_errors

TRANSLATIONS = {
    server_errors.InvalidRequestError: errors.InvalidRequestError,
    server_errors.QueueFullError: errors.WorkerFullError,
    server_errors.NotServingError: errors.WorkerUnavailableError,
    server_errors.VersionNotLiveError: errors.VersionNotLiveError,
    server_errors.PushRefusedError: errors.PushRefusedError,
    server_errors.OtherVersionLiveError: errors.OtherVersionLiveError,
    server_errors.BlobDamagedError: errors.PushRefusedError,
    server_errors.PushAbortedError: errors.PushRefusedError,
    server_errors.StoreFullError: errors.PushRefusedError,
    server_errors.UnknownVersionError: errors.UnknownVersionError,
    server_errors.UnknownModelError: errors.UnknownVersionError,
    server_errors.NoCredentialsError: errors.AccessDeniedError,
    server_errors.ScopeMissingError: errors.AccessDeniedError,
    server_errors.InternalError: errors.WorkerFailedError,
}


# (Of other services' health our clients do not ask.)
@pytest.mark.parametrize("kind", sorted({*EXAMPLES} - {server_errors.UnknownServiceError}, key=str))
def test_each_error_of_the_server_has_its_counterpart(kind):
    error = errors.from_status(server_errors.to_status(EXAMPLES[kind][0]), "host:1")
    assert type(error) is TRANSLATIONS[kind]


# Of a push, a rollback, and of who may ask for either.
ADMIN_ERRORS = [
    server_errors.PushRefusedError("finite", "tensor w holds NaN"),
    server_errors.OtherVersionLiveError("wanted", "other"),
    server_errors.BlobDamagedError("aa", "bb"),
    server_errors.PushAbortedError(idle=True),
    server_errors.PushAbortedError(idle=False),
    server_errors.StoreFullError(2000, 1000),
    server_errors.UnknownVersionError("nothing"),
    server_errors.NoCredentialsError(given=True),
    server_errors.NoCredentialsError(given=False),
    server_errors.ScopeMissingError(["admin", "read"]),
]


@pytest.mark.parametrize("raised", ADMIN_ERRORS, ids=lambda raised: type(raised).__name__)
def test_errors_of_the_admin_service_keep_what_they_say(raised):
    error = errors.from_status(server_errors.to_status(raised), "host:1")
    assert type(error) is TRANSLATIONS[type(raised)]
    assert str(raised) in str(error)
    assert "host:1" in str(error)  # of several workers, the one that it comes from


@pytest.mark.parametrize(
    ("raised", "check"),
    [
        (server_errors.PushRefusedError("finite", "tensor w holds NaN"), "finite"),
        # Not for what the version is.
        (server_errors.BlobDamagedError("aa", "bb"), ""),
        (server_errors.PushAbortedError(idle=False), ""),
        (server_errors.StoreFullError(2000, 1000), ""),
    ],
)
def test_a_refused_push_names_the_check_that_failed(raised, check):
    error = errors.from_status(server_errors.to_status(raised), "host:1")
    assert isinstance(error, errors.PushRefusedError)
    assert error.check == check


def test_a_full_disk_is_not_taken_for_a_full_queue():
    full = server_errors.to_status(server_errors.StoreFullError(2000, 1000))
    queue = server_errors.to_status(server_errors.QueueFullError(1.5))
    assert full.code == queue.code
    assert not isinstance(errors.from_status(full, "host:1"), errors.WorkerFullError)


def test_a_proxy_that_lets_nobody_in_is_no_defect_of_the_worker():
    status = Status(code=grpc.StatusCode.PERMISSION_DENIED.value[0], message="RBAC: denied")
    error = errors.from_status(status, "host:1")
    assert isinstance(error, errors.AccessDeniedError)
    assert "RBAC: denied" in str(error)


def test_details_survive():
    full = errors.from_status(server_errors.to_status(server_errors.QueueFullError(1.5)), "host:1")
    assert full.retry_seconds == 1.5
    bad = server_errors.InvalidRequestError([("sentences", "too many")])
    assert errors.from_status(server_errors.to_status(bad), "host:1").violations == (
        ("sentences", "too many"),
    )


RAISED = [
    errors.WorkerFullError("full", 2.5),
    errors.InvalidRequestError("wrong", [("sentences", "too many")]),
    errors.UnansweredSentencesError("empty", {3: "the sentence is empty"}),
    errors.PushRefusedError("no", "finite"),
    errors.WorkerTimeoutError("late"),
]


@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
def test_errors_go_from_one_process_to_another(raised):
    """A pool of processes breaks on those that cannot."""
    arrived = pickle.loads(pickle.dumps(raised))
    assert type(arrived) is type(raised)
    assert str(arrived) == str(raised)
    assert vars(arrived) == vars(raised)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_every_grpc_code_is_translated(code):
    error = errors.from_status(Status(code=code.value[0], message="what happened"), "host:1")
    assert isinstance(error, errors.TwinheadError)
    assert str(error)
