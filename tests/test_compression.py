"""Gzip and zstd: told by the data, whole or damaged, and written as equal bytes."""

import gzip
import io
import random

import pytest
from read_files import COMPRESS, ROWS, TEXTS, encoded, read, read_to_fault, saved
from twinhead.client.files.compression import compressed, decompressed

DATA = b"".join(b"%d %x\n" % (n, random.Random(n).getrandbits(200)) for n in range(90_000))


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("name", COMPRESS)
def test_compression_is_told_by_the_data_and_not_by_the_name(tmp_path, name, ending):
    data = COMPRESS[ending](encoded("csv", ROWS))
    assert read(saved(tmp_path, f"in.csv{name}", data))[0] == TEXTS


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_members_of_a_file_follow_each_other(tmp_path, ending):
    parts = [b"one\n", b"", b"two\nthr", b"ee\n"]
    path = saved(tmp_path, f"in.txt{ending}", b"".join(map(COMPRESS[ending], parts)))
    assert read(path)[0] == ["one", "two", "three"]


def test_frames_that_are_to_be_skipped_are_skipped(tmp_path):
    """As pzstd writes them."""
    frame = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    data = COMPRESS[".zst"](b"one\n") + frame + COMPRESS[".zst"](b"two\n")
    assert read(saved(tmp_path, "in.txt.zst", data))[0] == ["one", "two"]


def damaged(ending: str, data: bytes, damage: str) -> bytes:
    """Compressed data that is cut off, damaged, or followed by something else."""
    pieces = [data[start : start + 300_000] for start in range(0, len(data), 300_000)]
    whole = b"".join(map(COMPRESS[ending], pieces))
    match damage:
        case "cut off":
            return whole[: len(whole) // 2]
        case "nonsense":
            return whole + COMPRESS[ending](data)[:10] + b"\xff" * 100
        case "checksum":
            return whole[:-8] + bytes(8)
    return whole + b"something else\n" * 9


@pytest.mark.parametrize(
    ("ending", "damage"),
    [
        (".gz", "cut off"),
        (".gz", "nonsense"),
        (".gz", "checksum"),
        (".gz", "followed"),
        (".zst", "cut off"),
        (".zst", "nonsense"),
        (".zst", "followed"),
    ],
)
def test_damage_is_told_after_the_rows_before_it(tmp_path, ending, damage):
    noise = random.Random(4)
    words = [f"{noise.getrandbits(64):x}" for _ in range(50_000)]
    data = damaged(ending, encoded("csv", [{"text": word} for word in words]), damage)
    texts, message = read_to_fault(saved(tmp_path, f"in.csv{ending}", data))
    assert len(texts) > 5000
    assert texts == words[: len(texts)]
    name = {".gz": "gzip", ".zst": "zstd"}[ending]
    assert f"the {name} data is cut off or damaged after line {len(texts) + 1}" in message


def written(name: str | None, pieces: list[bytes]) -> bytes:
    raw = io.BytesIO()
    stream = compressed(raw, name)
    for piece in pieces:
        stream.write(piece)
    if stream is not raw:
        stream.close()
    return raw.getvalue()  # it is not closed


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_equal_data_makes_equal_bytes_however_it_is_cut(name):
    data = DATA * (2 if name == "zstd" else 1)
    assert len(data) > 8 << 20 or name != "zstd"  # several frames
    whole = written(name, [data])
    pieces = [data[start : start + 77_777] for start in range(0, len(data), 77_777)]
    assert written(name, pieces) == whole
    assert decompressed(io.BytesIO(whole)).read() == data
    assert len(whole) < len(data)
    assert written(name, []) == written(name, [b""])
    assert decompressed(io.BytesIO(written(name, []))).read() == b""


def test_gzip_has_neither_a_name_nor_a_time():
    data = written("gzip", [DATA])
    assert data[3:8] == bytes(5)
    assert gzip.decompress(data) == DATA


def test_without_a_compression_data_is_written_as_it_is():
    assert written(None, [b"one", b"two"]) == b"onetwo"
