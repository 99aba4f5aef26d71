"""Versions published in a folder or under an object-store prefix, for workers that follow it.

    blobs/<sha256>              tensors and tokenizers, each once however many versions have it
    versions/<version id>.json  the small files of a version
    live.json                   which version is to be live

Nothing but `live.json` is ever written over, and it is written last: whoever reads it finds what it
names. Anything that fsspec knows will do as a place.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from .errors import PublishError
from .version_parts import Blob, VersionFiles, VersionParts

_LIVE = "live.json"
_VERSION = r"^[0-9a-f]{16}$"
_CHUNK_BYTES = 1 << 20
# Of small files; a version's are bounded one by one when they are parsed.
_TEXT_BYTES = 64 << 20


class Published:
    """A place where versions are published."""

    def __init__(self, uri: str) -> None:
        """Point at a place; nothing is read or written yet.

        Raises:
            PublishError: the address is none that fsspec knows, its package is missing, or its
                server cannot be reached.
        """
        self.uri = uri
        try:
            self._files, self._root = fsspec.core.url_to_fs(uri)
        except Exception as error:  # some connect at once, and raise what they like
            raise PublishError(f"{uri}: {_reason(error)}") from error

    def publish(self, parts: VersionParts) -> int:
        """Publish a version, and name it the live one.

        Returns:
            Bytes of the blobs that were not there.

        Raises:
            PublishError: the place cannot be written.
        """
        files, written = parts.files, 0
        try:
            self._files.makedirs(self._path("blobs"), exist_ok=True)
            self._files.makedirs(self._path("versions"), exist_ok=True)
            for digest in files.blobs:
                if not self._files.exists(self._path("blobs", digest)):
                    blob = parts.read(digest)
                    if hashlib.sha256(blob).hexdigest() != digest:  # it would never be replaced
                        raise PublishError("the weights were changed after they were read")
                    self._write(blob, "blobs", digest)
                    written += len(blob)
            texts = {name: content.decode() for name, content in files.files.items()}
            text = json.dumps({"files": texts}, ensure_ascii=False)
            self._write(text.encode(), "versions", f"{files.version}.json")
            self._write(json.dumps({"version": files.version}).encode() + b"\n", _LIVE)
        except PublishError:
            raise
        except Exception as error:  # what the packages of object stores raise is their own
            raise PublishError(f"{self.uri} cannot be written: {_reason(error)}") from error
        return written

    def live(self) -> str:
        """Id of the version that is to be live; empty where nothing is published yet.

        Raises:
            PublishError: the place cannot be read.
        """
        try:
            self._files.invalidate_cache()
            if not self._files.exists(self._path(_LIVE)):
                return ""
            version = str(json.loads(self._read(_LIVE)).get("version"))
        except Exception as error:
            raise PublishError(f"{self.uri} cannot be read: {_reason(error)}") from error
        if not re.fullmatch(_VERSION, version):
            raise PublishError(f"{self.uri}/{_LIVE} names no version: {version[:64]!r}")
        return version

    def files(self, version: str) -> VersionFiles:
        """The small files of a version.

        Raises:
            PublishError: they cannot be read.
            CheckpointError: they contradict themselves.
        """
        try:
            texts: Any = json.loads(self._read("versions", f"{version}.json"))["files"]
            files = {str(name): str(text).encode() for name, text in texts.items()}
        except Exception as error:
            raise PublishError(f"{self.uri}, version {version}: {_reason(error)}") from error
        found = VersionFiles.parse(files)
        if found.version != version:
            raise PublishError(f"{self.uri}: what is called {version} is {found.version}")
        return found

    def chunks(self, digest: str) -> Iterator[bytes]:
        """The bytes of a blob, piece by piece; they are for the reader to verify.

        Raises:
            PublishError: it cannot be read.
        """
        try:
            with self._files.open(self._path("blobs", digest), "rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    yield chunk
        except Exception as error:
            raise PublishError(f"{self.uri}, blob {digest}: {_reason(error)}") from error

    def _path(self, *parts: str) -> str:
        return "/".join([self._root.rstrip("/"), *parts])

    def _read(self, *parts: str) -> bytes:
        with self._files.open(self._path(*parts), "rb") as stream:
            content: bytes = stream.read(_TEXT_BYTES)
        return content

    def _write(self, data: Blob, *parts: str) -> None:
        path = self._path(*parts)
        if not isinstance(self._files, LocalFileSystem):  # an object appears when it is whole
            self._files.pipe_file(path, bytes(data))
            return
        partial = f"{path}.partial-{os.getpid()}"
        try:
            self._files.pipe_file(partial, bytes(data))
            os.replace(partial, path)  # noqa: PTH105 (fsspec's paths are texts)
        except BaseException:
            if self._files.exists(partial):
                self._files.rm_file(partial)
            raise


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
