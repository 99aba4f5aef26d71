"""TLS: the worker's certificate and its callers' roots, read again when they change."""

import base64
import logging
import ssl
from pathlib import Path
from typing import Any

import grpc

from .file_stamp import file_stamp

logger = logging.getLogger(__name__)

# Encodings of the object identifiers of the keys that gRPC's handshakes know: RSA, P-256, P-384.
# One of them is in each certificate of such a key, and in no other.
_KEYS = tuple(map(bytes.fromhex, ("2a864886f70d010101", "2a8648ce3d030107", "2b81040022")))

_Stamp = tuple[tuple[int, int, int] | None, ...]


class Certificates:
    """The files of a listener's TLS.

    Each handshake looks whether one of them is another; a certificate that was renewed is used
    from then on, and connections that are there stay.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        """Read PEM files.

        Args:
            certificate: the worker's, with those between it and its root after it.
            key: its private key, without a password.
            client_ca: the roots of callers' certificates; then every caller must have one.

        Raises:
            ValueError: they cannot be read, or do not belong together.
        """
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._files = [certificate, key, *([client_ca] if client_ca else [])]
        self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials of one listener.

        Raises:
            ValueError: the files are no good any more.
        """
        seen = self._stamp()
        first = self._read()

        def changed() -> Any:  # None is allowed, whatever the type stubs say
            """What is in the files if it is another than before; asked at each handshake."""
            nonlocal seen
            stamp = self._stamp()
            if stamp == seen:
                return None
            # Also when it is refused: half replaced, maybe, they will be another again.
            seen = stamp
            try:
                read = self._read()
            except ValueError as error:
                logger.error("TLS goes on with the certificate from before: %s", error)
                return None
            logger.info("TLS certificate read again from %s", self._certificate)
            return read

        return grpc.dynamic_ssl_server_credentials(
            first, changed, require_client_authentication=self._client_ca is not None
        )

    def _stamp(self) -> _Stamp:
        return tuple(file_stamp(file) for file in self._files)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        try:
            key, certificate = self._key.read_bytes(), self._certificate.read_bytes()
            client_ca = self._client_ca.read_bytes() if self._client_ca else None
        except OSError as error:
            raise ValueError(f"the TLS file {error.filename} cannot be read: {error}") from error
        try:
            # gRPC says of files that are no good only that a handshake failed.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # Without a password it would ask for one on the terminal.
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            raise ValueError(
                f"{self._certificate} and {self._key} are no certificate and its private key, in "
                f"PEM and without a password: {error}"
            ) from error
        begin = certificate.index(b"-----BEGIN CERTIFICATE-----")
        leaf = certificate[begin : certificate.index(b"-----END CERTIFICATE-----", begin)]
        der = base64.b64decode(leaf.partition(b"\n")[2])
        if not any(key in der for key in _KEYS):
            raise ValueError(
                f"{self._certificate} is for a kind of key that gRPC does not know: it takes RSA, "
                "and elliptic curves P-256 and P-384"
            )
        if client_ca is not None:
            try:
                context.load_verify_locations(self._client_ca)
            except ssl.SSLError as error:
                raise ValueError(
                    f"{self._client_ca} holds no certificates in PEM: {error}"
                ) from error
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)


def _no_password() -> str:
    raise ValueError("the key has a password")
