"""docs/PYTHON.md is true: its blocks run in their order, against real workers."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, DebugWorker, WorkerProcess
from every_kind import every_kind
from tls_files import write_tls_files

GUIDE = ROOT / "docs" / "PYTHON.md"
TOKEN = "correct-horse-battery-staple"
# After an expression that says what it gives.
_SAYS = re.compile(r"  # -> (.*)$")


def blocks() -> list[tuple[int, str]]:
    """The Python of the guide: where each block begins, and its text."""
    text = GUIDE.read_text()
    return [
        (text.count("\n", 0, match.start(1)) + 1, match.group(1))
        for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def checked(block: str) -> str:
    """The block, which also compares what it says."""
    lines = block.splitlines(keepends=True)
    for node in ast.walk(ast.parse(block)):
        if not isinstance(node, ast.Expr):
            continue
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        if (found := _SAYS.search(lines[last])) is not None:
            lines[last] = f"{lines[last][: found.start()]}), {found[1]!r})\n"
            lines[first] = f"{lines[first][: node.col_offset]}_says(({lines[first].lstrip()}"
    return "".join(lines)


def says(value: object, expected: str) -> None:
    assert repr(value) == expected


@pytest.fixture
def open_worker(start_worker: Callable[..., WorkerProcess], tmp_path: Path) -> WorkerProcess:
    every_kind().save(tmp_path / "checkpoint")
    return start_worker("--model", str(tmp_path / "checkpoint"))


@pytest.fixture
def guarded_worker(start_debug_worker: Callable[..., DebugWorker], tmp_path: Path) -> DebugWorker:
    write_tls_files(tmp_path)
    (tmp_path / "tokens").write_text(f"{TOKEN} infer\n")
    (tmp_path / "my-token").write_text(f"{TOKEN}\n")
    return start_debug_worker(
        tls_certificate=str(tmp_path / "server.pem"),
        tls_key=str(tmp_path / "server.key"),
        token_file=str(tmp_path / "tokens"),
    )


def test_every_block_runs_and_gives_what_it_says(
    open_worker, guarded_worker, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # where the files are that the guide names
    addresses = {
        "localhost:50051": open_worker.target,
        "worker.example.com:50051": guarded_worker.target,
    }
    names: dict[str, object] = {"_says": says}
    for line, block in blocks():
        for written, target in addresses.items():
            block = block.replace(written, target)
        # So that a traceback names the line of the guide.
        code = compile("\n" * (line - 1) + checked(block), str(GUIDE), "exec")
        exec(code, names)
    names["client"].close()


def test_the_blocks_are_found_and_what_they_say():
    found = blocks()
    assert len(found) >= 15
    assert found[0][1].startswith("from twinhead.client import Client\n")
    assert len(GUIDE.read_text().split("```python\n")) == len(found) + 1
    assert checked("a = 1\nif a:\n    a + 1  # -> 2\n") == "a = 1\nif a:\n    _says((a + 1), '2')\n"
    assert checked("sum(\n    [1, 2]\n)  # -> 3\n") == "_says((sum(\n    [1, 2]\n)), '3')\n"
    # Each that the text has is checked.
    said = sum(block.count("# ->") for _, block in found)
    assert said == sum(checked(block).count("_says(") for _, block in found) >= 25


def test_what_is_not_so_is_found():
    with pytest.raises(AssertionError):
        exec(checked("1 + 1  # -> 3"), {"_says": says})
