"""Tensors written without a Python object a number are those that protobuf itself writes."""

import numpy as np
import pytest
from twinhead.server.tensor_wire import float16_tensor, float32_tensor, single_label_answer
from twinhead.v1 import inference_service_pb2 as pb


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 4), (256, 384), (7,)])
def test_float32_equals_extend(shape):
    array = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    expected = pb.Tensor(shape=shape, dtype=pb.DATA_TYPE_FLOAT32)
    expected.float32_values.extend(array.reshape(-1).tolist())
    assert float32_tensor(array) == expected
    assert float32_tensor(array).SerializeToString() == expected.SerializeToString()


def test_float32_of_a_view_is_row_major():
    array = np.arange(12, dtype=np.float32).reshape(3, 4)[:, :2]
    assert list(float32_tensor(array).float32_values) == [0, 1, 4, 5, 8, 9]


def test_float16_is_little_endian_and_row_major():
    tensor = float16_tensor(np.array([[1.0, -2.0]], dtype=np.float16))
    assert tensor.raw == b"\x00\x3c\x00\xc0"
    assert list(tensor.shape) == [1, 2]


def test_single_label_answer():
    answer = single_label_answer(np.array([1, -1]), np.array([0.75, 0.0], dtype=np.float32))
    assert list(answer.label_indices) == [1, -1]
    assert list(answer.scores) == [0.75, 0.0]
