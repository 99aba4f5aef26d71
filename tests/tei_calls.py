"""Calls of `tei.v1` without our code for its messages: bytes that were written down by hand."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status
from twinhead.protocols import tei_service_pb2_grpc as tei_grpc

# Wire types of protobuf.
VARINT, LENGTH, FLOAT = 0, 2, 5


class Stubs:
    """The services on a channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.info = tei_grpc.InfoStub(channel)
        self.embed = tei_grpc.EmbedStub(channel)
        self.predict = tei_grpc.PredictStub(channel)
        self.tokenize = tei_grpc.TokenizeStub(channel)
        self.rerank = tei_grpc.RerankStub(channel)


@contextmanager
def stubs(target: str) -> Iterator[Stubs]:
    with grpc.insecure_channel(target) as channel:
        yield Stubs(channel)


def refused(call: Callable[[], object]) -> tuple[str, str, list[str]]:
    """What a call fails with: code, reason, and the fields that are named."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    details = rpc_status.from_call(caught.value).details
    info, bad = ErrorInfo(), BadRequest()
    assert details[0].Unpack(info)
    assert info.domain == "twinhead"
    fields: list[str] = []
    if len(details) > 1 and details[1].Unpack(bad):
        fields = [violation.field for violation in bad.field_violations]
    return caught.value.code().name, info.reason, fields


def raw(channel: grpc.Channel, method: str, request: bytes) -> bytes:
    """The bytes that answer the bytes of a request."""
    return channel.unary_unary(method)(request)


def parsed(message: bytes) -> list[tuple[int, int, int | bytes]]:
    """Field number, wire type and value of each field of a message, in their order."""
    found: list[tuple[int, int, int | bytes]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == VARINT:
            found.append((number, kind, varint()))
            continue
        size = varint() if kind == LENGTH else 4
        found.append((number, kind, message[at : at + size]))
        at += size
    return found


def floats(packed: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))
