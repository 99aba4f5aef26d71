"""Prints what the package needs with some of its extras, one requirement a line.

    python3 requirements.py pyproject.toml server openvino

The Dockerfile installs this before the package's own code is there, so that a change of code leaves
the layer of libraries, which is nearly all of an image, as it is.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path


def requirements(project: dict, extras: Iterable[str]) -> Iterator[str]:
    """The requirements of a project with some extras, and of the extras that those name."""
    yield from project["dependencies"]
    for extra in extras:
        for requirement in project["optional-dependencies"][extra]:
            own = re.fullmatch(rf"{project['name']}\[(.+)\]", requirement)
            yield from requirements(project, own[1].split(",")) if own else [requirement]


if __name__ == "__main__":
    stated = tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(*dict.fromkeys(requirements(stated["project"], sys.argv[2:])), sep="\n")  # noqa: T201
