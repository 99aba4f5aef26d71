"""What is told of methods and models that are not there."""

import asyncio

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from twinhead.server import tei_errors
from twinhead.server.errors import ServiceError, to_status


def told(error: ServiceError) -> tuple[int, str, str]:
    status, info = to_status(error), ErrorInfo()
    assert status.details[0].Unpack(info)
    return status.code, status.message, info.reason


def test_a_method_that_is_not_offered_reads_nothing():
    with pytest.raises(ServiceError) as caught:
        asyncio.run(tei_errors.refusing("mind reading")(None, iter(()), None))
    code, text, reason = told(caught.value)
    assert (code, reason) == (grpc.StatusCode.UNIMPLEMENTED.value[0], "NOT_OFFERED")
    assert "mind reading" in text


def test_an_unfit_model_is_a_failed_precondition():
    code, text, reason = told(tei_errors.unfit_model("the model has no heads"))
    assert (code, text, reason) == (
        grpc.StatusCode.FAILED_PRECONDITION.value[0],
        "the model has no heads",
        "UNFIT_MODEL",
    )
