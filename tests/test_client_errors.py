"""Every status that a worker sends becomes an error of the client's own."""

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
    server_errors.InternalError: errors.WorkerFailedError,
}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_each_error_of_the_server_has_its_counterpart(kind):
    error = errors.from_status(server_errors.to_status(EXAMPLES[kind][0]), "host:1")
    assert type(error) is TRANSLATIONS[kind]


def test_details_survive():
    full = errors.from_status(server_errors.to_status(server_errors.QueueFullError(1.5)), "host:1")
    assert full.retry_seconds == 1.5
    bad = server_errors.InvalidRequestError([("sentences", "too many")])
    assert errors.from_status(server_errors.to_status(bad), "host:1").violations == (
        ("sentences", "too many"),
    )


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_every_grpc_code_is_translated(code):
    error = errors.from_status(Status(code=code.value[0], message="what happened"), "host:1")
    assert isinstance(error, errors.TwinheadError)
    assert str(error)
