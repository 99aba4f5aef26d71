"""Tensors written without a Python object a number are those that protobuf itself writes."""

import numpy as np
import pytest
from twinhead.server.tensor_wire import (
    bit_tensor,
    float16_tensor,
    float32_tensor,
    int8_tensor,
    packed_floats,
)
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
    tensor = float16_tensor(np.array([[1.0, -2.0]], dtype=np.float32))
    assert tensor.raw == b"\x00\x3c\x00\xc0"
    assert list(tensor.shape) == [1, 2]


def test_float16_does_not_overflow_to_infinity():
    tensor = float16_tensor(np.array([[1e9, -1e9]], dtype=np.float32))
    assert np.frombuffer(tensor.raw, "<f2").tolist() == [65504, -65504]


def test_int8_is_scaled_by_row_and_zero_rows_stay_zero():
    array = np.array([[1.0, -0.5, 0.0], [0, 0, 0], [1e-30, 0, -2e-30]], dtype=np.float32)
    tensor = int8_tensor(array)
    steps = np.frombuffer(tensor.raw, np.int8).reshape(3, 3)
    assert steps.tolist() == [[127, -64, 0], [0, 0, 0], [64, 0, -127]]
    back = steps * np.array(tensor.row_scales)[:, None]
    half_a_step = np.array(tensor.row_scales)[:, None] / 2
    assert (np.abs(back - array) <= half_a_step * 1.001).all()


def test_bits_are_most_significant_first_and_zero_is_not_above_zero():
    array = np.array([[1, -1, 0, 2, -2, 3, -0.0, 1e-9], [0] * 8], dtype=np.float32)
    tensor = bit_tensor(array)
    assert tensor.raw == bytes([0b10010101, 0])
    assert list(tensor.shape) == [2, 8]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_packed_floats_equal_extend(dtype):
    answer = pb.SingleLabelAnswer()
    packed_floats(answer, pb.SingleLabelAnswer.SCORES_FIELD_NUMBER, np.array([0.75, 0], dtype))
    assert answer == pb.SingleLabelAnswer(scores=[0.75, 0])
