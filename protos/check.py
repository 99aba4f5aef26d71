"""Check the wire contracts with buf: their style, and that callers of the last release still understand.

python protos/check.py BUF [--repository DIR]

The last release is the newest tag `v*` that HEAD comes after.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from generate import GOOGLE_RPC, PROTOS


def workspace(folder: Path, protos: Path) -> Path:
    """A folder with contracts and what they import: buf would fetch that from its registry."""
    shutil.copytree(protos / "twinhead", folder / "twinhead")
    shutil.copy(PROTOS / "buf.yaml", folder)
    (folder / "google/rpc").mkdir(parents=True)
    shutil.copy(GOOGLE_RPC / "status.proto", folder / "google/rpc")
    return folder


def last_release(repository: Path) -> str | None:
    """The tag of the last release; None when there was none yet."""
    found = _git(repository, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
    return found.stdout.decode().strip() if found.returncode == 0 else None


def released(repository: Path, tag: str, folder: Path) -> Path:
    """The contracts of a release, written into a folder."""
    archive = _git(repository, "archive", "--format=tar", tag, "protos")
    if archive.returncode:
        sys.exit(archive.stderr.decode())
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "protos"


def _git(repository: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, check=False)  # noqa: S603, S607


def main() -> None:
    """Run both checks; exits with 1 when one of them finds something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("buf", type=Path)
    parser.add_argument("--repository", type=Path, default=PROTOS.parent)
    arguments = parser.parse_args()
    buf, repository = arguments.buf.resolve(), arguments.repository.resolve()
    tag = last_release(repository)
    with tempfile.TemporaryDirectory() as now, tempfile.TemporaryDirectory() as then:
        present = workspace(Path(now), repository / "protos")
        checks = [["lint"]]
        if tag is None:
            print("buf breaking: no release (tag v*) to compare the contracts with yet")  # noqa: T201
        else:
            past = workspace(Path(then, "workspace"), released(repository, tag, Path(then)))
            checks.append(["breaking", "--against", str(past)])
        codes = [subprocess.run([str(buf), *check], cwd=present, check=False).returncode for check in checks]  # noqa: S603
    sys.exit(any(codes))


if __name__ == "__main__":
    main()
