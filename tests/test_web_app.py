"""What the page's server answers: files, questions, refusals."""

import asyncio
import contextlib
import importlib.resources
import json
import re

import pytest
from held_engine import HeldEngine
from twinhead.client import AsyncClient, Client, OtherVersionLiveError
from twinhead.client.web.web_app import BODY_BYTES, Services, make_app
from twinhead.client.web.web_board import Board
from twinhead.client.web.web_guard import HostNames
from twinhead.client.web.web_model import LiveModel
from twinhead.client.web.web_push import PushError
from twinhead.client.web.web_questions import Questions
from twinhead.client.web.web_recent import RecentSentences
from web_pages import call, question

HOST = "localhost:1"
JSON = {"host": HOST, "origin": f"http://{HOST}", "content-type": "application/json"}


class Versions:
    """In place of those of an admin service: notes what is asked."""

    def __init__(self):
        self.asked = []

    async def activate(self, version, live):
        if live == "other":
            raise OtherVersionLiveError("another is live")
        self.asked.append((version, live))


class Pushes:
    def __init__(self):
        self.asked = []

    async def push(self, folder, live, *, new_tasks):
        if folder == "busy":
            raise PushError("another push is under way")
        self.asked.append((folder, live, new_tasks))


@contextlib.asynccontextmanager
async def served(target, versions=None, pushes=None):
    """The application in front of a worker, and its board."""
    board = Board()
    async with AsyncClient(target) as client:
        questions = Questions(client, LiveModel(client, board), RecentSentences(), board)
        services = Services(board, questions, versions, pushes)
        yield make_app(services, HostNames()), board


def post(app, path, body, **headers):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return call(app, "POST", path, {**JSON, **headers}, [raw])


async def test_the_page_and_all_that_it_names_are_there(free_port):
    async with served(f"localhost:{free_port}") as (app, _):
        page = await call(app, "GET", "/", {"host": HOST})
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        text = page.body.decode()
        assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=|https?://", text)
        named = set(re.findall(r'(?:href|src)="([^"#]+)"', text))
        assert {"base.css", "page.css", "page.js", "icon.svg"} <= named
        scripts = {"page.js"}
        for name in named | scripts:
            answer = await call(app, "GET", f"/{name}", {"host": HOST})
            assert answer.status == 200, name
        # Every script that another one names is served, and every file of the package is used.
        files = importlib.resources.files("twinhead.client.web")
        for file in files.iterdir():
            if file.name.endswith((".js", ".css", ".svg")):
                answer = await call(app, "GET", f"/{file.name}", {"host": HOST})
                assert answer.body == file.read_bytes(), file.name
                assert answer.headers["cache-control"] == "no-cache"
        base = await call(app, "GET", "/base.css", {"host": HOST})
        assert b"prefers-color-scheme: dark" in base.body


@pytest.mark.parametrize(
    "path", ["/web_app.py", "/../pyproject.toml", "/static", "/%00", "//page.js"]
)
async def test_nothing_else_is(free_port, path):
    async with served(f"localhost:{free_port}") as (app, _):
        assert (await call(app, "GET", path, {"host": HOST})).status == 404
        assert (await call(app, "GET", "/answers", {"host": HOST})).status == 405


async def test_questions_are_answered(debug_worker):
    async with served(debug_worker.target) as (app, _):
        answer = await post(app, "/answers", question("w1", "<script>alert(1)</script>"))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json["version"] == "debug0"
    assert [row["status"]["code"] for row in answer.json["rows"]] == ["ok", "ok"]


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        *((raw, {}) for raw in (b"", b"{", b"\xff", b"null", b"[]", b'"x"', b"{}", DEEP)),
        ({"sentences": ["w1"]}, {}),
        ({**question("w1"), "more": 1}, {}),
        ({**question("w1"), "sentences": "w1"}, {}),
        ({**question("w1"), "sentences": ["w1", 2]}, {}),
        ({**question("w1"), "sentences": [["w1"]]}, {}),
        ({**question("w1"), "truncate": 1}, {}),
        ({**question("w1"), "remember": None}, {}),
        (question("\ud800"), {}),
        (question("w1"), {"content-type": "text/plain"}),
        (question("w1"), {"content-type": "application/x-www-form-urlencoded"}),
        (question("x" * BODY_BYTES), {}),
    ],
)
async def test_what_is_asked_wrongly_is_refused(debug_worker, body, headers):
    async with served(debug_worker.target) as (app, _):
        answer = await post(app, "/answers", body, **headers)
    assert (answer.status, answer.json["error"]["kind"]) == (400, "wrong")
    assert answer.json["error"]["message"]
    assert debug_worker.engine.passes[1:] == []  # but the one at its start


