"""Numpy arrays to the contract's tensors, without a Python object for each number."""

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray
from twinhead.v1 import inference_service_pb2 as pb

_FLOAT32_VALUES_TAG = (pb.Tensor.FLOAT32_VALUES_FIELD_NUMBER << 3) | 2
_SCORES_TAG = (pb.SingleLabelAnswer.SCORES_FIELD_NUMBER << 3) | 2


def float32_tensor(array: NDArray[np.float32]) -> pb.Tensor:
    """A FLOAT32 tensor of any shape."""
    tensor = pb.Tensor(shape=array.shape, dtype=pb.DATA_TYPE_FLOAT32)
    _merge_packed(tensor, _FLOAT32_VALUES_TAG, array.astype("<f4", copy=False).tobytes())
    return tensor


def float16_tensor(array: NDArray[np.float16]) -> pb.Tensor:
    """A FLOAT16 tensor of any shape."""
    raw = array.astype("<f2", copy=False).tobytes()
    return pb.Tensor(shape=array.shape, dtype=pb.DATA_TYPE_FLOAT16, raw=raw)


def single_label_answer(
    indices: NDArray[np.int64], scores: NDArray[np.float32]
) -> pb.SingleLabelAnswer:
    """The most probable labels, [sentences] each."""
    answer = pb.SingleLabelAnswer(label_indices=indices.tolist())
    _merge_packed(answer, _SCORES_TAG, scores.astype("<f4", copy=False).tobytes())
    return answer


def _merge_packed(message: Message, tag: int, payload: bytes) -> None:
    # A packed `repeated float` is tag, length and the little-endian bytes: merging them is one
    # copy, where `extend` makes a Python float of each (7.4 ms against 0.5 ms for 256 x 384).
    if payload:
        message.MergeFromString(bytes([tag]) + _varint(len(payload)) + payload)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append((value & 0x7F) | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
