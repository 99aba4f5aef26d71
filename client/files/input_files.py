"""A path, a glob or a folder as the list of files that it stands for."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..errors import FileError
from .file_formats import INPUT_FORMATS, format_of
from .file_place import STANDARD, file_system, is_uri, local_path, told

# What a run leaves beside its output while it goes on.
_OWN_SUFFIXES = (".partial", ".journal")


def expand(place: str, file_format: str | None = None) -> list[str]:
    """The files that a place stands for, sorted by name.

    A path stands for itself, also when it holds the marks of a glob. A glob and a folder (with all
    folders in it) stand for their files of known formats. Passed over are names that begin with a
    dot or an underscore, as the tools that write such folders mean it, and what unfinished runs of
    the labeller have left.

    Args:
        place: a path, a glob (`*`, `?`, `[...]`, and `**` for any folders) or a folder, on this
            machine or as a URI; `-` for standard input.
        file_format: take files of this format; when there are none, those whose names tell none.

    Raises:
        FileError: there is no such file, nothing that can be read, or files of several formats.
    """
    if place == STANDARD:
        return [place]
    on_this_machine = local_path(place)
    if on_this_machine is None:
        found = _remote(place)
    else:
        found = _local(place if not is_uri(place) else str(on_this_machine))
    if found is None:
        return [place]
    files = sorted(file for file, inside in found if _is_input(inside))
    if not files:
        what = "holds no files" if not _has_marks(place) else "matches no file"
        raise FileError(f"{place}: {what}")
    return _of_one_format(place, files, file_format)


def _local(place: str) -> list[tuple[str, str]] | None:
    """Files, and their paths inside the place; None when it is a file itself."""
    path = Path(place)
    if path.is_dir():
        files = [Path(folder, name) for folder, _, names in os.walk(place) for name in names]
        return [(str(file), str(file.relative_to(path))) for file in files]
    if path.exists() or not _has_marks(place):
        return None
    matched = glob.glob(place, recursive=True)  # noqa: PTH207 (Path's knows no absolute ones)
    return [(each, _below(place, each)) for each in matched if not Path(each).is_dir()]


def _remote(place: str) -> list[tuple[str, str]] | None:
    files, inside = file_system(place)
    with told(place):
        if files.isdir(inside):
            root = inside.rstrip("/") + "/"
            return [
                (files.unstrip_protocol(each), each.removeprefix(root))
                for each in files.find(inside)
            ]
        if not _has_marks(place) or files.exists(inside):
            return None
        matched: dict[str, dict[str, str]] = files.glob(inside, detail=True)
        return [
            (files.unstrip_protocol(each), _below(inside, each))
            for each, info in matched.items()
            if info["type"] == "file"
        ]


def _below(pattern: str, file: str) -> str:
    """The part of a path for which a glob has marks; what it says by name is not passed over."""
    wanted = PurePosixPath(pattern).parts
    given = next(number for number, part in enumerate(wanted) if _has_marks(part))
    if any(_is_hidden(part) for part in wanted[given:]):
        return PurePosixPath(file).name.lstrip("._")
    return "/".join(PurePosixPath(file).parts[given:])


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _is_input(inside: str) -> bool:
    hidden = any(map(_is_hidden, PurePosixPath(inside).parts))
    return not hidden and not inside.endswith(_OWN_SUFFIXES)


def _has_marks(place: str) -> bool:
    return glob.has_magic(place)


def _of_one_format(place: str, files: Sequence[str], file_format: str | None) -> list[str]:
    by_format: dict[str | None, list[str]] = {}
    for file in files:
        found = format_of(file)
        by_format.setdefault(found if found in INPUT_FORMATS else None, []).append(file)
    others = by_format.pop(None, [])
    if file_format is not None:
        chosen = by_format.get(file_format) or others
        if not chosen:
            raise FileError(f"{place}: has no {file_format} files")
        return chosen
    if not by_format:
        raise FileError(
            f"{place}: has no files of a known format ({', '.join(INPUT_FORMATS)}), but for "
            f"example {others[0]}; say --input-format"
        )
    if len(by_format) > 1:
        first, second, *_ = by_format.values()
        raise FileError(
            f"{place}: has files of several formats, for example {first[0]} and {second[0]}; "
            "say --input-format"
        )
    return next(iter(by_format.values()))
