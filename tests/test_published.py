"""Published versions: what is written, what is read back, and what is damaged."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from small_bert import small_checkpoint, write_small_bert
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.errors import CheckpointError, PublishError
from twinhead.model.published import Published
from twinhead.model.version_parts import VersionParts, write_folder

BIAS = "heads.mood.output.bias"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> VersionParts:
    return VersionParts.of(small_checkpoint(write_small_bert(tmp_path_factory.mktemp("encoder"))))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> VersionParts:
    """With one small tensor that the first has not."""
    made = small_checkpoint(write_small_bert(tmp_path_factory.mktemp("encoder")))
    with torch.no_grad():
        made.network.get_parameter(BIAS).add_(1)
    return VersionParts.of(Checkpoint.create(made.network, made.tokenizer))


@pytest.fixture(params=["folder", "url", "memory"])
def uri(request: pytest.FixtureRequest, memory: fsspec.AbstractFileSystem, tmp_path: Path) -> str:
    """A place with nothing in it; all kinds of it are to be alike."""
    if request.param == "memory":
        return "memory://models/mine"
    return f"{'file://' if request.param == 'url' else ''}{tmp_path}/models/mine"


def content(uri: str) -> dict[str, bytes]:
    """All that lies in a place, by path."""
    files, root = fsspec.core.url_to_fs(uri)
    found = files.find(root) if files.exists(root) else []
    return {path.removeprefix(root + "/"): files.cat_file(path) for path in found}


def put(uri: str, path: str, data: bytes) -> None:
    files, root = fsspec.core.url_to_fs(uri)
    files.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
    files.pipe_file(f"{root}/{path}", data)


def remove(uri: str, path: str) -> None:
    files, root = fsspec.core.url_to_fs(uri)
    files.rm_file(f"{root}/{path}")


def blob_of(published: Published, digest: str) -> bytes:
    return b"".join(published.chunks(digest))


def size_of(parts: VersionParts) -> int:
    return sum(len(parts.read(digest)) for digest in parts.files.blobs)


# --- publishing


def test_what_is_written(uri, first):
    assert Published(uri).publish(first) == size_of(first)
    found = content(uri)
    version = first.files.version
    assert set(found) == {
        "live.json",
        f"versions/{version}.json",
        *(f"blobs/{digest}" for digest in first.files.blobs),
    }
    assert json.loads(found["live.json"]) == {"version": version}
    assert json.loads(found[f"versions/{version}.json"]) == {
        "files": {name: text.decode() for name, text in first.files.files.items()}
    }
    for digest in first.files.blobs:
        assert hashlib.sha256(found[f"blobs/{digest}"]).hexdigest() == digest


def test_what_is_read_back(uri, first, tmp_path):
    Published(uri).publish(first)
    published = Published(uri)
    assert published.live() == first.files.version
    files = published.files(first.files.version)
    assert files == first.files
    write_folder(tmp_path / "whole", VersionParts(files, lambda digest: blob_of(published, digest)))
    assert Checkpoint.load(tmp_path / "whole").version == first.files.version


def test_only_new_blobs_are_written(uri, first, second):
    Published(uri).publish(first)
    before = content(uri)
    assert Published(uri).publish(second) == 8  # two float32
    after = content(uri)
    version = second.files.version
    digest = second.files.manifest.tensors[BIAS].sha256
    assert after.keys() - before.keys() == {f"blobs/{digest}", f"versions/{version}.json"}
    # Nothing but the pointer is written over.
    assert {path for path in before if after[path] != before[path]} == {"live.json"}
    assert Published(uri).live() == version
    assert Published(uri).files(first.files.version) == first.files


def test_a_blob_that_is_there_is_not_even_read(uri, first):
    Published(uri).publish(first)

    def unread(digest: str) -> bytes:
        raise AssertionError(f"{digest} is there already")

    before = content(uri)
    assert Published(uri).publish(VersionParts(first.files, unread)) == 0
    assert content(uri) == before


def test_back_to_a_version_that_was_published_before(uri, first, second):
    published = Published(uri)
    for parts in (first, second, first):
        published.publish(parts)
    assert published.live() == first.files.version
    assert published.files(second.files.version) == second.files


def test_one_that_follows_sees_what_is_published_meanwhile(uri, first, second):
    follower = Published(uri)
    assert follower.live() == ""
    for parts in (first, second):
        Published(uri).publish(parts)
        assert follower.live() == parts.files.version
        assert follower.files(follower.live()) == parts.files


def test_a_large_blob_comes_in_pieces(uri):
    data = bytes(range(256)) * (10 << 10)  # two and a half pieces
    put(uri, f"blobs/{'0' * 64}", data)
    pieces = list(Published(uri).chunks("0" * 64))
    assert b"".join(pieces) == data
    assert [len(piece) for piece in pieces] == [1 << 20, 1 << 20, 1 << 19]


def test_texts_that_are_not_ascii(uri, tmp_path):
    made = small_checkpoint(write_small_bert(tmp_path / "encoder"))
    provenance = {"by": "Jürgen 日本語 🙂"}
    parts = VersionParts.of(Checkpoint.create(made.network, made.tokenizer, provenance=provenance))
    Published(uri).publish(parts)
    assert Published(uri).files(parts.files.version).provenance == provenance


def test_a_relative_folder(first, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    published = Published("models")
    published.publish(first)
    monkeypatch.chdir("/")
    assert published.live() == first.files.version
    assert (tmp_path / "models" / "live.json").is_file()


def test_a_slash_at_the_end_is_the_same_place(uri, first):
    Published(uri + "/").publish(first)
    assert Published(uri).live() == first.files.version


# --- what is interrupted


class Interrupted(BaseException):
    """As a KeyboardInterrupt is no Exception."""


def interrupted(parts: VersionParts, after: int) -> VersionParts:
    """The same version, of which only so many blobs can be read."""
    left = after

    def read(digest: str) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Interrupted
        return parts.read(digest)

    return VersionParts(parts.files, read)


def assert_whole(published: Published, parts: VersionParts) -> None:
    assert published.live() == parts.files.version
    assert published.files(parts.files.version) == parts.files
    for digest in parts.files.blobs:
        assert hashlib.sha256(blob_of(published, digest)).hexdigest() == digest


@pytest.mark.parametrize("blobs", [0, 1, 20])
def test_an_interrupted_publication_is_not_visible(uri, first, blobs):
    with pytest.raises(Interrupted):
        Published(uri).publish(interrupted(first, blobs))
    # What has come is there for the next one, but nothing names it.
    assert len(content(uri)) == blobs
    assert all(path.startswith("blobs/") for path in content(uri))
    assert Published(uri).live() == ""
    with pytest.raises(PublishError, match=first.files.version):
        Published(uri).files(first.files.version)
    assert 0 < Published(uri).publish(first) <= size_of(first)
    assert_whole(Published(uri), first)


def test_an_interrupted_publication_leaves_the_live_version(uri, first, second):
    Published(uri).publish(first)
    before = content(uri)
    with pytest.raises(Interrupted):
        Published(uri).publish(interrupted(second, 0))
    assert content(uri) == before
    assert_whole(Published(uri), first)
    Published(uri).publish(second)
    assert_whole(Published(uri), second)


@pytest.mark.parametrize("kept", ["blobs/", "versions/", "live.json"])
def test_a_write_that_breaks_off_leaves_no_half_file(first, second, tmp_path, monkeypatch, kept):
    """On a disk that becomes full a file has only its beginning."""
    uri = str(tmp_path / "models")
    Published(uri).publish(first)
    before = content(uri)
    published = Published(uri)
    files = fsspec.core.url_to_fs(uri)[0]
    write = files.pipe_file

    def break_off(path: str, data: bytes, **options: Any) -> None:
        if kept in path:
            write(path, data[: len(data) // 2], **options)
            raise OSError(28, "No space left on device")
        write(path, data, **options)

    monkeypatch.setattr(files, "pipe_file", break_off)
    with pytest.raises(PublishError, match="No space left"):
        published.publish(second)
    monkeypatch.undo()
    after = content(uri)
    assert before.items() <= after.items()
    assert not [path for path in after if "partial" in path]
    assert published.live() == first.files.version
    published.publish(second)
    assert published.live() == second.files.version
    assert published.files(second.files.version) == second.files


def test_a_process_that_is_killed_in_the_middle_of_a_file(first, tmp_path):
    """For real: it gets no chance to tidy up."""
    uri = str(tmp_path / "models")
    program = """
