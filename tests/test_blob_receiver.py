"""Blobs come in chunks: in order, no longer and no shorter than stated, with the right digest."""

import asyncio
import errno
import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from twinhead.server import blob_receiver
from twinhead.server.blob_receiver import Chunk, receive
from twinhead.server.errors import BlobDamagedError, InvalidRequestError
from twinhead.server.version_store import Staging


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


ONE, TWO, EMPTY = b"first blob", b"and the second", b""


class Sender:
    """Gives chunks, and knows what it was asked for and whether it was closed."""

    def __init__(self, *chunks: Chunk) -> None:
        self._left = list(chunks)
        self.asked = None
        self.closed = False

    async def fetch(self, digests):
        self.asked = list(digests)
        try:
            while self._left:
                yield self._left.pop(0)
        finally:
            self.closed = True

    @property
    def left(self) -> int:
        return len(self._left)


def chunks_of(data: bytes, size: int) -> list[Chunk]:
    starts = range(0, max(len(data), 1), size)
    return [
        Chunk(digest_of(data), data[start : start + size], last=start == starts[-1])
        for start in starts
    ]


@pytest.fixture
def threads():
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def staging(tmp_path):
    return Staging(tmp_path / "staging")


@pytest.fixture
def take(staging, threads):
    """Receive what a sender has; `wanted` are blobs, or pairs of a digest and a size."""

    async def receive_from(sender, *wanted):
        pairs = [(digest_of(w), len(w)) if isinstance(w, bytes) else w for w in wanted]
        return await receive(sender.fetch, dict(pairs), staging, threads)

    return receive_from


@pytest.mark.parametrize("size", [1, 4, 100])
async def test_blobs_come_whole_in_their_order(take, staging, size):
    sender = Sender(*chunks_of(ONE, size), *chunks_of(EMPTY, size), *chunks_of(TWO, size))
    assert await take(sender, ONE, EMPTY, TWO) == len(ONE) + len(TWO)
    assert sender.asked == [digest_of(ONE), digest_of(EMPTY), digest_of(TWO)]
    for data in (ONE, EMPTY, TWO):
        assert staging.path(digest_of(data)).read_bytes() == data
    assert sender.closed


async def test_the_end_may_come_in_a_chunk_of_its_own(take, staging):
    sender = Sender(Chunk(digest_of(ONE), ONE, last=False), Chunk(digest_of(ONE), b"", last=True))
    assert await take(sender, ONE) == len(ONE)
    assert staging.path(digest_of(ONE)).read_bytes() == ONE


async def test_no_more_is_read_than_was_asked_for(take):
    sender = Sender(*chunks_of(ONE, 4), *chunks_of(TWO, 100))
    await take(sender, ONE)
    assert sender.left == 1  # the next step of the stream is not ours
    assert sender.closed


async def test_nothing_wanted(take, staging):
    assert await take(Sender()) == 0
    assert list(staging.folder.iterdir()) == []


async def test_a_tokenizer_is_as_long_as_it_is(take, staging):
    sender = Sender(*chunks_of(ONE, 3))
    assert await take(sender, (digest_of(ONE), None)) == len(ONE)
    assert staging.path(digest_of(ONE)).read_bytes() == ONE


async def test_a_tokenizer_has_a_bound_all_the_same(take, monkeypatch):
    monkeypatch.setattr(blob_receiver, "TOKENIZER_BYTES", 5)
    sender = Sender(*chunks_of(ONE, 3))
    with pytest.raises(InvalidRequestError, match="more bytes came"):
        await take(sender, (digest_of(ONE), None))
    assert sender.left == len(chunks_of(ONE, 3)) - 2


async def test_another_blob_than_asked_for(take):
    sender = Sender(*chunks_of(TWO, 100), *chunks_of(ONE, 100))
    with pytest.raises(InvalidRequestError) as caught:
        await take(sender, ONE, TWO)
    ((field, text),) = caught.value.violations
    assert field == "chunk"
    assert digest_of(ONE) in text
    assert digest_of(TWO) in text
    assert sender.closed


async def test_another_blob_in_the_middle_of_one(take):
    sender = Sender(chunks_of(ONE, 4)[0], *chunks_of(TWO, 100))
    with pytest.raises(InvalidRequestError, match="was to come"):
        await take(sender, ONE, TWO)


async def test_a_digest_of_any_length_makes_no_long_error(take):
    with pytest.raises(InvalidRequestError) as caught:
        await take(Sender(Chunk("x" * 100_000, ONE, last=True)), ONE)
    assert len(str(caught.value)) < 300


async def test_more_bytes_than_the_blob_has(take, staging):
    sender = Sender(
        Chunk(digest_of(ONE), ONE, last=False), Chunk(digest_of(ONE), b"more", last=True)
    )
    with pytest.raises(InvalidRequestError, match="more bytes came"):
        await take(sender, ONE)
    # What is too much is not written: a caller cannot fill the disk.
    assert staging.path(digest_of(ONE)).stat().st_size <= len(ONE)


async def test_a_blob_that_is_shorter_than_its_tensor(take):
    # The digest is right, and the description claims that there is more to it.
    with pytest.raises(InvalidRequestError, match="fewer bytes came"):
        await take(Sender(*chunks_of(ONE, 4)), (digest_of(ONE), len(ONE) + 1))


@pytest.mark.parametrize("chunks", [[], chunks_of(ONE, 4)[:1], chunks_of(ONE, 100)])
async def test_the_stream_ends_too_soon(take, chunks):
    with pytest.raises(InvalidRequestError, match=r"the stream ends before blob .* is whole"):
        await take(Sender(*chunks), ONE, TWO)


@pytest.mark.parametrize("data", [b"first clob", b"\0" * len(ONE)])
async def test_bytes_that_are_not_those_of_the_digest(take, data):
    sender = Sender(Chunk(digest_of(ONE), data, last=True), *chunks_of(TWO, 100))
    with pytest.raises(BlobDamagedError) as caught:
        await take(sender, ONE, TWO)
    assert digest_of(ONE) in str(caught.value)
    assert digest_of(data) in str(caught.value)
    assert sender.left == 1


async def test_a_full_disk_is_told_as_such(take, monkeypatch):
    def fsync(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(blob_receiver.os, "fsync", fsync)
    sender = Sender(*chunks_of(ONE, 4))
    with pytest.raises(OSError, match="No space left") as caught:
        await take(sender, ONE)
    assert caught.value.errno == errno.ENOSPC
    assert sender.closed


async def test_a_caller_who_leaves_closes_the_stream(staging, threads):
    waiting, closed = asyncio.Event(), asyncio.Event()

    async def fetch(digests):
        try:
            yield chunks_of(ONE, 4)[0]
            waiting.set()
            await asyncio.Event().wait()
        finally:
            closed.set()

    task = asyncio.create_task(receive(fetch, {digest_of(ONE): len(ONE)}, staging, threads))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
    staging.discard()
    assert not staging.folder.exists()
