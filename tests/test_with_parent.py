"""`with_parent`: the command line, for as long as its parent lives."""

import signal
import socket
import subprocess
import sys

import psutil
import pytest

CHILD = [sys.executable, "-P", "-m", "twinhead.client.with_parent"]
PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
print(child.pid, flush=True)
child.wait()
"""


def test_it_is_the_command_line():
    with subprocess.Popen(
        [*CHILD, "--version"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.read().startswith(b"twinhead, version ")
        assert child.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_when_its_parent_does(number):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(60)
        # It would wait for an answer that does not come; gRPC gives up after 20 seconds.
        target = f"127.0.0.1:{mute.getsockname()[1]}"
        command = [*CHILD, "health", "--worker", target, "--timeout", "600"]
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, *command], stdout=subprocess.PIPE, text=True
        )
        with parent:
            child = psutil.Process(int(parent.stdout.readline()))
            caller, _ = mute.accept()
            with caller:
                parent.send_signal(number)
                assert parent.wait(30) == -number
                child.wait(10)
