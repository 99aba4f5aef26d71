"""The admin service's own address: who gets in, what is told there, and which address it is."""

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from debug_model import debug_model
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from held_start import loading_worker
from twinhead.server.access import Access
from twinhead.server.admin_listener import AdminListener
from twinhead.server.listen import ListenError
from twinhead.server.metrics import Metrics
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import Worker
from twinhead.v1 import inference_service_pb2
from twinhead.v1 import model_admin_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub
from twinhead.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub

SERVICE = "twinhead.v1.ModelAdminService"
TOKEN = "correct-horse-battery-staple"
RIGHT = [("authorization", f"Bearer {TOKEN}")]
OTHER_CASE = [("authorization", f"bearer {TOKEN}")]  # names of schemes have no case
WRONG = [
    [("authorization", f"Bearer {TOKEN}x")],
    [("authorization", f"Bearer {TOKEN[:-1]}")],
    [("authorization", f"Basic {TOKEN}")],
    [("authorization", TOKEN)],
    [("authorization", "Bearer ")],
    [("authorization", "")],
]
MISSING = [[], [("token", TOKEN)], [("authorization-bin", f"Bearer {TOKEN}".encode())]]


@pytest.fixture
def token_file(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN} infer,read,admin\n")
    return str(file)


@pytest.fixture
def guarded(start_debug_worker, token_file):
    """A worker that asks for the token."""
    return start_debug_worker(token_file=token_file)


# --- each method, with some metadata: what it answers, or its status


def list_versions(channel, metadata):
    return ModelAdminServiceStub(channel).ListVersions(
        pb.ListVersionsRequest(), metadata=metadata, timeout=10
    )


def activate(channel, metadata):
    return ModelAdminServiceStub(channel).ActivateVersion(
        pb.ActivateVersionRequest(model_version="debug0"), metadata=metadata, timeout=10
    )


def push(channel, metadata):
    # The caller's side stays open: the worker does not wait for what comes next.
    def requests():
        yield pb.PushWeightsRequest(offer=pb.VersionOffer(files={"odd.json": b"{}"}))
        over.wait(30)

    over = threading.Event()
    try:
        return list(
            ModelAdminServiceStub(channel).PushWeights(requests(), metadata=metadata, timeout=10)
        )
    finally:
        over.set()


def health(channel, metadata, service=SERVICE):
    request = health_pb2.HealthCheckRequest(service=service)
    stub = health_pb2_grpc.HealthStub(channel)
    return stub.Check(request, metadata=metadata, timeout=10)


def watch_health(channel, metadata):
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    call = health_pb2_grpc.HealthStub(channel).Watch(request, metadata=metadata, timeout=10)
    try:
        return next(call)
    finally:
        call.cancel()


def reflect(channel, metadata):
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = stub.ServerReflectionInfo(iter([request]), metadata=metadata, timeout=10)
    return {service.name for service in answer.list_services_response.service}


GUARDED = [list_versions, activate, push, reflect]
METHODS = [*GUARDED, health, watch_health]


def refusal(call, channel, metadata=()):
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, metadata)
    return caught.value


def reason_of(error) -> str:
    info = ErrorInfo()
    assert rpc_status.from_call(error).details[0].Unpack(info)
    assert info.domain == "twinhead"
    return info.reason


def assert_answered(method, channel, metadata):
    if method is push:  # as an offer that is not in order
        error = refusal(method, channel, metadata)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "'odd.json' is no file of a version" in error.details()
    else:
        assert method(channel, metadata)


# --- the token


def test_whoever_knows_the_token_gets_in(guarded):
    with grpc.insecure_channel(guarded.admin_target) as channel:
        for method in METHODS:
            assert_answered(method, channel, RIGHT)
            assert_answered(method, channel, OTHER_CASE)


@pytest.mark.parametrize("method", [health, watch_health])
def test_health_needs_no_token(guarded, method):
    # An orchestrator's probes cannot carry one.
    with grpc.insecure_channel(guarded.admin_target) as channel:
        for metadata in (*WRONG, *MISSING):
            assert_answered(method, channel, metadata)


@pytest.mark.parametrize("method", GUARDED)
def test_nobody_else_does(guarded, method):
    with grpc.insecure_channel(guarded.admin_target) as channel:
        for metadata, text in (
            *((wrong, "the token is not the right one") for wrong in WRONG),
            *((missing, "a token is needed") for missing in MISSING),
        ):
            error = refusal(method, channel, metadata)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED, metadata
            assert error.details() == text
            assert reason_of(error) == "NO_CREDENTIALS"
        # Nothing has been held against those who know it.
        assert_answered(method, channel, RIGHT)


def test_what_nobody_offers_is_told_to_everybody(guarded):
    with grpc.insecure_channel(guarded.admin_target) as channel:

        def call(channel, metadata):
            return channel.unary_unary(f"/{SERVICE}/NoSuchMethod")(b"", metadata=metadata)

        for metadata in ([], RIGHT):
            error = refusal(call, channel, metadata)
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_without_a_token_file_this_machine_gets_in(debug_worker):
    with grpc.insecure_channel(debug_worker.admin_target) as channel:
        for method in METHODS:
            assert_answered(method, channel, [])


