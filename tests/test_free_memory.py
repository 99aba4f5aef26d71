"""Freed memory goes back to the system."""

import subprocess
import sys

import psutil
import pytest
from twinhead.server import free_memory

PROGRAM = """
import psutil, torch
from twinhead.server.free_memory import return_memory

def resident():
    return psutil.Process().memory_info().rss / 2**20

blocks = [torch.ones(2**16) for _ in range(800)]  # 200 MiB in blocks that are no mappings
kept = blocks[::40]  # so that the heap cannot simply be cut off at its end
full = resident()
del blocks
freed = resident()
return_memory()
print(full, freed, resident())
"""


@pytest.mark.skipif(not psutil.LINUX, reason="asks glibc")
def test_what_is_free_is_given_back():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    full, _, after = map(float, done.stdout.split())
    assert after < full - 150


@pytest.mark.skipif(not psutil.LINUX, reason="asks glibc")
@pytest.mark.parametrize("shared", [False, True])
def test_what_one_thread_frees_another_takes(shared):
    program = f"""
import threading
import psutil, torch
from twinhead.server.free_memory import share_memory

if {shared}:
    share_memory()
rounds = [threading.Barrier(6), threading.Barrier(6)]

def work(number):
    for turn in range(6):
        rounds[0].wait()
        if turn == number:
            blocks = [torch.ones(2**13) for _ in range(1000)]  # 31 MiB, one thread at a time
            end = torch.ones(1)  # behind them, so that the arena cannot be cut off there
            del blocks
            kept.append(end)
        rounds[1].wait()

kept = []
torch.ones(2**13)
before = psutil.Process().memory_info().rss / 2**20
threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(psutil.Process().memory_info().rss / 2**20 - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    grown = float(done.stdout)
    assert grown < 80 if shared else grown > 120, done.stderr


def test_without_such_a_library_nothing_happens(monkeypatch):
    monkeypatch.setattr(free_memory, "_c_library", lambda: None)
    free_memory.return_memory()
    free_memory.share_memory()
