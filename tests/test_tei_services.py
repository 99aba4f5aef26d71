"""The services of `tei.v1` on the worker's port: all of them, for whom, and when."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from conftest import ROOT
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from held_start import loading_worker
from tei_calls import Stubs, refused, stubs
from twinhead.protocols import tei_service_pb2 as tei
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import Worker

ANSWERING = ["tei.v1.Embed", "tei.v1.Info", "tei.v1.Predict", "tei.v1.Tokenize"]
OFFERED = {
    "Info": lambda call: call.info.Info(tei.InfoRequest()),
    "Embed": lambda call: call.embed.Embed(tei.EmbedRequest(inputs="w1")),
    "EmbedStream": lambda call: list(call.embed.EmbedStream(iter([tei.EmbedRequest(inputs="w1")]))),
    "Predict": lambda call: call.predict.Predict(tei.PredictRequest(inputs="w1")),
    "PredictStream": lambda call: list(
        call.predict.PredictStream(iter([tei.PredictRequest(inputs="w1")]))
    ),
    "Tokenize": lambda call: call.tokenize.Tokenize(tei.EncodeRequest(inputs="w1")),
    "TokenizeStream": lambda call: list(
        call.tokenize.TokenizeStream(iter([tei.EncodeRequest(inputs="w1")]))
    ),
    "Decode": lambda call: call.tokenize.Decode(tei.DecodeRequest(ids=[5])),
    "DecodeStream": lambda call: list(
        call.tokenize.DecodeStream(iter([tei.DecodeRequest(ids=[5])]))
    ),
}
LARGE = "w1 " * 5000
NOT_OFFERED = {
    "EmbedSparse": lambda call: call.embed.EmbedSparse(tei.EmbedSparseRequest(inputs=LARGE)),
    "EmbedSparseStream": lambda call: list(
        call.embed.EmbedSparseStream(iter([tei.EmbedSparseRequest(inputs=LARGE)]))
    ),
    "EmbedAll": lambda call: call.embed.EmbedAll(tei.EmbedAllRequest(inputs=LARGE)),
    "EmbedAllStream": lambda call: list(
        call.embed.EmbedAllStream(iter([tei.EmbedAllRequest(inputs=LARGE)]))
    ),
    "PredictPair": lambda call: call.predict.PredictPair(
        tei.PredictPairRequest(inputs=[LARGE, LARGE])
    ),
    "PredictPairStream": lambda call: list(
        call.predict.PredictPairStream(iter([tei.PredictPairRequest(inputs=[LARGE, LARGE])]))
    ),
    "Rerank": lambda call: call.rerank.Rerank(tei.RerankRequest(query="w1", texts=[LARGE])),
    "RerankStream": lambda call: call.rerank.RerankStream(
        iter([tei.RerankStreamRequest(query="w1", text=LARGE)])
    ),
}


@pytest.fixture
def worker(start_debug_worker):
    return start_debug_worker(tei=True)


def test_every_method_is_in_one_of_the_tables():
    services = tei.DESCRIPTOR.services_by_name.values()
    methods = [method.name for service in services for method in service.methods]
    assert sorted(methods) == sorted([*OFFERED, *NOT_OFFERED])


def test_what_is_offered_answers(worker):
    with stubs(worker.target) as call:
        for name, method in OFFERED.items():
            assert method(call), name


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_what_is_not_offered_says_so(worker, name):
    with stubs(worker.target) as call:
        assert refused(lambda: NOT_OFFERED[name](call)) == ("UNIMPLEMENTED", "NOT_OFFERED", [])


def reflected(channel: grpc.Channel) -> list[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
    return sorted(service.name for service in answer.list_services_response.service)


def test_health_and_reflection_know_them(worker):
    with grpc.insecure_channel(worker.target) as channel:
        assert [name for name in reflected(channel) if name.startswith("tei.")] == ANSWERING
        for name in ANSWERING:
            health = HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name))
            assert health.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="tei.v1.Rerank"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_without_the_setting_nothing_is_there(debug_worker):
    with grpc.insecure_channel(debug_worker.target) as channel:
        for method in (OFFERED | NOT_OFFERED).values():
            with pytest.raises(grpc.RpcError) as caught:
                method(Stubs(channel))
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert not [name for name in reflected(channel) if name.startswith("tei.")]
        with pytest.raises(grpc.RpcError) as caught:
            HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="tei.v1.Embed"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_tokens_open_them(start_debug_worker, tmp_path):
    caller, reader = "token-that-may-infer", "token-that-may-read"
    file = tmp_path / "tokens"
    file.write_text(f"{caller} infer\n{reader} read\n")
    worker = start_debug_worker(tei=True, token_file=str(file))
    request = tei.EmbedRequest(inputs="w1")
    with stubs(worker.target) as call:
        for name, method in (OFFERED | NOT_OFFERED).items():
            assert refused(lambda method=method: method(call))[0] == "UNAUTHENTICATED", name
        reading = [("authorization", f"Bearer {reader}")]
        assert call.info.Info(tei.InfoRequest(), metadata=reading).model_id
        code, _, _ = refused(lambda: call.embed.Embed(request, metadata=reading))
        assert code == "PERMISSION_DENIED"
        calling = [("authorization", f"Bearer {caller}")]
        assert call.embed.Embed(request, metadata=calling).embeddings


async def test_a_worker_that_starts_answers_nothing():
    def call_all(worker: Worker) -> None:
        with stubs(f"localhost:{worker.port}") as call:
            for name, method in OFFERED.items():
                told = refused(lambda method=method: method(call))
                assert told[:2] == ("UNAVAILABLE", "STARTING"), name

    settings = WorkerSettings(port=0, admin_port=0, tei=True)
    async with loading_worker(settings) as (worker, _):
        await asyncio.to_thread(call_all, worker)


# What a user of text-embeddings-inference has: the schema, and code that was generated from it.
CALLER = """
import json, sys
import grpc, tei_service_pb2 as tei, tei_service_pb2_grpc as tei_grpc
assert "twinhead" not in sys.modules
with grpc.insecure_channel(sys.argv[1]) as channel:
    info = tei_grpc.InfoStub(channel).Info(tei.InfoRequest())
    requests = [tei.EmbedRequest(inputs=f"w{n}", normalize=False) for n in range(1, 300)]
    stream = tei_grpc.EmbedStub(channel).EmbedStream(iter(requests))
    vectors = [each.embeddings[3] for each in stream]
    labels = tei_grpc.PredictStub(channel).Predict(tei.PredictRequest(inputs="w1")).predictions
    tokens = tei_grpc.TokenizeStub(channel).Tokenize(tei.EncodeRequest(inputs="w1 w2")).tokens
print(json.dumps({
    "model": info.model_id, "vectors": len(vectors), "ones": set(vectors) == {1.0},
    "labels": sorted(each.label for each in labels), "tokens": [each.text for each in tokens],
}))
"""


def test_a_caller_needs_the_schema_and_an_address_and_nothing_of_ours(worker, tmp_path):
    protocols = ROOT / "protos/twinhead/protocols"
    generate = [sys.executable, "-m", "grpc_tools.protoc", f"-I{protocols}", "tei_service.proto"]
    for output in ("--python_out=.", "--grpc_python_out=."):
        generate.append(output)
    subprocess.run(generate, cwd=tmp_path, check=True)
    Path(tmp_path, "caller.py").write_text(CALLER)
    done = subprocess.run(
        [sys.executable, "caller.py", worker.target],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == {
        "model": "debug",
        "vectors": 299,
        "ones": True,
        "labels": ["even", "odd"],
        "tokens": ["w1", "w2"],
    }