# --- what is there


def test_health_is_told_for_the_server_and_its_service(debug_worker):
    serving = health_pb2.HealthCheckResponse.SERVING
    with grpc.insecure_channel(debug_worker.admin_target) as channel:
        assert health(channel, [], "").status == serving
        assert health(channel, [], SERVICE).status == serving
        with pytest.raises(grpc.RpcError) as caught:
            health(channel, [], "twinhead.v1.InferenceService")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_those_who_watch_its_health_are_told_of_the_end(debug_worker):
    with grpc.insecure_channel(debug_worker.admin_target) as channel:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        watching = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=30)
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
        with ThreadPoolExecutor(1) as pool:
            drained = pool.submit(debug_worker.drain)
            assert next(watching).status == health_pb2.HealthCheckResponse.NOT_SERVING
            watching.cancel()  # for which the worker would wait
            assert drained.result(30)


def test_reflection_tells_what_is_there(debug_worker):
    with grpc.insecure_channel(debug_worker.admin_target) as channel:
        assert reflect(channel, []) == {
            SERVICE,
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }


def test_neither_address_has_what_the_other_has(debug_worker):
    with grpc.insecure_channel(debug_worker.target) as channel:
        for method in (list_versions, activate, push):
            error = refusal(method, channel)
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    with grpc.insecure_channel(debug_worker.admin_target) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            InferenceServiceStub(channel).Infer(
                inference_service_pb2.InferRequest(sentences=["w1"]), timeout=10
            )
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("metadata", [RIGHT, []])
def test_bytes_that_are_no_message(guarded, metadata):
    with grpc.insecure_channel(guarded.admin_target) as channel:

        def call(channel, metadata):
            method = channel.unary_unary(f"/{SERVICE}/ActivateVersion")
            return method(b"\x0a\x02\xff\xfe", metadata=metadata, timeout=10)

        error = refusal(call, channel, metadata)
    if metadata:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        violations = BadRequest()
        assert rpc_status.from_call(error).details[1].Unpack(violations)
    else:  # those who may not call learn nothing of what they sent
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_calls_that_come_while_the_model_is_loaded_wait_for_it():
    async with loading_worker(WorkerSettings(port=0)) as (worker, finish):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{worker.admin_port}") as channel:
            stub = ModelAdminServiceStub(channel)
            call = asyncio.ensure_future(stub.ListVersions(pb.ListVersionsRequest()))
            done, _ = await asyncio.wait({call}, timeout=0.05)
            assert not done  # nor refused
            await finish()
            assert [each.model_version for each in (await call).versions] == ["debug0"]


# --- which address


@pytest.fixture
async def listen():
    """Take addresses that are given back with the test."""
    made = []

    def make(**settings) -> AdminListener:
        checked = WorkerSettings(**{"port": 0, **settings})
        made.append(AdminListener(checked, Access(None), None, Metrics()))
        return made[-1]

    yield make
    for listener in made:
        await listener.stop(None)


def free_pair() -> int:
    """A port that is free now, as the one above it is."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = first.getsockname()[1]
            try:
                with socket.create_server(("127.0.0.1", port + 1)):
                    return port
            except (OSError, OverflowError):
                continue


async def test_it_is_one_above_the_workers_port(listen):
    port = free_pair()
    assert listen(port=port).port == port + 1


@pytest.mark.parametrize("port", [0, 65535])
async def test_where_that_is_no_port_a_free_one_is_taken(listen, port):
    assert 0 < listen(port=port).port != port


async def test_a_given_port_is_the_one(listen):
    port = free_pair()
    assert listen(port=50051, admin_port=port).port == port
    assert listen(port=50051, admin_port=0).port not in (0, port, 50052)


async def test_a_taken_port_is_told(listen):
    taken = listen().port
    with pytest.raises(ListenError, match=f"127.0.0.1:{taken}.*choose another --admin-port"):
        listen(admin_port=taken)
    with pytest.raises(ListenError, match="choose another --admin-port"):
        listen(port=taken - 1)


async def test_a_worker_whose_admin_port_is_taken_does_not_start(listen):
    worker = Worker(WorkerSettings(port=0, admin_port=listen().port))
    with pytest.raises(ListenError, match="choose another --admin-port"):
        await worker.start(lambda *_: debug_model())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.0.2.1", "worker.example.org"])
async def test_others_than_this_machine_need_a_token(listen, host):
    with pytest.raises(ListenError, match=r"--token-file$") as caught:
        listen(admin_host=host)
    assert f"--admin-host {host} lets others" in str(caught.value)


async def test_with_a_token_it_may_be_any_address(listen, token_file):
    assert listen(admin_host="0.0.0.0", token_file=token_file).port > 0


async def test_a_token_file_that_is_no_good(tmp_path):
    # Not silently without a token.
    for name, said in (("missing", "cannot be read"), ("empty", "holds no token")):
        (tmp_path / "empty").touch()
        worker = Worker(WorkerSettings(port=0, token_file=str(tmp_path / name)))
        with pytest.raises(ValueError, match=said):
            await worker.start(lambda *_: debug_model())
