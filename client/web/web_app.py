"""What the page's server answers: its files, what happens, and what is asked."""

import importlib.resources
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..errors import TwinheadError, WorkerFullError, WorkerUnavailableError
from .web_board import Board
from .web_guard import Guard, HostNames
from .web_push import PushError, Pushes
from .web_questions import Question, Questions
from .web_versions import Versions

# A thousand sentences of a thousand bytes; the worker's own limit is sixteen times that.
BODY_BYTES = 1 << 20
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("page", "answers", "bars", "dom", "feed", "load", "post", "versions")
    },
}
# The one look of all our pages.
_BASE = "/base.css"


class _WrongRequestError(Exception):
    """A request that the page's own scripts do not make."""


@dataclass(frozen=True)
class Services:
    """What the answers come from."""

    board: Board
    questions: Questions
    versions: Versions | None
    """None without an admin service; so is the next."""
    pushes: Pushes | None


def make_app(services: Services, hosts: HostNames) -> Guard:
    """The page's server, as an ASGI application."""
    answers = _Answers(services)
    routes = [_file_route(path) for path in (*_FILES, _BASE)]
    routes += [
        Route("/events", answers.events, methods=["GET"]),
        Route("/answers", answers.answers, methods=["POST"]),
        Route("/activate", answers.activate, methods=["POST"]),
        Route("/push", answers.push, methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), hosts)


class _Answers:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def events(self, _: Request) -> Response:
        return StreamingResponse(
            _event_lines(self._services.board),
            media_type="text/event-stream",
            headers={"cache-control": "no-store"},
        )

    async def answers(self, request: Request) -> Response:
        async def answer(body: "_Body") -> Any:
            question = Question(
                body.strings("sentences"),
                truncate=body.flag("truncate"),
                remember=body.flag("remember"),
            )
            return await self._services.questions.answer(question)

        return await _answered(request, {"sentences", "truncate", "remember"}, answer)

    async def activate(self, request: Request) -> Response:
        async def activate(body: "_Body") -> Any:
            if self._services.versions is None:
                raise _WrongRequestError("there is no admin service")
            await self._services.versions.activate(body.string("version"), body.string("live"))

        return await _answered(request, {"version", "live"}, activate)

    async def push(self, request: Request) -> Response:
        async def push(body: "_Body") -> Any:
            if self._services.pushes is None:
                raise _WrongRequestError("there is no admin service")
            await self._services.pushes.push(
                body.string("folder"), body.string("live"), new_tasks=body.flag("new_tasks")
            )

        return await _answered(request, {"folder", "live", "new_tasks"}, push)


class _Body:
    """A JSON object with just the keys that are wanted."""

    def __init__(self, raw: bytes, keys: set[str]) -> None:
        try:
            read = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise _WrongRequestError("that is no JSON") from error
        if not isinstance(read, dict) or set(read) != keys:
            raise _WrongRequestError(f"that is no JSON object with {', '.join(sorted(keys))}")
        self._read: dict[str, Any] = read

    def string(self, key: str) -> str:
        value = self._read[key]
        if not isinstance(value, str) or "\0" in value or not _is_text(value):
            raise _WrongRequestError(f"{key} is no text")
        return value

    def strings(self, key: str) -> list[str]:
        value = self._read[key]
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise _WrongRequestError(f"{key} is no list of texts")
        return value

    def flag(self, key: str) -> bool:
        value = self._read[key]
        if not isinstance(value, bool):
            raise _WrongRequestError(f"{key} is neither true nor false")
        return value


def _is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


async def _answered(
    request: Request, keys: set[str], work: Callable[[_Body], Awaitable[Any]]
) -> Response:
    """What becomes of a request, as JSON: `{"error": {...}}` when nothing does."""
    try:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise _WrongRequestError("that is no application/json")
        return _json(await work(_Body(await _read(request), keys)))
    except WorkerFullError as error:
        return _failed(503, "full", error, seconds=error.retry_seconds)
    except WorkerUnavailableError as error:
        return _failed(503, "away", error)
    except (TwinheadError, PushError) as error:
        return _failed(409, "refused", error)
    except (_WrongRequestError, ValueError) as error:
        return _failed(400, "wrong", error)


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES:
            raise _WrongRequestError("that is more than this takes at a time, 1 MiB")
    return bytes(body)


def _json(value: Any, status: int = 200) -> Response:
    return JSONResponse(value, status, headers={"cache-control": "no-store"})


def _failed(status: int, kind: str, error: Exception, **more: Any) -> Response:
    return _json({"error": {"kind": kind, "message": str(error), **more}}, status)


async def _event_lines(board: Board) -> AsyncGenerator[str]:
    yield "retry: 1000\n\n"
    async for section, text in board.read():
        yield f"event: {section}\ndata: {text}\n\n" if section else ": still here\n\n"


def _file_route(path: str) -> Route:
    if path == _BASE:
        package, name, kind = "twinhead.client.report", "page.css", "text/css; charset=utf-8"
    else:
        package, (name, kind) = "twinhead.client.web", _FILES[path]
    content = (importlib.resources.files(package) / name).read_bytes()

    async def answer(_: Request) -> Response:
        # Small, and of this very release: asked for again each time.
        return Response(content, headers={"content-type": kind, "cache-control": "no-cache"})

    return Route(path, answer, methods=["GET"])
