"""`twinhead serve --web`: a page beside the worker, which ends with it and not the other way."""

import asyncio
import http.client
import importlib.util
import signal
import subprocess
import sys
import urllib.request

import psutil
import pytest
from conftest import TWINHEAD, WorkerProcess, wait_until
from twinhead.client.web.web_server import listen
from twinhead.server.listen import ListenError
from twinhead.server.settings import WorkerSettings
from twinhead.server.web_page import WebPage, _address


def url_of(worker: WorkerProcess) -> tuple[str, int]:
    log = worker.log.read_text()
    return "127.0.0.1", int(log.split("web page on http://127.0.0.1:")[1].split("/")[0])


def ask(worker: WorkerProcess, path: str = "/") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(*url_of(worker))
    connection.request("GET", path, headers={"Connection": "close"})
    return connection.getresponse()


def test_a_worker_goes_on_without_its_page(start_worker):
    serve = ("--engine", "torch", "--threads", "1")
    worker = start_worker(*serve, environment={"TWINHEAD_WEB": "0"})
    (page,) = psutil.Process(worker.process.pid).children()
    with ask(worker) as answer:
        assert (answer.status, b"Twinhead" in answer.read()) == (200, True)
    with ask(worker, "/events") as events:
        told = b"".join(events.readline() for _ in range(8))
        assert worker.target.encode() in told
        assert worker.admin_target.encode() in told
    page.kill()
    wait_until(lambda: "the web page has ended, with code -9" in worker.log.read_text())
    with pytest.raises(ConnectionError):
        ask(worker)
    healthy = [*TWINHEAD, "health", "--worker", worker.target]
    assert subprocess.run(healthy, check=False).returncode == 0
    worker.terminate()
    assert worker.wait() == 0


HOLDER = """
import asyncio
from twinhead.server.settings import WorkerSettings
from twinhead.server.web_page import WebPage

async def hold():
    page = WebPage(WorkerSettings(web=0))
    await page.start(1, 1)
    print(page.port, flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


def test_a_page_does_not_outlive_a_worker_that_is_killed():
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    with holder:
        holder.stdout.readline()
        (page,) = psutil.Process(holder.pid).children()
        holder.send_signal(signal.SIGKILL)
        assert holder.wait(30) == -signal.SIGKILL
        page.wait(30)


async def test_a_worker_that_stops_ends_its_page(free_port, caplog):
    page = WebPage(settings())
    await page.start(free_port, free_port)
    following = asyncio.create_task(page.follow())
    # Whoever asks before it is there waits.
    url = f"http://127.0.0.1:{page.port}/"
    assert await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())
    await page.stop()
    await asyncio.wait_for(following, 30)
    assert caplog.text == ""
    with listen("127.0.0.1", page.port):
        pass


def settings(**values):
    return WorkerSettings(web=0, **values)


def test_it_is_for_this_machine_unless_told_otherwise():
    assert WorkerSettings().web is None
    assert WorkerSettings().web_host == "127.0.0.1"
    with pytest.raises(ListenError, match=r"--web-host 0\.0\.0\.0 .*--allow-plaintext"):
        WebPage(settings(web_host="0.0.0.0"))
    # TLS is the worker's and not the page's.
    tls = {"tls_certificate": "server.pem", "tls_key": "server.key"}
    with pytest.raises(ListenError, match="nothing is encrypted"):
        WebPage(settings(web_host="0.0.0.0", **tls))


async def test_an_address_is_taken_at_once_and_given_back():
    page = WebPage(settings(web_host="0.0.0.0", allow_plaintext=True))
    with pytest.raises(ListenError, match=f"127.0.0.1:{page.port}.*choose another --web"):
        WebPage(WorkerSettings(web=page.port))
    await page.stop()
    with listen("127.0.0.1", page.port):
        pass


def test_what_is_missing_is_told(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "uvicorn" else find_spec(name)
    )
    with pytest.raises(ListenError, match=r"package uvicorn: pip install 'twinhead\[web\]'"):
        WebPage(settings())


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "localhost:1"),
        ("0.0.0.0", "localhost:1"),
        ("[::]", "localhost:1"),
        ("192.0.2.1", "192.0.2.1:1"),
        ("2001:db8::1", "[2001:db8::1]:1"),
        ("worker.example.org", "worker.example.org:1"),
    ],
)
def test_where_the_page_finds_the_worker(host, address):
    assert _address(host, 1) == address


async def test_what_it_complains_of_is_in_the_log(monkeypatch, caplog, free_port):
    command = ("-c", "import sys; print('odd' * 3, file=sys.stderr); sys.exit(7)")
    monkeypatch.setattr("twinhead.server.web_page._COMMAND", command)
    page = WebPage(settings())
    await page.start(free_port, free_port)
    await page.follow()
    await page.stop()
    assert "the web page: oddoddodd" in caplog.text
    assert "has ended, with code 7; the worker goes on" in caplog.text
    assert sys.executable not in caplog.text
