"""Addresses to listen on, and who may be let in by them."""

import ipaddress
from pathlib import Path

import grpc

from .certificates import Certificates
from .settings import WorkerSettings

OPTIONS = (
    # Clients ping every 30 s to notice a dead peer; gRPC would hang up on that.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # A caller whose machine is gone holds its call for no longer than this.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Nor does one who connects and says nothing (two minutes by default).
    ("grpc.server_handshake_timeout_ms", 20_000),
    ("grpc.so_reuseport", 0),  # a second worker on the port fails instead of sharing it
)
"""Of every server that listens."""


class ListenError(Exception):
    """An address cannot be listened on; the text says why and what to do."""


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:  # a name
        return False


def read_certificates(settings: WorkerSettings) -> Certificates | None:
    """The TLS files of a worker; None without them.

    Raises:
        ListenError: one is missing, or an address would be open to more than it should be.
        ValueError: they are no good.
    """
    if settings.anonymous and not settings.token_file:
        raise ListenError(
            "--anonymous says what callers without a token may do, and they may do everything as "
            "long as there is no --token-file"
        )
    if settings.tls_certificate and settings.tls_key:
        client_ca = Path(settings.tls_client_ca) if settings.tls_client_ca else None
        return Certificates(Path(settings.tls_certificate), Path(settings.tls_key), client_ca)
    if settings.tls_certificate or settings.tls_key or settings.tls_client_ca:
        raise ListenError("TLS needs both --tls-certificate and --tls-key")
    if not settings.allow_plaintext:
        for option, host in (("--host", settings.host), ("--admin-host", settings.admin_host)):
            if not is_loopback(host):
                raise ListenError(
                    f"{option} {host} lets others than this machine in, and nothing is encrypted; "
                    "give --tls-certificate and --tls-key, or, where the network itself is "
                    "trusted, --allow-plaintext"
                )
    return None


def bind(
    server: grpc.aio.Server,
    host: str,
    port: int,
    option: str,
    certificates: Certificates | None = None,
) -> int:
    """Bind a server to an address.

    Args:
        server: not started yet.
        host: name or number; IPv6 with or without brackets.
        port: 0 takes a free one.
        option: of the command line, with which another port is chosen.
        certificates: for TLS; without, traffic is in plain text.

    Returns:
        The port.

    Raises:
        ListenError: the address is taken or not ours.
    """
    host = host.removeprefix("[").removesuffix("]")
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if certificates is not None:
            return server.add_secure_port(address, certificates.credentials())
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise ListenError(
            f"cannot listen on {address}: the port is in use or the address is not this "
            f"machine's; choose another {option}"
        ) from error
