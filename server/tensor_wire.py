"""Numpy arrays to the contract's tensors, without a Python object for each number."""

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray
from twinhead.v1 import inference_service_pb2 as pb

FloatArray = NDArray[np.float32]


def float32_tensor(array: FloatArray) -> pb.Tensor:
    """A FLOAT32 tensor of any shape."""
    tensor = pb.Tensor(shape=array.shape, dtype=pb.DATA_TYPE_FLOAT32)
    packed_floats(tensor, pb.Tensor.FLOAT32_VALUES_FIELD_NUMBER, array)
    return tensor


def float16_tensor(array: FloatArray) -> pb.Tensor:
    """A FLOAT16 tensor of any shape; what is too large becomes the largest, not infinity."""
    largest = np.finfo(np.float16).max
    raw = array.clip(-largest, largest).astype("<f2").tobytes()
    return pb.Tensor(shape=array.shape, dtype=pb.DATA_TYPE_FLOAT16, raw=raw)


def int8_tensor(array: FloatArray) -> pb.Tensor:
    """An INT8 tensor, [rows, dimensions], each row scaled by its largest magnitude."""
    scales = np.abs(array).max(axis=1, initial=0.0) / 127
    steps = np.rint(array / np.where(scales > 0, scales, 1)[:, None]).astype(np.int8)
    tensor = pb.Tensor(shape=array.shape, dtype=pb.DATA_TYPE_INT8, raw=steps.tobytes())
    packed_floats(tensor, pb.Tensor.ROW_SCALES_FIELD_NUMBER, scales)
    return tensor


def bit_tensor(array: FloatArray) -> pb.Tensor:
    """A BIT tensor, [rows, dimensions], 1 where a value is above zero; dimensions in eights."""
    raw = np.packbits(array > 0, axis=1).tobytes()
    return pb.Tensor(shape=array.shape, dtype=pb.DATA_TYPE_BIT, raw=raw)


def packed_floats(message: Message, field_number: int, values: NDArray[np.floating]) -> None:
    """Set a `repeated float` field.

    On the wire it is tag, length and the little-endian bytes: merging them is one copy, where
    `extend` makes a Python float of each (7.4 ms against 0.5 ms for 256 x 384).
    """
    payload = values.astype("<f4", copy=False).tobytes()
    if payload:
        tag = bytes([(field_number << 3) | 2])  # one byte for field numbers below 16
        message.MergeFromString(tag + _varint(len(payload)) + payload)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append((value & 0x7F) | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
