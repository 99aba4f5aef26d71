"""TLS with real certificates: which files will do, who gets in, and what a renewal changes."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from conftest import DebugWorker
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from twinhead.client import AccessDeniedError, AdminClient, AsyncClient, Client, Tls
from twinhead.client.channel import Access
from twinhead.server.certificates import Certificates

TOKEN = "correct-horse-battery-staple"
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
LAST_YEAR = YESTERDAY - timedelta(days=365)


@dataclass(frozen=True)
class Files:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path
    serial: int = 0

    def settings(self, client_ca: Path | None = None) -> dict[str, str]:
        """For `twinhead serve`."""
        settings = {"tls_certificate": str(self.certificate), "tls_key": str(self.key)}
        return settings | ({"tls_client_ca": str(client_ca)} if client_ca else {})


def save_ca(ca: trustme.CA, file: Path) -> Path:
    ca.cert_pem.write_to_path(file)
    return file


def issue(ca: trustme.CA, folder: Path, name: str = "worker", **how: object) -> Files:
    """A certificate of a worker, or of a caller; its files take the place of those before."""
    leaf = ca.issue_cert("localhost", "127.0.0.1", **how)
    chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
    serial = x509.load_pem_x509_certificate(chain).serial_number
    return save(folder, name, chain, leaf.private_key_pem.bytes(), serial)


def save(folder: Path, name: str, certificate: bytes, key: bytes, serial: int = 0) -> Files:
    files = Files(folder / f"{name}.pem", folder / f"{name}.key", serial)
    for file, data in ((files.certificate, certificate), (files.key, key)):
        new = file.with_name("new")
        new.write_bytes(data)
        new.replace(file)
    return files


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def root(ca, tmp_path) -> Path:
    """The root's file."""
    return save_ca(ca, tmp_path / "ca.pem")


@pytest.fixture
def files(ca, tmp_path) -> Files:
    """The worker's certificate."""
    return issue(ca, tmp_path)


@pytest.fixture
def tls_worker(start_debug_worker, files) -> DebugWorker:
    return start_debug_worker(**files.settings())


@pytest.fixture
def callers(tmp_path) -> trustme.CA:
    """Who issues the certificates of callers."""
    ca = trustme.CA()
    save_ca(ca, tmp_path / "callers.pem")
    return ca


@pytest.fixture
def mutual_worker(start_debug_worker, files, callers, tmp_path) -> DebugWorker:
    """A worker that asks its callers for a certificate, and for a token."""
    (tmp_path / "tokens").write_text(f"{TOKEN} infer,read,admin\n")
    return start_debug_worker(
        **files.settings(tmp_path / "callers.pem"), token_file=str(tmp_path / "tokens")
    )


def refusal(target: str, tls: Tls | None) -> str:
    """What a caller is told by gRPC who does not get in; empty for one who does."""
    # Not by our clients, which go on trying for a while; and not by name, which is of two
    # addresses, and then the error may be that of the other.
    with Access(tls=tls).channel(target.replace("localhost", "127.0.0.1")) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        error = check.future(health_pb2.HealthCheckRequest(), timeout=20).exception()
        if error is None:
            return ""
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        return error.details()


def gets_in(worker: DebugWorker, tls: Tls | None) -> bool:
    """Whether a caller does, at both addresses alike."""
    (alike,) = {not refusal(each, tls) for each in (worker.target, worker.admin_target)}
    return alike


