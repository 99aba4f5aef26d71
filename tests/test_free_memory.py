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


def test_without_such_a_library_nothing_happens(monkeypatch):
    monkeypatch.setattr(free_memory, "_c_library", lambda: None)
    free_memory.return_memory()
