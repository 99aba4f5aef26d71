"""How the clients connect: with whose credentials, with which roots, and how often they try."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from twinhead.client import (
    AdminClient,
    AsyncClient,
    Client,
    FileError,
    Tls,
)
from twinhead.client.channel import OPTIONS, Access
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


# --- what lets a caller in


def test_the_token_goes_with_each_call_and_nothing_without_one():
    assert Access("abc").metadata == [("authorization", "Bearer abc")]
    assert Access().metadata == []


def test_a_token_is_never_shown():
    access = Access("correct-horse", Tls(ca=Path("ca.pem")))
    for text in (repr(access), str(access), f"{access}"):
        assert "correct-horse" not in text
        assert "ca.pem" in text


def test_nobody_changes_what_lets_one_in():
    with pytest.raises(AttributeError):
        Access("abc").token = "def"
    with pytest.raises(AttributeError):
        Tls().ca = Path("ca.pem")


# --- TLS files


@pytest.fixture
def tls(tmp_path) -> Tls:
    """Files of a caller."""
    ca = trustme.CA()
    mine = ca.issue_cert("caller")
    files = Tls(tmp_path / "ca.pem", tmp_path / "caller.pem", tmp_path / "caller.key")
    ca.cert_pem.write_to_path(files.ca)
    mine.cert_chain_pems[0].write_to_path(files.certificate)
    mine.private_key_pem.write_to_path(files.key)
    return files


@pytest.mark.parametrize("make", [Client, AsyncClient, AdminClient])
@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
async def test_a_file_that_is_not_there_is_told_at_once(tls, make, name):
    file = getattr(tls, name)
    file.unlink()
    said = f"^a TLS file cannot be read, of .*{file}.*: No such file or directory$"
    with pytest.raises(FileError, match=said):
        make("localhost:1", tls=tls)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(FileError, match=f"^a TLS file cannot be read, of {tmp_path}: "):
        Client("localhost:1", tls=Tls(ca=tmp_path))


async def test_files_that_are_there_make_a_connection(tls):
    for each in (Tls(), Tls(ca=tls.ca), tls):
        Access(tls=each).channel("localhost:1").close()
        await Access(tls=each).aio_channel("localhost:1").close()


@pytest.mark.parametrize("make", [Client, AsyncClient, AdminClient])
@pytest.mark.parametrize("name", ["certificate", "key"])
async def test_half_a_pair_is_told_at_once(tls, make, name):
    # gRPC would end the process.
    half = Tls(ca=tls.ca, **{name: getattr(tls, name)})
    with pytest.raises(ValueError, match=r"^a certificate and its key go together$"):
        make("localhost:1", tls=half)


@pytest.mark.parametrize("make", [Client, AsyncClient, AdminClient])
@pytest.mark.parametrize("name", ["ca", "certificate", "key"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00\xff" * 100])
async def test_a_file_that_holds_no_pem_is_told(tls, make, name, content):
    # Not that nobody answers: that would be looked for in another place.
    file = getattr(tls, name)
    file.write_bytes(content)
    with pytest.raises(FileError, match=f"^not TLS files in PEM, without a .*{file}"):
        make("localhost:1", tls=tls)


def test_a_key_of_another_certificate_is_told(tls, tmp_path):
    other = tmp_path / "other.key"
    trustme.CA().issue_cert("caller").private_key_pem.write_to_path(other)
    with pytest.raises(FileError, match=f"{tls.certificate}, {other}"):
        Client("localhost:1", tls=Tls(tls.ca, tls.certificate, other))


def test_a_key_with_a_password_is_told_and_none_is_asked_for(tls):
    key = serialization.load_pem_private_key(tls.key.read_bytes(), None)
    tls.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
    )
    with pytest.raises(FileError, match=r"the key has a password\)$"):
        Client("localhost:1", tls=tls)
