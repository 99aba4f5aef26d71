"""The guard: other hosts' names, other pages' requests, and the headers of every answer."""

import pytest
from starlette.responses import PlainTextResponse
from twinhead.client.web.web_guard import Guard, HostNames, is_loopback
from web_pages import call

HOST = "localhost:50080"
LOCAL = ["localhost", "localhost:1", "LOCALHOST:1", "127.0.0.1:1", "127.9.9.9", "[::1]:50080"]
# `user@` before a name is none of it; a name that only begins or ends like ours is another.
FOREIGN = [
    *("", "example.org", "example.org:50080", "localhost.example.org", "notlocalhost"),
    *("localhost@example.org", "192.168.1.7:50080", "0.0.0.0", "[::1", "[fe80::1]", "localhost."),
]


@pytest.mark.parametrize("host", LOCAL)
def test_names_of_this_machine_are_good(host):
    assert host in HostNames()


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_are_not(host):
    assert host not in HostNames()


def test_further_names_and_numbers_are_asked_for():
    names = HostNames(["Page.Example.org"], numbers=True)
    for host in ("page.example.org", "PAGE.example.org:443", "192.168.1.7:50080", "[fe80::1]:1"):
        assert host in names, host
    for host in ("other.example.org", "example.org", "", "1.example.org"):
        assert host not in names, host
    assert "192.168.1.7" not in HostNames(["page.example.org"])


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("localhost", True), ("127.0.0.1", True), ("::1", True), ("[::1]", True)),
        *(("0.0.0.0", False), ("::", False), ("192.168.1.7", False), ("example.org", False)),
    ],
)
def test_what_is_loopback(host, loopback):
    assert is_loopback(host) == loopback


def guarded(method="GET", **headers):
    app = Guard(PlainTextResponse("let in"), HostNames())
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(app, method, "/", sent)


SAME = {"host": HOST, "sec_fetch_site": "same-origin"}


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"host": HOST}),
        ("GET", SAME),
        ("GET", {"host": HOST, "sec_fetch_site": "none", "sec_fetch_mode": "navigate"}),
        # A link in a page of elsewhere.
        ("GET", {"host": HOST, "sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}),
        ("POST", {**SAME, "origin": f"http://{HOST}"}),
        ("POST", {**SAME, "origin": f"https://{HOST}"}),  # a proxy with TLS before it
    ],
)
async def test_the_page_itself_is_let_in(method, headers):
    answer = await guarded(method, **headers)
    assert (answer.status, answer.body) == (200, b"let in")


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 421),
        ("GET", {"host": "attacker.example:50080"}, 421),
        ("POST", {"host": "attacker.example", "origin": "http://attacker.example"}, 421),
        ("GET", {"host": HOST, "sec_fetch_site": "cross-site", "sec_fetch_mode": "cors"}, 403),
        ("GET", {"host": HOST, "sec_fetch_site": "same-site", "sec_fetch_mode": "no-cors"}, 403),
        ("POST", SAME, 403),
        ("POST", {**SAME, "origin": "null"}, 403),
        ("POST", {**SAME, "origin": "http://attacker.example"}, 403),
        ("POST", {**SAME, "origin": "http://localhost:50081"}, 403),
        ("POST", {**SAME, "origin": "http://localhost"}, 403),
        ("POST", {**SAME, "origin": "http://[::1"}, 403),
        ("DELETE", {"host": HOST}, 403),
        # A form of elsewhere that is sent by going there.
        (
            "POST",
            {"host": HOST, "sec_fetch_mode": "navigate", "origin": "http://attacker.example"},
            403,
        ),
    ],
)
async def test_others_are_not(method, headers, status):
    answer = await guarded(method, **headers)
    assert answer.status == status
    assert b"let in" not in answer.body
    assert b"attacker" not in answer.body


@pytest.mark.parametrize("host", [HOST, "attacker.example"])
async def test_every_answer_has_the_headers(host):
    headers = (await guarded(host=host)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    parts = headers["content-security-policy"].split(";")
    policy = dict(part.strip().partition(" ")[::2] for part in parts)
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