async def test_a_body_without_an_end_is_not_read_to_it(free_port):
    read = []

    def endless():
        while True:
            read.append(1)
            yield b"x" * (BODY_BYTES // 4)

    async with served(f"localhost:{free_port}") as (app, _):
        answer = await call(app, "POST", "/answers", JSON, endless())
    assert answer.status == 400
    assert len(read) == 5


async def test_others_get_nothing_done(debug_worker):
    versions, pushes = Versions(), Pushes()
    async with served(debug_worker.target, versions, pushes) as (app, _):
        for path in ("/answers", "/activate", "/push"):
            for headers in ({"origin": "http://attacker.example"}, {"host": "attacker.example"}):
                answer = await post(app, path, {"version": "a", "live": "b"}, **headers)
                assert answer.status in (403, 421)
    assert versions.asked == pushes.asked == []


async def test_a_worker_that_is_away_or_full_is_told_apart(free_port, start_debug_worker):
    async with served(f"localhost:{free_port}") as (app, _):
        answer = await post(app, "/answers", question("w1"))
    assert (answer.status, answer.json["error"]["kind"]) == (503, "away")
    worker = start_debug_worker(concurrent_calls=1)
    held = HeldEngine(worker)
    with Client(worker.target) as client:
        stuck = asyncio.create_task(asyncio.to_thread(client.infer, ["w1"]))
        await asyncio.to_thread(held.reached.wait, 30)
        async with served(worker.target) as (app, _):
            full = await post(app, "/answers", question("w1"))
        held.release()
        await stuck
    assert (full.status, full.json["error"]["kind"]) == (503, "full")
    assert full.json["error"]["seconds"] > 0


async def test_what_the_worker_refuses_is_told(start_debug_worker):
    async with served(start_debug_worker(sentences_per_request=2).target) as (app, _):
        answer = await post(app, "/answers", question("w1", "w2", "w3"))
    assert (answer.status, answer.json["error"]["kind"]) == (409, "refused")
    assert "2 sentences at a time" in answer.json["error"]["message"]


async def test_versions_and_pushes_are_handed_on(free_port):
    versions, pushes = Versions(), Pushes()
    async with served(f"localhost:{free_port}", versions, pushes) as (app, _):
        done = await post(app, "/activate", {"version": "a", "live": "b"})
        assert (done.status, versions.asked) == (200, [("a", "b")])
        refused = await post(app, "/activate", {"version": "a", "live": "other"})
        assert (refused.status, refused.json["error"]["message"]) == (409, "another is live")
        asked = {"folder": "a/b", "live": "v", "new_tasks": True}
        assert (await post(app, "/push", asked)).status == 200
        assert pushes.asked == [("a/b", "v", True)]
        busy = await post(app, "/push", {**asked, "folder": "busy"})
        assert (busy.status, busy.json["error"]["kind"]) == (409, "refused")
        for folder in ("a\0b", "\udcff", 5):
            wrong = await post(app, "/push", {**asked, "folder": folder})
            assert wrong.status == 400


async def test_without_an_admin_service_there_is_none_of_it(free_port):
    async with served(f"localhost:{free_port}") as (app, _):
        for path, body in (
            ("/activate", {"version": "a", "live": "b"}),
            ("/push", {"folder": "a", "live": "b", "new_tasks": False}),
        ):
            answer = await post(app, path, body)
            assert (answer.status, "no admin service" in answer.json["error"]["message"]) == (
                400,
                True,
            )


async def test_events_are_a_line_each(free_port):
    async with served(f"localhost:{free_port}") as (app, board):
        board.post("model", {"version": "a\nb"})
        asking = asyncio.create_task(call(app, "GET", "/events", {"host": HOST}))
        await asyncio.wait_for(board.watched.wait(), 30)
        board.close()
        answer = await asyncio.wait_for(asking, 30)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    text = answer.body.decode()
    assert text.startswith("retry: 1000\n\n")
    assert 'event: model\ndata: {"version":"a\\nb"}\n\n' in text
