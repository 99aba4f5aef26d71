"""docs/TUTORIAL.md is true: what it says to save and to run is saved and run, in its order."""

import csv
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT
from twinhead.trainer.read_recipe import RECIPES, read_recipe

TUTORIAL = ROOT / "docs" / "TUTORIAL.md"
MESSAGES = ROOT / "examples" / "messages.csv"
REFUSED = "twinhead push runs/messages/checkpoint\n"
LEFT_OUT = "…"


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    line: int
    kind: str
    text: str
    saved_as: str | None


def blocks() -> list[Block]:
    text = TUTORIAL.read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        saved = re.search(r"Save this as `([^`]+)`:\n\n\Z", text[: match.start()])
        line = text.count("\n", 0, match.start(1)) + 1
        found.append(Block(line, match[1], match[2], saved[1] if saved else None))
    return found


def run(command: str, folder: Path, admin_target: str) -> tuple[int, str]:
    """As typed in a shell of that folder; the exit code, and all that it said."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TWINHEAD_ADMIN": admin_target,
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",  # several wait for each other where tests run side by side
            "COLUMNS": "100",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=200,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def plain(line: str) -> str:
    """A line without what is another on each machine: versions, addresses and numbers."""
    line = re.sub(r"\b[0-9a-f]{16}\b", "VERSION", line)
    line = re.sub(r"localhost:\d+", "ADDRESS", line)
    return " ".join(re.sub(r"\d[\d.,:]*(e-\d+)?", "N", line).split())


def shows(shown: str, said: str) -> bool:
    """Whether that is what was said, but for what was left out, and for what `plain` drops."""
    pattern = "".join(
        r"(.*\n)*?"
        if line.strip() == LEFT_OUT
        else re.escape(plain(line.removesuffix(LEFT_OUT)))
        + (".*\n" if line.endswith(LEFT_OUT) else "\n")
        for line in shown.splitlines()
    )
    return (
        re.fullmatch(pattern, "".join(plain(line) + "\n" for line in said.splitlines())) is not None
    )


def test_a_newcomer_gets_there(start_worker, tmp_path, monkeypatch):
    folder = tmp_path / "new"
    folder.mkdir()
    monkeypatch.chdir(folder)
    worker, said, answers, trained = None, None, [], ""
    for block in blocks():
        place = f"{TUTORIAL.name}:{block.line}"
        if block.saved_as is not None:
            assert worker is not None
            text = block.text.replace("localhost:50051", worker.target)
            (folder / block.saved_as).write_text(text, encoding="utf-8")
        elif block.text.startswith("twinhead serve "):
            assert worker is None
            worker = start_worker(*shlex.split(block.text)[2:])
        elif block.kind == "sh":
            assert said is None, f"{place}: the command before shows nothing"
            assert worker is not None
            code, said = run(block.text, folder, worker.admin_target)
            assert code == (1 if block.text == REFUSED else 0), f"{place}:\n{said}"
            if "ask.py" in block.text:
                answers.append(said[said.index("model ") :])
            elif "twinhead train" in block.text:
                trained = said
        else:
            assert block.kind == ""
            assert said is not None
            assert shows(block.text, said), f"{place}: it said\n{said}"
            said = None
    assert said is None

    first, pushed, back = answers
    assert back == first != pushed
    # Guessing would give a quarter and a half.
    accuracy = dict(re.findall(r"^(\w+) +validation +60 +(\d\.\d+) ", trained, re.MULTILINE))
    assert {task: float(value) > 0.7 for task, value in accuracy.items()} == {
        "team": True,
        "urgent": True,
    }
    worker.process.send_signal(signal.SIGINT)
    assert worker.wait() == 0


def test_its_recipe_is_the_one_that_comes_along():
    (shown,) = [tomllib.loads(block.text) for block in blocks() if block.kind == "toml"]
    shipped = tomllib.loads((RECIPES / "two_labels.toml").read_text(encoding="utf-8"))
    assert shown["data"][0].pop("train") == "messages.csv"
    del shipped["data"][0]["train"]
    assert shown == shipped
    (source,) = read_recipe(RECIPES / "two_labels.toml").data
    assert Path(source.train[0]).resolve() == MESSAGES


def test_the_rows_are_as_it_says():
    with MESSAGES.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["text", "team", "urgent"]
    assert len(rows) == 300
    assert len({" ".join(row["text"].casefold().split()) for row in rows}) == 300
    teams = Counter(row["team"] for row in rows)
    assert sorted(teams) == ["billing", "delivery", "product", "website"]
    assert all(72 <= count <= 78 for count in teams.values())
    crossed = Counter((row["team"], row["urgent"]) for row in rows)
    assert {urgent for _, urgent in crossed} == {"no", "yes"}
    assert len(crossed) == 8
    assert min(crossed.values()) >= 35


def test_every_block_is_one_that_is_run_or_saved_or_shown():
    found = blocks()
    assert TUTORIAL.read_text(encoding="utf-8").count("```") == 2 * len(found)
    assert [block.saved_as for block in found if block.kind in ("python", "toml")] == [
        "ask.py",
        "messages.toml",
    ]
    assert {block.kind for block in found} == {"", "python", "sh", "toml"}
    assert sum(block.kind == "sh" for block in found) >= 9


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("team 0.91\n", "team   0.87\n", True),
        ("team 0.91\n", "mood 0.91\n", False),
        ("one\ntwo\n", "one\nmore\ntwo\n", False),
        ("one\n…\ntwo\n", "one\nmore\nand more\ntwo\n", True),
        ("one\n…\ntwo\n", "two\none\n", False),
        ("one thing …\n", "one thing and another\n", True),
        ("one\n", "one\ntwo\n", False),
        ("0123456789abcdef is live\n", "fedcba9876543210 is live\n", True),
    ],
)
def test_what_is_shown_is_compared(shown, said, same):
    assert shows(shown, said) is same
