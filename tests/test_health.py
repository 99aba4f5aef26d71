"""Whether the worker serves is told to all who ask, and whoever asks leaves nothing behind."""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from conftest import DebugWorker, wait_until
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_status import rpc_status
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived
from h2.settings import SettingCodes
from twinhead.server.health import Health

SERVING = pb.HealthCheckResponse.SERVING
NOT_SERVING = pb.HealthCheckResponse.NOT_SERVING
UNKNOWN = pb.HealthCheckResponse.SERVICE_UNKNOWN
NOT_FOUND, INVALID = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT
SERVICES = [
    "",
    "twinhead.v1.InferenceService",
    "twinhead.v1.ModelService",
    "inference.GRPCInferenceService",
]


@pytest.fixture
def stub(debug_worker):
    with grpc.insecure_channel(debug_worker.target) as channel:
        yield HealthStub(channel)


def asked(service: str = "") -> pb.HealthCheckRequest:
    return pb.HealthCheckRequest(service=service)


def health_of(worker: DebugWorker) -> Health:
    return worker.worker._health


def watches(worker: DebugWorker) -> int:
    """Calls of those who watch that are open."""
    return worker.worker._gate._others["/grpc.health.v1.Health/Watch"].count


def tell(worker: DebugWorker, *, serving: bool) -> None:
    """On the worker's own loop, as the worker does."""

    async def set_serving() -> None:
        health_of(worker).set(serving=serving)

    worker.run(set_serving())


def tasks_of(worker: DebugWorker) -> int:
    async def count() -> int:
        return len(asyncio.all_tasks())

    return worker.run(count())


