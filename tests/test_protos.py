"""What is generated is what the contract generates, and the contract breaks nobody."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

BUF = ROOT / ".venv/buf/node_modules/.bin/buf"
PROTO = "protos/twinhead/v1/inference_service.proto"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    subprocess.run(
        [sys.executable, str(ROOT / "protos/generate.py"), "--output", str(folder)], check=True
    )
    return folder


def test_generated_code_is_up_to_date(made):
    found = {path.relative_to(made) for path in made.rglob("*_pb2*")}
    kept = {path.relative_to(ROOT / "protos") for path in (ROOT / "protos").rglob("*_pb2*.py*")}
    kept = {path for path in kept if "__pycache__" not in path.parts}
    assert found == kept
    for path in found:
        committed = (ROOT / "protos" / path).read_text()
        assert (made / path).read_text() == committed, f"{path}: run `make protos`"


def test_the_page_about_the_contract_is_up_to_date(made):
    page = (made / "protocol.md").read_text()
    assert page == (ROOT / "docs/protocol.md").read_text(), "run `make protos`"
    assert "### InferRequest\n" in page
    assert (
        "| `repeatable` (6) | bool | Asks for an answer that can be had again to the bit: " in page
    )
    anchors = {
        f"#{line.strip('# ').lower().replace('.', '')}"
        for line in page.split("\n")
        if line[:1] == "#"
    }
    links = {link.split(")")[0] for link in page.split("](")[1:] if link.startswith("#")}
    assert links <= anchors


@pytest.fixture
def check(tmp_path):
    """Run the check of the contract on a copy of it with a release, of which a text is replaced."""
    repository = tmp_path / "repository"

    def git(*arguments):
        who = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.org")
        subprocess.run(
            ["git", "-C", str(repository), *who, *arguments], check=True, capture_output=True
        )

    def run(old: str, new: str, tag: str | None = "v1.2.3"):
        shutil.copytree(ROOT / "protos", repository / "protos")
        git("init", "--quiet")
        git("add", ".")
        git("commit", "--quiet", "-m", "Everything")
        if tag:
            git("tag", "-m", tag, tag)
        text = (repository / PROTO).read_text()
        assert text.count(old) == 1
        (repository / PROTO).write_text(text.replace(old, new))
        script = str(ROOT / "protos/check.py")
        return subprocess.run(
            [sys.executable, script, str(BUF), "--repository", str(repository)],
            capture_output=True,
            text=True,
            check=False,
        )

    return run


NEW_FIELD = "  bool repeatable = 6;\n\n  // Another one.\n  bool another = 7;"


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (NEW_FIELD, None),
        ("", 'field "6" with name "repeatable" on message "InferRequest" was deleted'),
        ('  reserved 6;\n  reserved "repeatable";', 'field "6" with name "repeatable"'),
        ("  bool again = 6;", 'changed name from "repeatable" to "again"'),
        ("  string repeatable = 6;", 'changed type from "bool" to "string"'),
        (
            "  bool repeatable = 7;",
            '"6" with name "repeatable" on message "InferRequest" was deleted',
        ),
    ],
    ids=["added", "deleted", "reserved", "renamed", "retyped", "renumbered"],
)
def test_a_change_that_breaks_callers_of_the_last_release_is_found(check, new, says):
    done = check("  bool repeatable = 6;", new)
    if says is None:
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        assert done.returncode == 1
        assert says in done.stdout


def test_a_release_that_is_none_is_not_compared_with(check):
    done = check("  bool repeatable = 6;", "", tag="voyage")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no release (tag v*) to compare" in done.stdout


def test_a_name_that_is_against_the_style_is_found(check):
    done = check("  bool repeatable = 6;", "  // Named badly.\n  bool repeatAble = 6;", tag=None)
    assert done.returncode == 1
    assert "lower_snake_case" in done.stdout
