"""The images, built with buildah in a store of their own."""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import ROOT


@dataclass(frozen=True)
class Image:
    """An image whose files are in a folder."""

    name: str
    root: Path
    """Its files."""
    config: dict[str, Any] = field(repr=False)
    """What is stated of it, as Docker calls it."""
    size: int
    """Bytes of its files, those of its base among them."""


class ImageStore:
    """A store of images, which goes with all that is in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Neither needs what the machine's own settings of containers may ask for.
        self._command = ["buildah", "--root", str(folder / "store")]
        self._command += ["--runroot", str(folder / "run"), "--storage-driver", "vfs"]
        self._said = folder / "build.log"

    def add_base(self, name: str, archive: Path) -> None:
        """Make an image of the files in an archive."""
        container = self._run("from", "scratch")
        self._run("add", "--quiet", container, str(archive))
        self._run("commit", "--quiet", "--rm", container, name)

    def build(self, name: str, target: str, wheels: Path, **arguments: str) -> None:
        """Build a target of the Dockerfile from the repository."""
        # Without an index, so that nothing but the wheels can get in. HEALTHCHECK is Docker's.
        command = ["build", "--isolation", "chroot", "--format", "docker", "--tag", name]
        command += ["--target", target, "--build-context", f"wheels={wheels}"]
        for argument, value in {"PIP_NO_INDEX": "1", **arguments}.items():
            command += ["--build-arg", f"{argument}={value}"]
        with self._said.open("wb") as said:
            done = subprocess.run([*self._command, *command, ROOT], stdout=said, stderr=said)
        assert done.returncode == 0, self._said.read_text()[-5000:]

    def image(self, name: str) -> Image:
        """An image that was built, its files in a folder."""
        inspected = json.loads(self._run("inspect", "--type", "image", name))
        root = Path(self._run("mount", self._run("from", name)))
        size = sum(file.lstat().st_size for file in root.rglob("*") if not file.is_dir())
        return Image(name, root, inspected["Docker"]["config"], size)

    def remove(self) -> None:
        """Remove the store."""
        self._run("rm", "--all")
        shutil.rmtree(self._folder)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([*self._command, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, f"buildah {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()
