"""A server gets an address, or a person is told why not."""

import asyncio
import socket
import ssl
from pathlib import Path

import grpc
import pytest
import trustme
from debug_model import debug_model
from grpc._cython import cygrpc
from twinhead.client import Tls, channel
from twinhead.client.channel import Access
from twinhead.server.certificates import Certificates
from twinhead.server.listen import OPTIONS, ListenError, bind, is_loopback, read_certificates
from twinhead.server.settings import WorkerSettings
from twinhead.server.worker import Worker


def test_grpc_knows_every_option():
    # It says nothing of one whose name is misspelt, and does without.
    library = Path(cygrpc.__file__).read_bytes()
    for name, _ in (*OPTIONS, *channel.OPTIONS):
        assert f"{name}\0".encode() in library, name


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


@pytest.fixture
def tls_files(tmp_path) -> dict[str, str]:
    """Settings of a worker with a certificate; its root is in `ca.pem`."""
    ca = trustme.CA()
    leaf = ca.issue_cert("localhost", "127.0.0.1")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "worker.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "worker.key")
    return {
        "tls_certificate": str(tmp_path / "worker.pem"),
        "tls_key": str(tmp_path / "worker.key"),
    }


async def answers(target: str, access: Access = Access()) -> bool:  # noqa: B008 (it is frozen)
    """Whether somebody there speaks gRPC: a method that nobody has is answered so."""
    async with access.aio_channel(target) as channel:
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


# --- with certificates


async def test_with_certificates_only_tls_is_answered(make_server, tls_files, tmp_path):
    server = make_server()
    certificates = read_certificates(WorkerSettings(**tls_files))
    port = bind(server, "127.0.0.1", 0, "--port", certificates)
    await server.start()
    assert await answers(f"127.0.0.1:{port}", Access(tls=Tls(tmp_path / "ca.pem")))
    assert not await answers(f"127.0.0.1:{port}")


async def test_without_certificates_tls_is_not_answered(make_server, tls_files, tmp_path):
    server = make_server()
    port = bind(server, "127.0.0.1", 0, "--port")
    await server.start()
    assert await answers(f"127.0.0.1:{port}")
    assert not await answers(f"127.0.0.1:{port}", Access(tls=Tls(tmp_path / "ca.pem")))


async def test_old_tls_is_not_spoken(make_server, tls_files, tmp_path):
    server = make_server()
    port = bind(server, "127.0.0.1", 0, "--port", read_certificates(WorkerSettings(**tls_files)))
    await server.start()

    def version(maximum: ssl.TLSVersion) -> str | None:
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        context.set_alpn_protocols(["h2"])
        context.set_ciphers("DEFAULT@SECLEVEL=0")  # this side would speak it
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = maximum
        with socket.create_connection(("127.0.0.1", port)) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                return wrapped.version()

    assert await asyncio.to_thread(version, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    assert await asyncio.to_thread(version, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        with pytest.raises(OSError, match=r"EOF|reset by peer|alert"):  # it hangs up
            await asyncio.to_thread(version, ssl.TLSVersion.TLSv1_1)


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
async def test_a_taken_port_with_certificates(make_server, tls_files, option):
    certificates = read_certificates(WorkerSettings(**tls_files))
    assert isinstance(certificates, Certificates)
    port = bind(make_server(), "127.0.0.1", 0, "--port", certificates)
    with pytest.raises(ListenError, match=f"127.0.0.1:{port}.*in use.*choose another {option}$"):
        bind(make_server(), "127.0.0.1", port, option, certificates)


# --- which address may be without


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "[::1]"]
)
def test_addresses_of_this_machine_only(host):
    assert is_loopback(host)
    assert read_certificates(WorkerSettings(host=host, admin_host=host)) is None


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "::",
        "[::]",
        "10.0.0.1",
        "128.0.0.1",
        "fe80::1",
        "worker-3",
        "localhost.example.org",
        "127.0.0.1.example.org",
        # Old notations that some resolvers take: whoever means loopback can say so.
        "127.1",
        "2130706433",
        "",
    ],
)
def test_all_others_can_be_reached_by_others(host, tls_files):
    assert not is_loopback(host)
    for option in ("host", "admin_host"):
        with pytest.raises(ListenError, match="nothing is encrypted; give --tls-cert") as caught:
            read_certificates(WorkerSettings(**{option: host}))
        assert f"--{option.replace('_', '-')} {host} lets others" in str(caught.value)
        assert "--allow-plaintext" in str(caught.value)
        assert read_certificates(WorkerSettings(**{option: host}, allow_plaintext=True)) is None
        assert read_certificates(WorkerSettings(**{option: host}, **tls_files)) is not None


def test_tokens_do_not_make_up_for_encryption(tmp_path):
    # Whoever listens on the network reads them.
    (tmp_path / "tokens").write_text("correct-horse-battery-staple infer\n")
    with pytest.raises(ListenError, match="nothing is encrypted"):
        read_certificates(WorkerSettings(host="0.0.0.0", token_file=str(tmp_path / "tokens")))


@pytest.mark.parametrize("anonymous", ["infer", "read", "infer,read"])
def test_scopes_of_anonymous_callers_need_a_token_file(tls_files, tmp_path, anonymous):
    # Without one everybody may do everything, which is not what was asked for.
    for more in ({}, {"allow_plaintext": True}, tls_files):
        settings = WorkerSettings(**more, anonymous=anonymous)
        with pytest.raises(ListenError, match=r"^--anonymous says .* there is no --token-file$"):
            read_certificates(settings)
    file = tmp_path / "tokens"
    file.write_text("correct-horse-battery-staple admin\n")
    settings = WorkerSettings(anonymous=anonymous, token_file=str(file))
    assert read_certificates(settings) is None


async def test_a_worker_with_them_and_without_a_token_file_does_not_start():
    with pytest.raises(ListenError, match=r"^--anonymous says "):
        await Worker(WorkerSettings(port=0, anonymous="read")).start(lambda *_: debug_model())


@pytest.mark.parametrize("plaintext", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        ["tls_certificate"],
        ["tls_key"],
        ["tls_client_ca"],
        ["tls_certificate", "tls_client_ca"],
        ["tls_key", "tls_client_ca"],
    ],
)
def test_half_of_tls_is_none(tls_files, tmp_path, given, plaintext):
    # Rather no worker than one that listens in plain text against its owner's intention.
    files = {**tls_files, "tls_client_ca": str(tmp_path / "ca.pem")}
    settings = WorkerSettings(**{name: files[name] for name in given}, allow_plaintext=plaintext)
    with pytest.raises(ListenError, match=r"^TLS needs both --tls-certificate and --tls-key$"):
        read_certificates(settings)


def test_files_that_are_no_good_are_told(tls_files, tmp_path):
    (tmp_path / "worker.key").write_text("no key")
    with pytest.raises(ValueError, match="are no certificate and its private key"):
        read_certificates(WorkerSettings(**tls_files))