def serial_at(port: int, root: Path) -> int:
    """The serial number of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=root)
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port)) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
            return int(wrapped.getpeercert()["serialNumber"], 16)


# --- the files


def test_a_certificate_and_its_key(files, root):
    assert Certificates(files.certificate, files.key, None).credentials()
    assert Certificates(files.certificate, files.key, root).credentials()


def test_both_may_be_in_one_file(ca, tmp_path):
    both = tmp_path / "both.pem"
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(both)
    assert Certificates(both, both, None).credentials()


def test_rsa_will_do_as_well(ca, tmp_path):
    files = issue(ca, tmp_path, key_type=trustme.KeyType.RSA)
    assert Certificates(files.certificate, files.key, None).credentials()


def missing_certificate(files: Files, folder: Path) -> None:
    files.certificate.unlink()


def missing_key(files: Files, folder: Path) -> None:
    files.key.unlink()


def missing_roots(files: Files, folder: Path) -> None:
    (folder / "ca.pem").unlink()


def folder_for_key(files: Files, folder: Path) -> None:
    files.key.unlink()
    files.key.mkdir()


def swapped(files: Files, folder: Path) -> None:
    files.certificate.rename(folder / "other")
    files.key.rename(files.certificate)
    (folder / "other").rename(files.key)


def key_of_another(files: Files, folder: Path) -> None:
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(files.key)


def key_with_password(files: Files, folder: Path) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
    )


def certificate_in_der(files: Files, folder: Path) -> None:
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.DER))


def half_a_certificate(files: Files, folder: Path) -> None:
    data = files.certificate.read_bytes()
    files.certificate.write_bytes(data[: len(data) // 2])


def no_certificate(files: Files, folder: Path) -> None:
    files.certificate.write_text("-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----")


def no_key(files: Files, folder: Path) -> None:
    files.key.write_bytes(b"\x00\xff" * 100)


def empty_key(files: Files, folder: Path) -> None:
    files.key.write_bytes(b"")


def no_roots(files: Files, folder: Path) -> None:
    (folder / "ca.pem").write_text("garbage")


def empty_roots(files: Files, folder: Path) -> None:
    (folder / "ca.pem").write_bytes(b"")


def keys_for_roots(files: Files, folder: Path) -> None:
    (folder / "ca.pem").write_bytes(files.key.read_bytes())


CANNOT_BE_READ = "the TLS file {0} cannot be read: "
NO_PAIR = "{1} and {2} are no certificate and its private key, in PEM and without a password: "
NO_ROOTS = "{3} holds no certificates in PEM: "


@pytest.mark.parametrize(
    ("spoil", "said", "named"),
    [
        (missing_certificate, CANNOT_BE_READ, "worker.pem"),
        (missing_key, CANNOT_BE_READ, "worker.key"),
        (missing_roots, CANNOT_BE_READ, "ca.pem"),
        (folder_for_key, CANNOT_BE_READ, "worker.key"),
        (swapped, NO_PAIR, ""),
        (key_of_another, NO_PAIR, ""),
        (key_with_password, NO_PAIR + "the key has a password", ""),
        (certificate_in_der, NO_PAIR, ""),
        (half_a_certificate, NO_PAIR, ""),
        (no_certificate, NO_PAIR, ""),
        (no_key, NO_PAIR, ""),
        (empty_key, NO_PAIR, ""),
        (no_roots, NO_ROOTS, ""),
        (empty_roots, NO_ROOTS, ""),
        (keys_for_roots, NO_ROOTS, ""),
    ],
)
def test_files_that_will_not_do_are_told_in_a_line(files, root, tmp_path, spoil, said, named):
    spoil(files, tmp_path)
    with pytest.raises(ValueError, match=r"PEM|cannot be read") as caught:
        Certificates(files.certificate, files.key, root)
    text = str(caught.value)
    assert text.startswith(said.format(tmp_path / named, files.certificate, files.key, root))
    assert "\n" not in text


def self_signed(key: Any, digest: hashes.HashAlgorithm | None) -> tuple[bytes, bytes]:
    """A certificate of a key, and the key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(YESTERDAY)
        .not_valid_after(YESTERDAY + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, digest)
    )
    pem = serialization.Encoding.PEM
    return (
        certificate.public_bytes(pem),
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


@pytest.mark.parametrize(
    ("make_key", "digest"),
    [
        pytest.param(ed25519.Ed25519PrivateKey.generate, None, id="Ed25519"),
        pytest.param(
            lambda: ec.generate_private_key(ec.SECP256K1()), hashes.SHA256(), id="secp256k1"
        ),
    ],
)
def test_a_kind_of_key_that_grpc_does_not_know_is_told(tmp_path, make_key, digest):
    # OpenSSL does, and so would Python; but no caller would ever get in.
    files = save(tmp_path, "worker", *self_signed(make_key(), digest))
    with pytest.raises(
        ValueError, match=r"a kind of key that gRPC does not know: it takes RSA, and ell"
    ):
        Certificates(files.certificate, files.key, None)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: curve.name)
def test_the_kinds_of_key_that_grpc_knows_let_callers_in(start_debug_worker, tmp_path, curve):
    files = save(tmp_path, "worker", *self_signed(ec.generate_private_key(curve), hashes.SHA256()))
    assert gets_in(start_debug_worker(**files.settings()), Tls(ca=files.certificate))


def test_a_listener_begins_with_the_files_as_they_are_then(ca, files, tmp_path):
    certificates = Certificates(files.certificate, files.key, None)
    assert certificates.credentials()
    files.key.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        certificates.credentials()
    issue(ca, tmp_path)
    assert certificates.credentials()


# --- TLS


def test_whoever_knows_the_root_gets_in(tls_worker, root):
    assert gets_in(tls_worker, Tls(ca=root))


def test_the_certificate_may_be_of_an_authority_between(start_debug_worker, ca, root, tmp_path):
    files = issue(ca.create_child_ca(), tmp_path)
    assert files.certificate.read_text().count("BEGIN CERTIFICATE") == 2
    assert gets_in(start_debug_worker(**files.settings()), Tls(ca=root))


