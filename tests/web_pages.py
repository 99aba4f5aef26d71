"""Pages as processes, and requests to them as browsers make them."""

import asyncio
import http.client
import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from conftest import TWINHEAD


class Answer(NamedTuple):
    """What a page's server answers."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


async def call(app, method, path, headers, chunks=()) -> Answer:
    """Ask an ASGI application, without a connection, as somebody who waits for the answer."""
    pending = itertools.chain(chunks, [None])
    received = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive():
        for chunk in pending:
            return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}
        return await asyncio.get_running_loop().create_future()

    async def send(message):
        received.append(message)

    await app(scope, receive, send)
    start, *bodies = received
    return Answer(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        b"".join(each.get("body", b"") for each in bodies),
    )


class PageProcess:
    """`twinhead web` on a free port; ends with `stop`."""

    def __init__(self, *options: str, environment=None) -> None:
        self.process = subprocess.Popen(
            [*TWINHEAD, "web", "--port", "0", *options],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        said = self.process.stdout.readline()
        assert said.startswith("the page is at http://"), said
        self.url = said.split()[4]
        self.host = urlsplit(self.url).netloc

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(30)
        self.process.stdout.close()
        return code

    def ask(self, path="/", body=None, *, headers=None) -> Answer:
        """A request such as the page's own scripts make; a body makes it a POST."""
        connection = http.client.HTTPConnection(self.host.replace("localhost", "127.0.0.1"))
        sent = {"Host": self.host}
        if body is not None:
            sent |= {"Origin": f"http://{self.host}", "Content-Type": "application/json"}
        try:
            connection.request(
                "GET" if body is None else "POST",
                path,
                None if body is None else json.dumps(body),
                sent | (headers or {}),
            )
            response = connection.getresponse()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    def events(self) -> Iterator[tuple[str, object]]:
        """Sections and their values, as they come."""
        connection = http.client.HTTPConnection(self.host.replace("localhost", "127.0.0.1"))
        try:
            connection.request("GET", "/events", headers={"Host": self.host})
            section = ""
            for line in connection.getresponse():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    section = value
                elif name == "data":
                    yield section, json.loads(value)
        finally:
            connection.close()

    def wait_for(self, section, condition=lambda value: True):
        """The first value of a section that fulfils a condition."""
        return next(value for name, value in self.events() if name == section and condition(value))


def question(*sentences, truncate=True, remember=True):
    """The body of a question."""
    return {"sentences": list(sentences), "truncate": truncate, "remember": remember}
