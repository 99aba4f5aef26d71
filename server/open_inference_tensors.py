"""Elements of the Open Inference Protocol's tensors, typed and raw."""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from twinhead.protocols import open_inference_service_pb2 as oip
from twinhead.v1 import inference_service_pb2 as pb

from .tensor_wire import FloatArray, packed_floats

Values = FloatArray | Sequence[bytes]
"""Elements of an FP32 tensor, in its shape, or of a BYTES tensor of one dimension."""

_LENGTH = struct.Struct("<I")


def pack(values: Values) -> bytes:
    """The elements in raw form: row-major, little-endian, each text behind its length."""
    if isinstance(values, np.ndarray):
        return values.astype("<f4", copy=False).tobytes()
    return b"".join(part for value in values for part in (_LENGTH.pack(len(value)), value))


def fill(contents: oip.InferTensorContents, values: Values) -> None:
    """Put the elements into the field of their type."""
    if isinstance(values, np.ndarray):
        packed_floats(contents, oip.InferTensorContents.FP32_CONTENTS_FIELD_NUMBER, values)
    else:
        contents.bytes_contents.extend(values)


def shape_of(values: Values) -> tuple[int, ...]:
    """Length of each dimension."""
    return values.shape if isinstance(values, np.ndarray) else (len(values),)


def unpack(raw: bytes, count: int) -> list[bytes]:
    """The elements of a BYTES tensor that came in raw form; takes no memory for what is not there.

    Args:
        raw: what came.
        count: elements that it should hold.

    Raises:
        ValueError: it holds fewer, or more than them.
    """
    elements: list[bytes] = []
    begin = 0
    for row in range(count):
        if begin + _LENGTH.size > len(raw):
            raise ValueError(f"ends before the length of row {row}, of {count} in the shape")
        (length,) = _LENGTH.unpack_from(raw, begin)
        begin += _LENGTH.size
        if begin + length > len(raw):
            raise ValueError(
                f"row {row} should have {length} bytes, and {len(raw) - begin} are left; each text "
                "stands behind its length, 4 bytes, little-endian"
            )
        elements.append(raw[begin : begin + length])
        begin += length
    if begin < len(raw):
        raise ValueError(f"{len(raw) - begin} bytes too many for the {count} rows of the shape")
    return elements


def typed(contents: oip.InferTensorContents, count: int) -> Sequence[bytes]:
    """The elements of a BYTES tensor that came in the field of their type.

    Raises:
        ValueError: there are fewer, or more than `count`, or those of another type.
    """
    others = [field.name for field, _ in contents.ListFields() if field.name != "bytes_contents"]
    if others:
        raise ValueError(f"{', '.join(others)} must be empty; BYTES are in bytes_contents")
    elements = contents.bytes_contents
    if len(elements) != count:
        raise ValueError(f"bytes_contents holds {len(elements)} elements, the shape says {count}")
    return elements


def float_array(tensor: pb.Tensor) -> FloatArray:
    """The elements of a FLOAT32 tensor of our own contract, in its shape."""
    # Read one by one, 256 embeddings would take 4 ms. A packed field alone is on the wire its bytes
    # behind a short head.
    alone = pb.Tensor()
    alone.MergeFrom(tensor)
    alone.ClearField("shape")
    alone.ClearField("dtype")
    data = alone.SerializeToString()
    count = len(alone.float32_values)
    elements: NDArray[np.float32] = np.frombuffer(data, "<f4", count, len(data) - 4 * count)
    return elements.reshape(tuple(tensor.shape))