def refusal(call: Callable[[], object], code: grpc.StatusCode, *details: Message) -> None:
    """A call is refused so; its details are unpacked."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() is code, caught.value
    packed = rpc_status.from_call(caught.value).details
    assert all(each.Unpack(into) for each, into in zip(packed, details, strict=True))


# --- what is told


async def test_nothing_serves_at_first():
    health = Health(["a", "b"])
    for service in ("", "a", "b"):
        assert (await health.Check(asked(service), None)).status == NOT_SERVING


async def test_all_services_change_at_once():
    health = Health(["a", "b"])
    for serving, status in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
        health.set(serving=serving)
        for service in ("", "a", "b"):
            assert (await health.Check(asked(service), None)).status == status


async def test_a_worker_that_drains_never_serves_again():
    health = Health(["a"])
    health.set(serving=True)
    health.drain()
    health.set(serving=True)
    for service in ("", "a"):
        assert (await health.Check(asked(service), None)).status == NOT_SERVING


@pytest.mark.parametrize("service", SERVICES)
def test_those_who_watch_see_every_change(debug_worker, stub, service):
    watching = stub.Watch(asked(service), timeout=60)
    assert next(watching).status == SERVING
    for serving, status in ((False, NOT_SERVING), (True, SERVING), (False, NOT_SERVING)):
        tell(debug_worker, serving=serving)
        assert next(watching).status == status
    watching.cancel()


def test_those_who_watch_are_not_told_twice(debug_worker, stub):
    watching = stub.Watch(asked(), timeout=60)
    assert next(watching).status == SERVING
    for serving in (True, True, False, False):
        tell(debug_worker, serving=serving)
    assert next(watching).status == NOT_SERVING
    watching.cancel()


def test_many_may_watch_one_service(debug_worker, stub):
    watching = [stub.Watch(asked(), timeout=60) for _ in range(10)]
    assert {next(each).status for each in watching} == {SERVING}
    tell(debug_worker, serving=False)
    assert {next(each).status for each in watching} == {NOT_SERVING}
    for each in watching:
        each.cancel()


def test_those_who_watch_still_see_changes_when_another_has_left(debug_worker, stub):
    leaving, staying = (stub.Watch(asked(), timeout=20) for _ in range(2))
    assert next(leaving).status == next(staying).status == SERVING
    leaving.cancel()
    wait_until(lambda: watches(debug_worker) == 1)
    tell(debug_worker, serving=False)
    assert next(staying).status == NOT_SERVING
    staying.cancel()


# --- names that nobody has


def test_an_unknown_service_is_told_so_and_forgotten(debug_worker, stub):
    health, before = health_of(debug_worker), tasks_of(debug_worker)
    names = [f"no.such.Service{n}" for n in range(100)]
    watching = [stub.Watch(asked(name), timeout=60) for name in names]
    assert {next(each).status for each in watching} == {UNKNOWN}
    for name in names:
        info = ErrorInfo()
        refusal(lambda name=name: stub.Check(asked(name), timeout=10), NOT_FOUND, info)
        assert (info.reason, info.domain) == ("UNKNOWN_SERVICE", "twinhead")
    for each in watching:
        each.cancel()
    wait_until(lambda: watches(debug_worker) == 0)
    assert health._services == set(SERVICES)
    wait_until(lambda: tasks_of(debug_worker) == before)


def test_known_names_leave_nothing_behind_either(debug_worker, stub):
    before = tasks_of(debug_worker)
    watching = [stub.Watch(asked(name), timeout=60) for name in SERVICES]
    assert {next(each).status for each in watching} == {SERVING}
    for each in watching:
        each.cancel()
    wait_until(lambda: watches(debug_worker) == 0)
    wait_until(lambda: tasks_of(debug_worker) == before)


def test_a_name_may_be_long_and_not_longer(stub):
    longest = "x" * 256
    watching = stub.Watch(asked(longest), timeout=60)
    assert next(watching).status == UNKNOWN
    watching.cancel()
    refusal(lambda: stub.Check(asked(longest), timeout=10), NOT_FOUND, ErrorInfo())
    for call in (stub.Check, lambda *how, **options: next(stub.Watch(*how, **options))):
        bad = BadRequest()
        refusal(lambda call=call: call(asked(f"{longest}x"), timeout=10), INVALID, ErrorInfo(), bad)
        assert [each.field for each in bad.field_violations] == ["service"]


def test_those_who_watch_an_unknown_service_hear_of_nothing_else(debug_worker, stub):
    watching = stub.Watch(asked("no.such.Service"), timeout=60)
    assert next(watching).status == UNKNOWN
    with ThreadPoolExecutor(1) as pool:
        further = pool.submit(next, watching)
        tell(debug_worker, serving=False)
        assert stub.Check(asked(), timeout=10).status == NOT_SERVING
        assert not further.done()
        watching.cancel()
        with pytest.raises(grpc.RpcError):
            further.result(10)


# --- those who watch, and the end


def test_whoever_watches_does_not_keep_the_worker_from_its_end(debug_worker, stub):
    known, unknown = (stub.Watch(asked(name), timeout=60) for name in ("", "no.such.Service"))
    assert next(known).status == SERVING
    assert next(unknown).status == UNKNOWN
    assert debug_worker.drain() is True
    assert next(known).status == NOT_SERVING
    for each in (known, unknown):
        with pytest.raises(grpc.RpcError):
            next(each)


class DeafCaller:
    """Makes a call and gives the worker no room to answer: a window of 0 bytes."""

    def __init__(
        self,
        worker: DebugWorker,
        method: str = "/grpc.health.v1.Health/Watch",
        request: bytes = b"",
    ) -> None:
        self._socket = socket.create_connection(("127.0.0.1", worker.worker.port))
        self._socket.settimeout(30)
        connection = H2Connection(H2Configuration(client_side=True))
        connection.initiate_connection()
        connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        stream = connection.get_next_available_stream_id()
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": method,
            ":authority": "localhost",
            "te": "trailers",
            "content-type": "application/grpc",
        }
        connection.send_headers(stream, list(headers.items()))
        # As gRPC puts it: not compressed, so many bytes, and these.
        message = b"\0" + len(request).to_bytes(4, "big") + request
        connection.send_data(stream, message, end_stream=True)
        self._socket.sendall(connection.data_to_send())
        answered = False  # but for what has no room
        while not answered:
            data = self._socket.recv(65536)
            assert data, "the worker hung up"
            answered = any(
                isinstance(event, ResponseReceived) for event in connection.receive_data(data)
            )
            self._socket.sendall(connection.data_to_send())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def deaf_caller(debug_worker):
    caller = DeafCaller(debug_worker)
    yield caller
    caller.close()  # or the worker's end would wait for it


def test_a_caller_who_takes_nothing_does_not_hold_up_the_others(debug_worker, deaf_caller, stub):
    watching = stub.Watch(asked(), timeout=20)
    assert next(watching).status == SERVING
    tell(debug_worker, serving=False)
    assert next(watching).status == NOT_SERVING
    assert stub.Check(asked(), timeout=10).status == NOT_SERVING
    watching.cancel()


def test_a_caller_who_takes_nothing_does_not_keep_the_worker_from_its_end(
    debug_worker, deaf_caller
):
    drained = threading.Event()
    done = asyncio.run_coroutine_threadsafe(debug_worker.worker.drain(), debug_worker._loop)
    done.add_done_callback(lambda _: drained.set())
    assert drained.wait(20), "it never ends"
    assert done.result() is True
