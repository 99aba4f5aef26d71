"""Calls that may hang."""

import asyncio
import subprocess
import sys

import pytest
from twinhead.server.daemon_thread import in_daemon_thread

HANGING = """
import asyncio, threading
from twinhead.server.daemon_thread import in_daemon_thread

async def main():
    try:
        await asyncio.wait_for(in_daemon_thread(threading.Event().wait), 0.1)
    except TimeoutError:
        print("given up")

asyncio.run(main())
"""


def test_it_gives_what_the_call_gives():
    assert asyncio.run(in_daemon_thread(divmod, 7, 2)) == (3, 1)


def test_it_raises_what_the_call_raises():
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_daemon_thread(divmod, 7, 0))


def test_a_process_ends_while_a_call_hangs():
    # (By the limit a process would be killed that waits for the thread, and the test fail.)
    run = subprocess.run(
        [sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout == "given up\n"