def test_a_worker_of_another_authority_is_not_trusted(tls_worker, tmp_path):
    others = save_ca(trustme.CA(), tmp_path / "others.pem")
    for target in (tls_worker.target, tls_worker.admin_target):
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(target, Tls(ca=others))
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(target, Tls())  # by the public roots


def test_a_worker_with_another_name_is_not_trusted(start_debug_worker, ca, root, tmp_path):
    leaf = ca.issue_cert("worker.example.org")
    files = save(tmp_path, "worker", leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes())
    worker = start_debug_worker(**files.settings())
    assert "Hostname Verification" in refusal(worker.target, Tls(ca=root))


def test_a_worker_whose_certificate_has_expired_is_not_trusted(
    start_debug_worker, ca, root, tmp_path
):
    files = issue(ca, tmp_path, not_before=LAST_YEAR, not_after=YESTERDAY)
    worker = start_debug_worker(**files.settings())
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(worker.target, Tls(ca=root))
    issue(ca, tmp_path)
    assert refusal(worker.target, Tls(ca=root)) == ""


def test_plain_text_is_not_answered(tls_worker):
    assert not gets_in(tls_worker, None)


def test_tls_with_a_worker_that_has_none(debug_worker, root):
    assert not gets_in(debug_worker, Tls(ca=root))
    assert gets_in(debug_worker, None)


def test_a_certificate_that_nobody_asks_for_is_no_harm(tls_worker, root, tmp_path):
    mine = issue(trustme.CA(), tmp_path, "caller")
    assert gets_in(tls_worker, Tls(root, mine.certificate, mine.key))


# --- mutual TLS


def test_a_caller_with_a_certificate_gets_in(mutual_worker, root, callers, tmp_path):
    mine = issue(callers, tmp_path, "caller")
    assert gets_in(mutual_worker, Tls(root, mine.certificate, mine.key))


def test_a_caller_without_a_certificate_does_not(mutual_worker, root):
    assert not gets_in(mutual_worker, Tls(ca=root))
    assert not gets_in(mutual_worker, None)


def test_a_caller_with_a_certificate_of_another_authority_does_not(
    mutual_worker, root, ca, tmp_path
):
    # The worker's own authority is none for callers.
    for other in (trustme.CA(), ca):
        mine = issue(other, tmp_path, "caller")
        assert not gets_in(mutual_worker, Tls(root, mine.certificate, mine.key))


def test_a_caller_whose_certificate_has_expired_does_not(mutual_worker, root, callers, tmp_path):
    mine = issue(callers, tmp_path, "caller", not_before=LAST_YEAR, not_after=YESTERDAY)
    assert not gets_in(mutual_worker, Tls(root, mine.certificate, mine.key))


def test_a_caller_whose_certificate_is_not_valid_yet_does_not(
    mutual_worker, root, callers, tmp_path
):
    later = datetime.now(UTC) + timedelta(days=1)
    mine = issue(callers, tmp_path, "caller", not_before=later, not_after=later + timedelta(9))
    assert not gets_in(mutual_worker, Tls(root, mine.certificate, mine.key))


def test_a_certificate_does_not_make_up_for_the_token(mutual_worker, root, callers, tmp_path):
    mine = issue(callers, tmp_path, "caller")
    tls = Tls(root, mine.certificate, mine.key)
    with Client(mutual_worker.target, tls=tls) as client:
        with pytest.raises(AccessDeniedError, match="a token is needed"):
            client.infer(["w1"])
    with AdminClient(mutual_worker.admin_target, token=f"{TOKEN}x", tls=tls) as admin:
        with pytest.raises(AccessDeniedError, match="the token is not the right one"):
            admin.versions()


async def test_every_client_calls_with_certificate_and_token(
    mutual_worker, root, callers, tmp_path
):
    mine = issue(callers, tmp_path, "caller")
    how = {"token": TOKEN, "tls": Tls(root, mine.certificate, mine.key)}
    batches = [[f"w{n}"] for n in range(20)]

    def blocking() -> None:
        with Client(mutual_worker.target, **how) as client:
            assert client.model().version == "debug0"
            assert len(client.infer(["w1", "w2"])) == 2
            assert [len(result) for result in client.infer_stream(batches)] == [1] * 20
            watching = client.watch()
            assert next(watching).version == "debug0"
            watching.close()
        with AdminClient(mutual_worker.admin_target, **how) as admin:
            assert [each.version for each in admin.versions().versions] == ["debug0"]
            assert admin.status().model_version == "debug0"

    await asyncio.to_thread(blocking)
    async with AsyncClient(mutual_worker.target, **how) as client:
        assert (await client.model()).version == "debug0"
        assert len(await client.infer(["w1", "w2"])) == 2
        assert [len(result) async for result in client.infer_stream(batches)] == [1] * 20
        watching = client.watch()
        assert (await anext(watching)).version == "debug0"
        await watching.aclose()


