"""The page's server: the address it takes, what it tells by itself, and how it ends."""

import http.client
import socket

import pytest
from conftest import wait_until
from test_client import swap
from twinhead.client.web.web_server import ListenError, address_of, listen
from web_pages import PageProcess, question


@pytest.mark.parametrize(
    ("host", "named"),
    [("127.0.0.1", "localhost"), ("localhost", "localhost"), ("0.0.0.0", "localhost")],
)
def test_an_address_is_taken_and_told(host, named):
    with listen(host, 0) as listening:
        port = listening.getsockname()[1]
        assert address_of(listening) == f"http://{named}:{port}/"
        with pytest.raises(ListenError, match=f"cannot listen on {host}:{port}: .*--port"):
            listen(host, port)


def test_an_address_in_brackets():
    if not socket.has_ipv6:
        pytest.skip("no IPv6: not tested that addresses in brackets are taken")
    with listen("[::1]", 0) as listening:
        assert address_of(listening).startswith("http://localhost:")


def test_an_address_of_elsewhere_is_refused():
    with pytest.raises(ListenError, match=r"192\.0\.2\.1"):
        listen("192.0.2.1", 0)


@pytest.fixture
def page(debug_worker):
    page = PageProcess("--worker", debug_worker.target, "--admin", debug_worker.admin_target)
    yield page
    page.process.kill()
    page.process.wait()
    page.process.stdout.close()


def test_a_browser_is_told_everything_and_then_what_changes(page, debug_worker):
    news, came = page.events(), {}
    while not {"worker", "model", "admin", "examples", "versions", "load", "push"} <= set(came):
        section, value = next(news)
        came[section] = value
    assert came["model"]["version"] == "debug0"
    assert came["admin"] == {"address": debug_worker.admin_target}
    assert 8 <= len(came["examples"]) <= 10
    assert came["versions"]["versions"][0]["state"] == "live"
    answer = page.ask("/answers", question("w1 w2"))
    assert (answer.status, answer.json["version"]) == (200, "debug0")
    # The examples of the package are neighbours from the beginning.
    page.wait_for("recent", lambda recent: recent == {"version": "debug0"})
    assert len(page.ask("/answers", question("w1 w2")).json["rows"][0]["neighbours"]) == 3
    swap(debug_worker, "debug1")
    assert next(value for section, value in news if section == "model")["version"] == "debug1"
    news.close()


def test_it_ends_at_once_whoever_looks(page):
    news = page.events()
    next(news)
    assert page.stop() == 0
    assert list(news) is not None  # the stream has come to its end
    with pytest.raises(ConnectionError):
        page.ask()


def test_the_server_does_not_let_connections_pile_up(page):
    port = int(page.host.split(":")[1])
    held = [http.client.HTTPConnection("127.0.0.1", port) for _ in range(256)]
    try:
        for connection in held:
            connection.connect()
        wait_until(lambda: page.ask().status == 503)
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: page.ask().status == 200)
