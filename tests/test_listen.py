"""A server gets an address, or a person is told why not."""

import socket

import grpc
import pytest
from twinhead.server.listen import ListenError, bind


@pytest.fixture
async def make_server():
    """Make servers that end with the test; a second one on a port must not share it."""
    made = []

    def make() -> grpc.aio.Server:
        made.append(grpc.aio.server(options=[("grpc.so_reuseport", 0)]))
        return made[-1]

    yield make
    for server in made:
        await server.stop(None)


async def answers(target: str) -> bool:
    """Whether somebody there speaks gRPC: a method that nobody has is answered so."""
    async with grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary("/no.Such/Method")
        try:
            await call(b"", timeout=10)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNIMPLEMENTED
    return False


async def test_a_free_port_is_taken_and_told(make_server):
    server = make_server()
    port = bind(server, "127.0.0.1", 0, "--port")
    assert port > 0
    await server.start()
    assert await answers(f"127.0.0.1:{port}")


async def test_a_given_port_is_the_one(make_server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    assert bind(make_server(), "127.0.0.1", port, "--port") == port


@pytest.mark.parametrize("host", ["::1", "[::1]"])
async def test_ipv6_with_and_without_brackets(make_server, host):
    server = make_server()
    port = bind(server, host, 0, "--port")
    await server.start()
    assert await answers(f"[::1]:{port}")


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
async def test_a_taken_port(make_server, option):
    port = bind(make_server(), "127.0.0.1", 0, "--port")
    with pytest.raises(ListenError, match=f"127.0.0.1:{port}.*in use.*choose another {option}$"):
        bind(make_server(), "127.0.0.1", port, option)


async def test_a_port_that_is_not_grpcs(make_server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(ListenError, match="in use"):
            bind(make_server(), "127.0.0.1", other.getsockname()[1], "--port")


# The first is set aside for documentation, so no machine has it.
@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "not an address"])
async def test_an_address_that_is_not_this_machines(make_server, host):
    with pytest.raises(ListenError, match=f"cannot listen on {host}:0: .*not this machine's"):
        bind(make_server(), host, 0, "--port")