import os, signal, sys
from types import SimpleNamespace
import fsspec
from twinhead.model.published import Published

uri, digest, blob = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
files = fsspec.core.url_to_fs(uri)[0]

def half(path, data):
    with open(path, "wb") as stream:
        stream.write(data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

files.pipe_file = half
parts = SimpleNamespace(
    files=SimpleNamespace(blobs={digest: len(blob)}), read=lambda digest: blob
)
Published(uri).publish(parts)
"""
    digest = first.files.manifest.tensors[BIAS].sha256
    blob = bytes(first.read(digest))
    done = subprocess.run([sys.executable, "-c", program, uri, digest, blob.hex()], check=False)
    assert done.returncode == -9
    (left,) = content(uri).values()
    assert left == blob[: len(blob) // 2]
    assert Published(uri).live() == ""
    with pytest.raises(PublishError):
        blob_of(Published(uri), digest)
    # And what it left does not pass for the blob afterwards.
    assert Published(uri).publish(first) == size_of(first)
    assert hashlib.sha256(blob_of(Published(uri), digest)).hexdigest() == digest


# --- what cannot be read


def test_an_empty_place_has_no_live_version(uri):
    assert Published(uri).live() == ""
    assert content(uri) == {}


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "cannot be read"),
        (b"{", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"null", "cannot be read"),
        (b"[" * 200_000, "cannot be read"),
        (b"{}", "names no version"),
        (b'{"version": null}', "names no version"),
        (b'{"version": ""}', "names no version"),
        (b'{"version": 1234567890123456}', None),  # its digits may be those of a version
        (b'{"version": "../../../etc/pass"}', "names no version"),
        (b'{"version": "0123456789abcde"}', "names no version"),
        (b'{"version": "0123456789abcdef0"}', "names no version"),
        (b'{"version": "0123456789abcdef\\n"}', "names no version"),
        (b'{"version": "0123456789ABCDEF"}', "names no version"),
        (b'{"version": "' + b"x" * 100_000 + b'"}', "names no version"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_damaged_pointer(uri, data, named):
    put(uri, "live.json", data)
    if named is None:
        assert Published(uri).live() == "1234567890123456"
        return
    with pytest.raises(PublishError, match=named) as caught:
        Published(uri).live()
    assert uri in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"files": null}',
        b'{"files": []}',
        b'{"files": {"twinhead.json": "\\ud800"}}',
        b"[" * 200_000,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_damaged_version(uri, first, data):
    version = first.files.version
    Published(uri).publish(first)
    put(uri, f"versions/{version}.json", data)
    with pytest.raises(PublishError, match=version):
        Published(uri).files(version)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({}, "twinhead.json is missing"),
        ({"twinhead.json": "{}", "manifest.json": "{}"}, "twinhead.json has format version None"),
        ({"twinhead.json": None, "manifest.json": "{}"}, "twinhead.json"),
        ({"../../etc/passwd": ""}, "is no file of a version"),
    ],
    ids=str,
)
def test_a_version_of_other_files(uri, files, named):
    put(uri, f"versions/{'0' * 16}.json", json.dumps({"files": files}).encode())
    with pytest.raises((CheckpointError, PublishError), match=named):
        Published(uri).files("0" * 16)


def test_a_version_under_the_name_of_another(uri, first, second):
    published = Published(uri)
    published.publish(first)
    published.publish(second)
    one, two = first.files.version, second.files.version
    put(uri, f"versions/{one}.json", content(uri)[f"versions/{two}.json"])
    with pytest.raises(PublishError, match=f"what is called {one} is {two}"):
        published.files(one)


def test_a_version_that_is_not_there(uri, first):
    Published(uri).publish(first)
    with pytest.raises(PublishError, match="0" * 16):
        Published(uri).files("0" * 16)


def test_a_blob_that_is_not_there(uri, first):
    Published(uri).publish(first)
    digest = first.files.manifest.tensors[BIAS].sha256
    remove(uri, f"blobs/{digest}")
    with pytest.raises(PublishError, match=digest):
        blob_of(Published(uri), digest)
    # Whoever publishes the version again brings it back.
    assert Published(uri).publish(first) == 8
    assert hashlib.sha256(blob_of(Published(uri), digest)).hexdigest() == digest


def test_a_damaged_blob_comes_as_it_is(uri, first):
    """It is for the reader to verify: who reads in pieces does so along the way."""
    Published(uri).publish(first)
    digest = first.files.manifest.tensors[BIAS].sha256
    put(uri, f"blobs/{digest}", b"damaged")
    assert blob_of(Published(uri), digest) == b"damaged"


@pytest.mark.parametrize(
    "uri",
    [
        "nope://models",
        "zip://models::/nowhere/at/all.zip",
        "ftp://127.0.0.1:1/models",  # it connects at once, and nobody listens there
    ],
)
def test_an_address_of_no_place(uri):
    with pytest.raises(PublishError) as caught:
        Published(uri)
    assert str(caught.value).startswith(f"{uri}: ")


def test_a_place_that_cannot_be_written(first, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PublishError, match="cannot be written"):
        Published(str(tmp_path / "file")).publish(first)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_in_place_of_the_pointer(tmp_path):
    (tmp_path / "live.json").mkdir()
    with pytest.raises(PublishError, match="cannot be read"):
        Published(str(tmp_path)).live()
