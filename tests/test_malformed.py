"""Bytes that are no message are the caller's fault, and are answered so."""

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from twinhead.client import Client

NOT_UTF8 = b"\x0a\x02\xff\xfe"  # sentences: two bytes that are no UTF-8
NOT_PROTOBUF = b"\xff\xff\xff\xff"


def assert_invalid(error: grpc.RpcError) -> None:
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    info = ErrorInfo()
    assert rpc_status.from_call(error).details[0].Unpack(info)
    assert info.reason == "INVALID_REQUEST"


@pytest.mark.parametrize("method", ["InferenceService/Infer", "ModelService/GetModel"])
@pytest.mark.parametrize("data", [NOT_UTF8, NOT_PROTOBUF])
def test_unary(debug_worker, method, data):
    if method == "ModelService/GetModel" and data == NOT_UTF8:
        data = NOT_PROTOBUF  # it has no text field; unknown fields are no fault
    with grpc.insecure_channel(debug_worker.target) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"/twinhead.v1.{method}")(data, timeout=10)
        assert_invalid(caught.value)


@pytest.mark.parametrize("data", [b"\x12\x04" + NOT_UTF8, NOT_PROTOBUF])
def test_stream(debug_worker, data):
    with grpc.insecure_channel(debug_worker.target) as channel:
        call = channel.stream_stream("/twinhead.v1.InferenceService/StreamInfer")
        good = b"\x0a\x01a\x12\x04\x0a\x02w1"
        answers = []
        with pytest.raises(grpc.RpcError) as caught:
            answers.extend(call(iter([good, data]), timeout=10))
        assert_invalid(caught.value)
        assert len(answers) == 1  # what came before is answered
    with Client(debug_worker.target) as client:
        assert len(client.infer(["w1"])) == 1


def test_an_unknown_method_is_unimplemented(debug_worker):
    with grpc.insecure_channel(debug_worker.target) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/twinhead.v1.InferenceService/Nothing")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