def test_a_stream_goes_through_other_callers_refused_handshakes(
    mutual_worker, root, callers, tmp_path
):
    mine = issue(callers, tmp_path, "caller")

    def batches():
        for n in range(6):
            assert refusal(mutual_worker.target, Tls(ca=root))
            yield [f"w{n}"]

    with Client(
        mutual_worker.target, token=TOKEN, tls=Tls(root, mine.certificate, mine.key)
    ) as client:
        assert [len(result) for result in client.infer_stream(batches(), in_flight=2)] == [1] * 6


# --- renewal


@pytest.mark.parametrize("first", ["port", "admin_port"])
def test_a_renewed_certificate_is_what_new_connections_see(
    tls_worker, ca, root, files, tmp_path, first
):
    # At both addresses, whichever of them is called first.
    ports = sorted(("port", "admin_port"), key=lambda name: name != first)

    def seen() -> list[int]:
        return [serial_at(getattr(tls_worker.worker, name), root) for name in ports]

    assert seen() == [files.serial] * 2
    for _ in range(2):
        renewed = issue(ca, tmp_path)
        assert seen() == [renewed.serial] * 2
        assert seen() == [renewed.serial] * 2


def test_connections_from_before_live_on(tls_worker, root, tmp_path):
    with Client(tls_worker.target, tls=Tls(ca=root)) as client:
        assert len(client.infer(["w1"])) == 1

        def batches():
            yield ["w1"]
            # From an authority that this client does not know: no new connection of its could be.
            renewed = issue(trustme.CA(), tmp_path)
            assert renewed.certificate.exists()
            assert "CERTIFICATE_VERIFY_FAILED" in refusal(tls_worker.target, Tls(ca=root))
            yield ["w2", "w3"]

        assert [len(result) for result in client.infer_stream(batches())] == [1, 2]
        assert len(client.infer(["w4"])) == 1


def test_other_roots_of_callers_are_taken_from_then_on(mutual_worker, root, callers, tmp_path):
    mine = issue(callers, tmp_path, "caller")
    tls = Tls(root, mine.certificate, mine.key)
    assert refusal(mutual_worker.target, tls) == ""
    others = trustme.CA()
    save_ca(others, tmp_path / "new")
    (tmp_path / "new").replace(tmp_path / "callers.pem")
    assert refusal(mutual_worker.target, tls)
    theirs = issue(others, tmp_path, "other")
    assert refusal(mutual_worker.target, Tls(root, theirs.certificate, theirs.key)) == ""


@pytest.mark.parametrize(
    "spoil",
    [missing_certificate, missing_key, swapped, key_of_another, half_a_certificate, empty_key],
)
def test_a_bad_replacement_leaves_the_certificate_from_before(
    tls_worker, ca, root, files, tmp_path, caplog, spoil: Callable[[Files, Path], None]
):
    caplog.set_level(logging.INFO, "twinhead.server.certificates")
    spoil(files, tmp_path)
    for _ in range(3):
        assert serial_at(tls_worker.worker.port, root) == files.serial
    assert refusal(tls_worker.target, Tls(ca=root)) == ""
    (record,) = caplog.records  # said once, not with each handshake
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("TLS goes on with the certificate from before: ")
    renewed = issue(ca, tmp_path)
    assert serial_at(tls_worker.worker.port, root) == renewed.serial


def test_bad_roots_of_callers_leave_those_from_before(mutual_worker, root, callers, tmp_path):
    mine = issue(callers, tmp_path, "caller")
    (tmp_path / "callers.pem").write_text("garbage")
    assert refusal(mutual_worker.target, Tls(root, mine.certificate, mine.key)) == ""
    assert refusal(mutual_worker.target, Tls(ca=root))  # nobody else gets in by it


def test_certificate_and_key_may_be_replaced_one_after_the_other(
    tls_worker, ca, root, files, tmp_path
):
    staged = issue(ca, tmp_path, "staged")
    staged.certificate.replace(files.certificate)
    assert serial_at(tls_worker.worker.port, root) == files.serial
    staged.key.replace(files.key)
    assert serial_at(tls_worker.worker.port, root) == staged.serial


def test_a_certificate_that_is_renewed_under_load_fails_no_call(tls_worker, ca, root, tmp_path):
    def call(number: int) -> int:
        with Client(tls_worker.target, tls=Tls(ca=root)) as client:
            return len(client.infer([f"w{number}"], reconnect_seconds=0))

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(call, number) for number in range(40)]
        for _ in range(10):
            issue(ca, tmp_path)
        assert [each.result(60) for each in calls] == [1] * 40
