"""Retries are gRPC's own, by the service config."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
from twinhead.client import Client
from twinhead.client.channel import OPTIONS
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import (
    InferenceServiceServicer,
    add_InferenceServiceServicer_to_server,
)


class UnavailableAtFirst(InferenceServiceServicer):
    def __init__(self) -> None:
        self.calls = 0

    def Infer(self, request, context):
        self.calls += 1
        if self.calls < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return pb.InferResponse(model_version="at last")


def test_a_call_is_repeated_until_the_worker_is_there():
    servicer = UnavailableAtFirst()
    server = grpc.server(ThreadPoolExecutor(2))
    add_InferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"127.0.0.1:{port}") as client:
        assert client.infer(["a"]).model_version == "at last"
    assert servicer.calls == 3
    server.stop(None).wait()


def test_the_service_config_is_valid_json_with_a_policy():
    (config,) = [json.loads(value) for name, value in OPTIONS if name == "grpc.service_config"]
    assert config["methodConfig"][0]["retryPolicy"]["maxAttempts"] == 5
