"""Requests that nobody should send, what a worker must answer, and bytes that are no requests."""

import random
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import h2.config
import h2.connection
from twinhead.v1 import inference_service_pb2 as pb

OK, INVALID, EXHAUSTED = "OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"
PRECONDITION = "FAILED_PRECONDITION"
METHOD = "/twinhead.v1.InferenceService/Infer"
_MOST_SENTENCES = 1024
# Every plane of Unicode; surrogates are no text.
_PLANES = [(0x20, 0xD7FF), (0xE000, 0xFFFF), *((n << 16, (n << 16) + 0xFFFF) for n in range(1, 17))]
_ODD = (
    "\u0000\u0001\u0007\b\t\n\u000b\f\r\u001b\u007f\u0085\u00ad\u200b\u200d\u200e\u2028\u2029\u202e"
    "\u2066\ufe0f\ufeff\ufffd\ufffe\uffff\U000e0001"
)


@dataclass(frozen=True)
class Hostile:
    """A request as bytes."""

    kind: str
    data: bytes
    expected: frozenset[str]
    """Names of the gRPC codes that are right."""
    sentences: int = 0
    """How many there are, if it is answered."""


def requests(seed: int) -> Iterator[Hostile]:
    """Requests without end, the same for the same seed."""
    rng = random.Random(seed)
    kinds = list(_KINDS.items())
    weights = [weight for _, (_, weight) in kinds]
    while True:
        ((kind, (make, _)),) = rng.choices(kinds, weights)
        data, expected, sentences = make(rng)
        yield Hostile(kind, data, frozenset(expected), sentences)


_Made = tuple[bytes, set[str], int]


def _of(*sentences: str, **fields: object) -> bytes:
    return pb.InferRequest(sentences=sentences, **fields).SerializeToString()


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field, whatever is in it."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _text(rng: random.Random, most: int) -> str:
    return "".join(chr(rng.randint(*rng.choice(_PLANES))) for _ in range(rng.randint(1, most)))


def _plain(rng: random.Random) -> _Made:
    count = rng.randint(1, 8)
    words = ["the", "match", "was", "a", "delight", "shares", "fell", "on", "Monday", "!", "?"]
    sentences = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(count)]
    return _of(*sentences), {OK}, count


def _planes(rng: random.Random) -> _Made:
    count = rng.randint(1, 4)
    return _of(*(_text(rng, 60) for _ in range(count))), {OK}, count


def _control(rng: random.Random) -> _Made:
    count = rng.randint(1, 6)
    sentences = ["".join(rng.choices(_ODD, k=rng.randint(0, 30))) for _ in range(count)]
    return _of(*sentences), {OK}, count


def _repeated(rng: random.Random) -> _Made:
    """Combining marks, joined emoji, long words: where tokenizers go slowly."""
    unit = rng.choice(
        [
            "e\u0301",
            "\u0300",
            "👩\u200d",
            "\ufdfa",
            "\U0001d518",
            "#",
            "aa",
            "漢",
            "\u0627",
            "\u0e33",
        ]
    )
    return _of(unit * rng.randint(100, 5000)), {OK}, 1


