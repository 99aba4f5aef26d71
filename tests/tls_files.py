"""TLS files of a worker on this machine, and of those who call it."""

from pathlib import Path

import trustme


def write_tls_files(folder: Path) -> None:
    """Write server.pem and server.key for localhost, ca.pem that vouches for them, other-ca.pem."""
    ca = trustme.CA()
    certificate = ca.issue_cert("localhost", "127.0.0.1", "::1")
    certificate.private_key_pem.write_to_path(folder / "server.key")
    for number, part in enumerate(certificate.cert_chain_pems):
        part.write_to_path(folder / "server.pem", append=number > 0)
    ca.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other-ca.pem")
