"""A plugin of pytest: the images of this repository, containers of them, and what was measured."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from container.containers import USER, Container, Mount
from container.images import Image, ImageStore
from swapped import HEADS, changed
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.starter import NAME, checkpoint_folder

_figures: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--material", help="Folder with the bases and wheels; see the Makefile.")


@pytest.fixture(scope="session")
def seen() -> Callable[[str], None]:
    """Note a figure, for the end of the output."""
    return _figures.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("seen")
    for figure in _figures:
        terminalreporter.write_line(figure)


@pytest.fixture(scope="session")
def store(pytestconfig: pytest.Config) -> Iterator[ImageStore]:
    """Both images, built; and nothing left of them afterwards."""
    missing = [tool for tool in ("buildah", "runc", "nsenter") if shutil.which(tool) is None]
    assert not missing, f"install what is missing: {missing} (Debian: buildah, runc, util-linux)"
    material = Path(pytestconfig.getoption("--material")).resolve()
    # Not in the folder of tests, which pytest keeps for three runs.
    images = ImageStore(Path(tempfile.mkdtemp(dir=material, prefix="images-")))
    try:
        images.add_base("localhost/base", material / "base.tar")
        images.add_base("localhost/build-base", material / "build-base.tar")
        bases = {"BASE": "localhost/base", "BUILD_BASE": "localhost/build-base"}
        for target in ("client", "server"):
            images.build(f"localhost/{target}", target, material / "wheels", **bases)
        yield images
    finally:
        images.remove()


@pytest.fixture(scope="session")
def base(store: ImageStore) -> Image:
    return store.image("localhost/base")


@pytest.fixture(scope="session")
def server(store: ImageStore) -> Image:
    return store.image("localhost/server")


@pytest.fixture(scope="session")
def client(store: ImageStore) -> Image:
    return store.image("localhost/client")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Start containers that end with the test."""
    started: list[Container] = []

    def start(image: Image, *arguments: str, **options) -> Container:
        folder = tmp_path / f"container-{len(started)}"
        started.append(Container(folder, image, *arguments, **options))
        return started[-1]

    yield start
    for container in reversed(started):
        container.remove()


@pytest.fixture(scope="session")
def starter() -> Checkpoint:
    return Checkpoint.load(checkpoint_folder(NAME))


@pytest.fixture(scope="session")
def second(starter: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A checkpoint with other heads than the starter's, and its version."""
    return _saved(starter, tmp_path_factory.mktemp("second") / "checkpoint", 1)


@pytest.fixture(scope="session")
def third(starter: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Another."""
    return _saved(starter, tmp_path_factory.mktemp("third") / "checkpoint", 2)


def _saved(starter: Checkpoint, folder: Path, seed: int) -> tuple[Path, str]:
    checkpoint = changed(starter, HEADS, seed)
    checkpoint.save(folder)
    return folder, checkpoint.version


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Mount]:
    """Make folders of the host for containers, which the image's user owns."""

    def make(place: str, *, writable: bool = False, user: int = USER) -> Mount:
        host = tmp_path / place.strip("/").replace("/", "-")
        host.mkdir()
        os.chown(host, user, user)
        return Mount(host, place, writable)

    return make