def _two_megabytes(rng: random.Random) -> _Made:
    unit = rng.choice(["word ", "x", "漢", "😀", " ", "e\u0301"])
    return _of(unit * (2_000_000 // len(unit.encode()))), {OK}, 1


def _deep(rng: random.Random) -> _Made:
    count = rng.choice([1000, _MOST_SENTENCES])
    return _of(*(["ok"] * count)), {OK, EXHAUSTED}, count


def _too_deep(rng: random.Random) -> _Made:
    return _of(*(["ok"] * rng.choice([_MOST_SENTENCES + 1, 5000, 100_000]))), {INVALID}, 0


def _wrong_enum(rng: random.Random) -> _Made:
    value = rng.choice([3, 99, 2**31 - 1, -1])
    match rng.randrange(3):
        case 0:
            return _of("a", truncation=value), {INVALID}, 0
        case 1:
            return _of("a", service_class=value), {INVALID}, 0
        case _:
            value = 77 if value == 3 else value
            outputs = pb.OutputSelection(embedding=pb.EmbeddingOptions(format=value))
            return _of("a", outputs=outputs), {INVALID}, 0


def _wrong_selection(rng: random.Random) -> _Made:
    outputs = rng.choice(
        [
            pb.OutputSelection(tasks=["no such task"]),
            pb.OutputSelection(tasks=[_text(rng, 50)]),
            pb.OutputSelection(tasks=["topic", "topic"]),
            pb.OutputSelection(tasks=["topic"] * 1000),
            pb.OutputSelection(tasks=["topic"], skip_tasks=True),
            pb.OutputSelection(embedding=pb.EmbeddingOptions(dimensions=385)),
            pb.OutputSelection(embedding=pb.EmbeddingOptions(dimensions=2**32 - 1)),
            pb.OutputSelection(skip_tasks=True, embedding=pb.EmbeddingOptions(format=1)),
            pb.OutputSelection(embedding=pb.EmbeddingOptions(format=5, dimensions=7)),
        ]
    )
    return _of("a", outputs=outputs), {INVALID}, 0


def _nothing(rng: random.Random) -> _Made:
    return rng.choice([b"", _of(service_class=1), b"\x18\x01"]), {INVALID}, 0


def _pinned(rng: random.Random) -> _Made:
    version = rng.choice(["0" * 16, "../../etc/passwd", "\u0000", _text(rng, 100), "x" * 100_000])
    return _of("a", model_version=version), {PRECONDITION}, 0


def _surrogates(rng: random.Random) -> _Made:
    """Text that is no UTF-8: lone surrogates as bytes, overlong forms, cut sequences."""
    wrong = rng.choice(
        [b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xe2\x82"]
    )
    return _field(1, b"good ") + _field(1, b"a" + wrong + b"b"), {INVALID}, 0


def _cut(rng: random.Random) -> _Made:
    whole = _of("The whole of this sentence is never sent.", "Nor this.")
    # Between two fields it would be a whole request.
    return whole[: rng.randint(1, 30)], {INVALID}, 0


def _noise(rng: random.Random) -> _Made:
    # Some noise is a request, by chance.
    return rng.randbytes(rng.randint(1, 300)), {INVALID, OK, PRECONDITION}, 0


def _unknown_fields(rng: random.Random) -> _Made:
    extra = b"".join(_field(rng.randint(50, 9000), rng.randbytes(50)) for _ in range(20))
    return _of("a", "b") + extra, {OK}, 2


def _nested(rng: random.Random) -> _Made:
    """Groups in groups, deeper than parsers go, and messages in messages."""
    depth = rng.choice([50, 90])
    if rng.random() < 0.5:
        return b"\xa3\x06" * 5000 + _of("a"), {INVALID}, 0
    inner = b""
    for _ in range(depth):
        inner = _field(3, inner)
    return _of("a") + _field(2, inner), {OK, INVALID}, 0


def _too_large(rng: random.Random) -> _Made:
    return _of("x" * (17 << 20)), {EXHAUSTED}, 0


_KINDS: dict[str, tuple[Callable[[random.Random], _Made], float]] = {
    "plain": (_plain, 30),
    "planes": (_planes, 15),
    "control characters": (_control, 10),
    "repeated units": (_repeated, 3),
    "2 MB sentence": (_two_megabytes, 0.5),
    "full batch": (_deep, 0.1),
    "too many sentences": (_too_deep, 2),
    "wrong enum": (_wrong_enum, 8),
    "wrong selection": (_wrong_selection, 8),
    "nothing": (_nothing, 3),
    "pinned version": (_pinned, 4),
    "not UTF-8": (_surrogates, 8),
    "cut": (_cut, 6),
    "noise": (_noise, 8),
    "unknown fields": (_unknown_fields, 4),
    "nested": (_nested, 2),
    "too large": (_too_large, 0.05),
}


def raw_connections(seed: int) -> Iterator[tuple[str, bytes]]:
    """What to write into a connection: kind, bytes; without end."""
    rng = random.Random(seed)
    kinds = list(_RAW.items())
    while True:
        kind, make = rng.choice(kinds)
        yield kind, make(rng)


def attack(target: str, data: bytes, seconds: float = 0.5) -> None:
    """Write bytes into a connection, read what comes for at most so long, and leave."""
    host, _, port = target.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.settimeout(seconds)
        try:
            connection.sendall(data)
            while connection.recv(65_536):
                pass
        except OSError:  # hung up on, or silence: both are fine answers
            pass


def call_bytes(body: bytes, headers: dict[str, str] | None = None, *, end: bool = True) -> bytes:
    """An HTTP/2 connection with one call, as bytes: the preface, headers and a body."""
    connection, _ = _opened(headers)
    for start in range(0, len(body), 16_000):
        connection.send_data(1, body[start : start + 16_000])
    if end:
        connection.end_stream(1)
    return connection.data_to_send()


def _opened(headers: dict[str, str] | None = None) -> tuple[h2.connection.H2Connection, int]:
    config = h2.config.H2Configuration(
        header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False
    )
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    sent = {
        ":method": "POST",
        ":scheme": "http",
        ":path": METHOD,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
        **(headers or {}),
    }
    connection.send_headers(1, list(sent.items()))
    return connection, 1


def message(data: bytes, length: int | None = None, flag: int = 0) -> bytes:
    """A message as gRPC frames it, or as it should not."""
    return struct.pack(">BI", flag, len(data) if length is None else length) + data


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = _frame(4, 0, 0, b"")
_RAW: dict[str, Callable[[random.Random], bytes]] = {
    "noise": lambda rng: rng.randbytes(rng.randint(1, 4000)),
    "HTTP/1": lambda rng: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": lambda rng: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500),
    "preface, then noise": lambda rng: _PREFACE + _SETTINGS + rng.randbytes(rng.randint(1, 4000)),
    "half a preface": lambda rng: _PREFACE[: rng.randint(1, 23)],
    "random frames": lambda rng: (
        _PREFACE
        + _SETTINGS
        + b"".join(
            _frame(
                rng.randrange(12),
                rng.randrange(256),
                rng.randrange(9),
                rng.randbytes(rng.randrange(99)),
            )
            for _ in range(20)
        )
    ),
    "length that lies": lambda rng: call_bytes(message(b"abc", rng.choice([2, 100, 2**32 - 1]))),
    "compressed that is not": lambda rng: call_bytes(
        message(rng.randbytes(50), flag=rng.choice([1, 2, 255])), {"grpc-encoding": "gzip"}
    ),
    "unknown encoding": lambda rng: call_bytes(message(b"", flag=1), {"grpc-encoding": "none"}),
    "no content type": lambda rng: call_bytes(message(b""), {"content-type": "text/html"}),
    "GET": lambda rng: call_bytes(message(b""), {":method": "GET"}),
    "odd path": lambda rng: call_bytes(
        message(b""), {":path": rng.choice(["", "/", "//", "/x", "/../..", "x" * 4000])}
    ),
    "odd deadline": lambda rng: call_bytes(
        message(_of("a")), {"grpc-timeout": rng.choice(["-1S", "0n", "99999999H", "x", "1"])}
    ),
    "odd metadata": lambda rng: call_bytes(
        message(_of("a")),
        {"authorization": "x" * 3000, "x-request-id": "\x7f ü", "a-bin": "!!!", "traceparent": "z"},
    ),
    "two messages": lambda rng: call_bytes(message(_of("a")) * 2),
    "no message": lambda rng: call_bytes(b""),
    "never ends": lambda rng: call_bytes(message(b"abc", 1000), end=False),
    "many resets": lambda rng: _resets(rng.randint(50, 300)),
    "many pings": lambda rng: _PREFACE + _SETTINGS + _frame(6, 0, 0, b"12345678") * 500,
    "many settings": lambda rng: _PREFACE + _SETTINGS * 500,
    "large header": lambda rng: call_bytes(message(b""), {"x-large": "y" * 60_000}),
}


def _resets(count: int) -> bytes:
    """Calls that are taken back as soon as they are made (CVE-2023-44487)."""
    connection, _ = _opened()
    connection.reset_stream(1)
    data = connection.data_to_send()
    for number in range(count):
        stream = 2 * number + 3
        # Every header from the table that the first call has filled.
        data += _frame(1, 4, stream, b"\xc2\xc1\xc0\xbf\xbe\x83") + _frame(
            3, 0, stream, b"\0\0\0\x08"
        )
    return data
