"""The versions that a worker keeps on its disk.

    blobs/<sha256>              tensors and tokenizers, each once however many versions have it
    versions/<version id>/      the small files of a version
    live.json                   which version is live
    staging/                    what is on its way in; wiped at every start
    lock                        held by the worker that uses the folder

Whatever moment a worker is killed at, `live.json` names a version all of which is there: blobs are
moved into place first, then the version's folder, then `live.json` is replaced. What no version
needs is removed later.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ..model.checkpoint import MANIFEST
from ..model.errors import CheckpointError, ModelError
from ..model.manifest import Manifest
from ..model.version_parts import Blob, VersionFiles, VersionParts

_RECEIVED = "received"
# What stays free on the disk whatever is pushed.
_MARGIN_BYTES = 64 << 20


class StoreError(ModelError):
    """The state folder cannot be used; the text says why."""


class Pointers(BaseModel):
    """What `live.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    live: str
    previous: str = ""
    configured: str = ""
    """The version of the model that the worker was configured with when this was written."""


@dataclass(frozen=True)
class StoredVersion:
    """A version on disk."""

    files: VersionFiles
    received: float
    """When the worker first had it, seconds since the epoch."""
    bytes: int
    """Of its blobs, those that other versions have too included."""


class Staging:
    """A version on its way in: blobs that have come, outside of the store still."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where a blob is."""
        return self.folder / digest

    def discard(self) -> None:
        """Remove what has come."""
        shutil.rmtree(self.folder, ignore_errors=True)


class VersionStore:
    """A folder with versions; used by one thread at a time."""

    def __init__(self, folder: Path, keep: int) -> None:
        """Take a folder into use.

        Args:
            folder: made if it is not there.
            keep: versions that are kept, the live and the previous one among them.

        Raises:
            StoreError: another worker uses it, or it cannot be written.
        """
        self.folder = folder
        self._keep = keep
        self._blobs, self._versions = folder / "blobs", folder / "versions"
        self._pointers = folder / "live.json"
        self.staging_folder = folder / "staging"
        """Where versions are put that are on their way in."""
        try:
            for part in (self._blobs, self._versions, self.staging_folder):
                part.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._lock.close()
                raise
        except BlockingIOError as error:
            raise StoreError(f"another worker uses the state folder {folder}") from error
        except OSError as error:
            raise StoreError(
                f"the state folder {folder} cannot be used: {error.strerror}"
            ) from error
        # What a killed worker has left.
        for left in (*self.staging_folder.iterdir(), *self._versions.glob(".*")):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    def close(self) -> None:
        """Let another worker have the folder."""
        self._lock.close()

    # --- reading

    def has(self, digest: str) -> bool:
        """Whether a blob is there."""
        return (self._blobs / digest).is_file()

    def ids(self) -> list[str]:
        """Ids of the versions, the latest first."""
        folders = [path for path in self._versions.iterdir() if not path.name.startswith(".")]
        return [path.name for path in sorted(folders, key=_received, reverse=True)]

    def read(self, version: str) -> StoredVersion:
        """What is known of a version.

        Raises:
            CheckpointError: it is not there, or damaged.
        """
        folder = self._versions / version
        try:
            files = VersionFiles.parse(
                {
                    path.name: path.read_bytes()
                    for path in folder.iterdir()
                    if path.name != _RECEIVED
                }
            )
            received = _received(folder)
            size = sum((self._blobs / digest).stat().st_size for digest in files.blobs)
        except OSError as error:
            raise CheckpointError(
                f"version {version} in {self.folder}: {error.strerror}"
            ) from error
        if files.version != version:
            raise CheckpointError(f"{folder} holds version {files.version}")
        return StoredVersion(files, received, size)

    def _digests(self, version: str) -> set[str]:
        try:
            stated = json.loads((self._versions / version / MANIFEST).read_bytes())
        except (OSError, ValueError) as error:
            raise CheckpointError(f"version {version} in {self.folder}: {error}") from error
        manifest = Manifest.parse(stated)
        return {manifest.tokenizer_sha256} | {e.sha256 for e in manifest.tensors.values()}

    def holds(self, version: str) -> bool:
        """Whether a version is there with all its blobs; their digests are not looked at."""
        try:
            self.read(version)
        except CheckpointError:
            return False
        return True

    def parts(self, version: str) -> VersionParts:
        """A version with its blobs; their digests are for the reader to verify.

        Raises:
            CheckpointError: it is not there, or damaged.
        """
        return VersionParts(self.read(version).files, self.blob)

    def blob(self, digest: str) -> Blob:
        """The bytes of a blob.

        Raises:
            CheckpointError: it cannot be read.
        """
        try:
            return read_blob(self._blobs / digest)
        except OSError as error:
            raise CheckpointError(f"blob {digest} in {self.folder}: {error.strerror}") from error

    def remove_blob(self, digest: str) -> None:
        """Remove a blob, so that it is asked for anew."""
        (self._blobs / digest).unlink(missing_ok=True)

    def remove_damaged(self, version: str) -> None:
        """Remove those blobs of a version that are not what their digests say."""
        with contextlib.suppress(CheckpointError):
            for digest in self._digests(version):
                with contextlib.suppress(CheckpointError):
                    if hashlib.sha256(self.blob(digest)).hexdigest() != digest:
                        self.remove_blob(digest)

    def pointers(self) -> Pointers | None:
        """Which version is live; None in a new folder.

        Raises:
            StoreError: `live.json` is damaged.
        """
        try:
            return Pointers.model_validate_json(self._pointers.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise StoreError(
                f"{self._pointers} is damaged; remove it to start with the configured model"
            ) from error

    # --- writing

    def add(self, parts: VersionParts, staging: Staging | None = None) -> None:
        """Take a version in.

        Args:
            parts: the version; blobs that are neither there nor in `staging` are written.
            staging: blobs that are moved from there.

        Raises:
            OSError: it cannot be written; `ENOSPC` when the disk is full.
        """
        version = parts.files.version
        for digest in parts.files.blobs:
            if self.has(digest):
                continue
            staged = staging.path(digest) if staging else None
            if staged is None or not staged.is_file():
                staged = self.staging_folder / digest
                write_synced(staged, parts.read(digest))
            staged.replace(self._blobs / digest)
        _sync_folder(self._blobs)
        if self.holds(version):
            return
        if (self._versions / version).is_dir():  # damaged: what comes now is whole
            self._remove(version)
        partial = self._versions / f".{version}"
        shutil.rmtree(partial, ignore_errors=True)  # from when there was no room for it
        partial.mkdir()
        for name, content in parts.files.files.items():
            write_synced(partial / name, content)
        write_synced(partial / _RECEIVED, f"{time.time()}\n".encode())
        partial.replace(self._versions / version)
        _sync_folder(self._versions)

    def point(self, pointers: Pointers) -> None:
        """Note which version is live.

        Raises:
            OSError: it cannot be written; what was noted before still is.
        """
        staged = self._pointers.with_suffix(".partial")
        write_synced(staged, pointers.model_dump_json().encode() + b"\n")
        staged.replace(self._pointers)
        _sync_folder(self.folder)

    def prune(self, needed: Collection[str]) -> None:
        """Remove the oldest versions over the bound, and blobs that no version has.

        Args:
            needed: ids of versions that stay in any case.
        """
        ids = self.ids()
        spare = [version for version in ids if version not in needed]
        for version in spare[max(0, self._keep - (len(ids) - len(spare))) :]:
            self._remove(version)
        used: set[str] = set()
        for version in self.ids():
            try:
                used |= self._digests(version)
            except CheckpointError:  # damaged
                if version in needed:  # which blobs are its own cannot be known
                    return
                self._remove(version)
        for path in self._blobs.iterdir():
            if path.name not in used:
                path.unlink(missing_ok=True)

    def _remove(self, version: str) -> None:
        # Under another name first: half a folder would be taken for the version.
        doomed = self._versions / f".{version}"
        shutil.rmtree(doomed, ignore_errors=True)
        (self._versions / version).replace(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def read_blob(file: Path) -> bytearray:
    """All bytes of a file, which are the caller's own: a tensor can be made of them as they are."""
    data = bytearray(file.stat().st_size)
    with file.open("rb", buffering=0) as stream:
        view, read = memoryview(data), 0
        while count := stream.readinto(view[read:]):
            read += count
    return data[:read] if read < len(data) else data


def write_synced(file: Path, data: Blob) -> None:
    """Write a file, down to the disk."""
    with file.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def free_bytes(folder: Path) -> int:
    """Room on the disk of a folder, less a margin."""
    return max(0, shutil.disk_usage(folder).free - _MARGIN_BYTES)


def is_full(error: OSError) -> bool:
    """Whether a disk or a quota has no room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _received(folder: Path) -> float:
    with contextlib.suppress(OSError, ValueError):
        return float((folder / _RECEIVED).read_text())
    return 0.0


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
