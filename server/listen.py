"""Addresses to listen on."""

import grpc


class ListenError(Exception):
    """An address cannot be listened on; the text says why and what to do."""


def bind(server: grpc.aio.Server, host: str, port: int, option: str) -> int:
    """Bind a server to an address.

    Args:
        server: not started yet.
        host: name or number; IPv6 with or without brackets.
        port: 0 takes a free one.
        option: of the command line, with which another port is chosen.

    Returns:
        The port.

    Raises:
        ListenError: the address is taken or not ours.
    """
    host = host.removeprefix("[").removesuffix("]")
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise ListenError(
            f"cannot listen on {address}: the port is in use or the address is not this "
            f"machine's; choose another {option}"
        ) from error
