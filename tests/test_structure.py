"""The shape of the tree: who may import whom, what the wheel holds, what is public."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGES = ("client", "model", "server", "trainer")
ALLOWED = {
    "client": {"v1"},
    "model": set(),
    "server": {"model", "v1", "protocols"},
    "trainer": {"model", "client"},
}
# What only the server, or training, may need: the bare install has none of it.
HEAVY = {"torch", "transformers", "safetensors", "pydantic", "sklearn", "prometheus_client"}


def imports_of(file: Path) -> set[str]:
    """Our packages, as `twinhead.X`, and the top-level names of others that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            package = ["twinhead", *file.parent.relative_to(ROOT).parts]
            base = package[: len(package) - node.level + 1]
            names = [".".join([*base, *(node.module or "").split(".")])]
            if not node.module:
                names = [".".join([*base, alias.name]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            parts = name.split(".")
            found.add(".".join(parts[:2]) if parts[0] == "twinhead" else parts[0])
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package):
    allowed = {f"twinhead.{name}" for name in ALLOWED[package] | {package}}
    for file in (ROOT / package).rglob("*.py"):
        ours = {name for name in imports_of(file) if name.startswith("twinhead.")}
        assert ours <= allowed, f"{file.relative_to(ROOT)} imports {ours - allowed}"


def test_the_client_needs_nothing_heavy():
    for file in (ROOT / "client").rglob("*.py"):
        assert not imports_of(file) & HEAVY, file
    loaded = subprocess.run(
        [sys.executable, "-c", "import twinhead.client, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not set(loaded) & HEAVY


@pytest.mark.parametrize("package", PACKAGES)
def test_every_source_file_has_its_test(package):
    exempt = {"__init__", "__main__"}
    tests = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    for file in (ROOT / package).rglob("*.py"):
        if file.stem not in exempt:
            named = {f"test_{file.stem}", f"test_{package}_{file.stem}"}
            assert tests & named, f"{package}/{file.name} has no tests/test_{file.stem}.py"


def test_the_public_surface_is_all():
    import twinhead.client as client

    for name in client.__all__:
        assert getattr(client, name).__module__.startswith("twinhead.client."), name
    assert client.__all__ == sorted(client.__all__)
    assert set(client.__all__) <= set(dir(client))
    with pytest.raises(AttributeError, match="has no attribute 'Clint'"):
        _ = client.Clint


def test_the_wheel_holds_every_module_and_data_file(tmp_path):
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    for name in filter(None, tracked):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    # Without isolation: the build's own needs are in the environment, and the test is offline.
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "-o",
            str(tmp_path),
            str(source),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    folders = {name: name for name in PACKAGES}
    folders |= {name: f"protos/twinhead/{name}" for name in ("protocols", "v1")}
    wanted = {f"twinhead/examples/{name}.csv" for name in ("messages", "sentences")}
    for package, folder in folders.items():
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                wanted.add(f"twinhead/{package}/{file.relative_to(ROOT / folder)}")
    assert wanted <= held, f"missing in the wheel: {sorted(wanted - held)}"
    assert not [name for name in held if name.startswith(("twinhead/tests", "tests"))]
