"""Where and until when a client can be used, of whichever kind it is."""

import subprocess
import sys

import pytest
from twinhead.client import AsyncClient, Client
from twinhead.client.transport import Lifetime


def test_a_closed_client_says_so(starter_worker):
    client = Client(starter_worker.target)
    client.infer(["Hm."])
    client.close()
    client.close()
    for call in (
        client.model,
        lambda: client.infer(["Hm."]),
        lambda: client.embed(["Hm."]),
        lambda: next(client.watch()),
        lambda: next(client.infer_stream([["Hm."]])),
        lambda: next(client.infer_many(["Hm."])),
    ):
        with pytest.raises(RuntimeError, match=r"^the client is closed; make another one$"):
            call()


async def test_a_closed_client_of_asyncio_says_so(starter_worker):
    client = AsyncClient(starter_worker.target)
    await client.infer(["Hm."])
    await client.close()
    await client.close()
    for call in (
        client.model(),
        client.infer(["Hm."]),
        client.embed(["Hm."]),
        anext(client.watch()),
        anext(client.infer_stream([["Hm."]])),
        anext(client.infer_many(["Hm."])),
    ):
        with pytest.raises(RuntimeError, match=r"^the client is closed; make another one$"):
            await call


FORKED = """
import asyncio, os, warnings
from twinhead.client import AsyncClient, Client

warnings.simplefilter("ignore")  # newer Pythons warn of every fork beside threads
blocking, asynchronous = Client("localhost:1"), AsyncClient("localhost:1")
if os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
for call in (lambda: blocking.infer(["a"]), lambda: asyncio.run(asynchronous.infer(["a"]))):
    try:
        call()
    except RuntimeError as error:
        print(error)
"""


def test_a_client_does_not_outlive_a_fork():
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=True
    )
    said = "the client was made before this process was forked; make one in each process"
    assert done.stdout.splitlines() == [said, said]


def test_nothing_is_said_while_it_can_be_used():
    Lifetime().check()
