"""Who may speak to the page's server: browsers that show this page, and nobody through them."""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    # Nothing from elsewhere, no script or style in the page itself, and no markup made of text:
    # with trusted types, `innerHTML` and its like fail.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def is_loopback(host: str) -> bool:
    """Whether a name or number is this machine's own."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


class HostNames:
    """The names by which browsers may ask for the page.

    A page of elsewhere can let its own name point to this machine, and then read what is answered
    to that name (DNS rebinding). It cannot do so with a number.
    """

    def __init__(self, names: Iterable[str] = (), *, numbers: bool = False) -> None:
        """Those of the loopback, and further ones.

        Args:
            names: further ones.
            numbers: whether any number is good, and not those of the loopback alone.
        """
        self._names = {name.lower() for name in names}
        self._numbers = numbers

    def __contains__(self, host: object) -> bool:
        """Whether a Host header, with or without a port, is one of them."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return (
            name in self._names
            or is_loopback(name)
            or (self._numbers and _address(name) is not None)
        )


class Guard:
    """Refuses other hosts' names and other pages' requests; adds the headers of security.

    What changes anything must come with the `Origin` of this very page, which browsers add to such
    requests by themselves and no script can set.
    """

    def __init__(self, app: ASGIApp, hosts: HostNames) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, as ASGI has it."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        app = self._app if refusal is None else refusal
        await app(scope, receive, guarded)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        host = headers.get("host", "")
        if host not in self._hosts:
            return PlainTextResponse(
                "This page does not answer to that name. Ask for localhost, or start it with "
                "--allow-host NAME.\n",
                421,
            )
        # Browsers say where a request comes from; other programs need not. A link may lead here.
        elsewhere = headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
        if elsewhere and headers.get("sec-fetch-mode") != "navigate":
            return PlainTextResponse("This is not for other sites.\n", 403)
        if method not in ("GET", "HEAD") and _host_of(headers.get("origin", "")) != host:
            return PlainTextResponse("Only this page itself may ask for that.\n", 403)
        return None


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:  # a name
        return None
