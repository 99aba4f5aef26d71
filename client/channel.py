"""How the clients connect."""

import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from .errors import FileError

DEFAULT_TARGET = "localhost:50051"
DEFAULT_ADMIN_TARGET = "localhost:50052"

# gRPC itself retries calls that no worker has answered; both are safe to repeat. The worker tells
# how long to wait when it is full.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": "twinhead.v1.InferenceService", "method": "Infer"},
                {"service": "twinhead.v1.ModelService", "method": "GetModel"},
                {"service": "twinhead.v1.ModelAdminService", "method": "ListVersions"},
                {"service": "twinhead.v1.ModelAdminService", "method": "GetStatus"},
            ],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                # CANCELLED is what becomes of a call that reaches a worker as it closes; a call
                # that this side cancels is not repeated.
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
            },
        }
    ]
}

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # A call is retried only while its request is kept; this is the worker's default limit.
    ("grpc.per_rpc_retry_buffer_size", 16 * 1024 * 1024),
    # A worker may be set to larger requests than its default; then its answers are larger, too.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # Look for a worker that went away more often than gRPC does by itself (1 s, growing to 2 min).
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Notice within a minute that the machine at the other end is gone.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Workers are near; an HTTP proxy from the environment would only be in the way.
    ("grpc.enable_http_proxy", 0),
]


@dataclass(frozen=True)
class Tls:
    """How a connection is encrypted. All files are PEM."""

    ca: str | Path | None = None
    """The roots that the worker's certificate must come from; None takes the public ones that gRPC
    brings along."""
    certificate: str | Path | None = None
    """What is shown to workers that ask for a certificate (mutual TLS)."""
    key: str | Path | None = None
    """The private key of `certificate`."""


@dataclass(frozen=True)
class Access:
    """What lets a caller in."""

    token: str = field(default="", repr=False)
    """Bearer token; empty for none."""
    tls: Tls | None = None
    """None for plain text."""

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """What goes with each call."""
        return [("authorization", f"Bearer {self.token}")] if self.token else []

    def channel(self, target: str, *, spread: bool = False) -> grpc.Channel:
        """A connection for blocking calls, made when the first of them is.

        Args:
            target: `host:port`, or any name that gRPC resolves.
            spread: whether the calls take turns among all addresses of the target. Else they all go
                to the first that answers.

        Raises:
            FileError: a TLS file cannot be read.
        """
        options = [*OPTIONS, ("grpc.lb_policy_name", "round_robin")] if spread else OPTIONS
        credentials = self.credentials()
        if credentials is None:
            return grpc.insecure_channel(target, options=options)
        return grpc.secure_channel(target, credentials, options=options)

    def aio_channel(self, target: str) -> grpc.aio.Channel:
        """The same for asyncio; for the loop that runs."""
        credentials = self.credentials()
        if credentials is None:
            return grpc.aio.insecure_channel(target, options=OPTIONS)
        return grpc.aio.secure_channel(target, credentials, options=OPTIONS)

    def credentials(self) -> grpc.ChannelCredentials | None:
        """What encrypts a connection; None for plain text.

        Raises:
            FileError: a TLS file cannot be read, or is none.
            ValueError: a certificate without its key, or the other way round.
        """
        return None if self.tls is None else _credentials(self.tls)


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    if (tls.certificate is None) != (tls.key is None):  # gRPC would end the process
        raise ValueError("a certificate and its key go together")
    files = ", ".join(str(file) for file in (tls.ca, tls.certificate, tls.key) if file)
    # gRPC would say of files that are no good only that nobody answers.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
        ca, key, certificate = (
            Path(file).read_bytes() if file else None for file in (tls.ca, tls.key, tls.certificate)
        )
    except (ssl.SSLError, ValueError) as error:
        raise FileError(f"not TLS files in PEM, without a password: {files} ({error})") from error
    except OSError as error:
        raise FileError(f"a TLS file cannot be read, of {files}: {error.strerror}") from error
    return grpc.ssl_channel_credentials(ca, key, certificate)


def _no_password() -> str:
    raise ValueError("the key has a password")
