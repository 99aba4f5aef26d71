"""Elements of tensors, typed and raw, there and back."""

import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from twinhead.protocols import open_inference_service_pb2 as oip
from twinhead.server.open_inference_tensors import (
    fill,
    float_array,
    pack,
    shape_of,
    typed,
    unpack,
)
from twinhead.server.tensor_wire import float32_tensor
from twinhead.v1 import inference_service_pb2 as pb

FLOATS = np.array([[1.5, -2.0, 0.0], [3.25, 1e-30, np.inf]], dtype=np.float32)
TEXTS = [b"\xc3\xa4h", b"", b"three"]


def test_floats_are_packed_row_by_row_and_little_endian():
    assert pack(FLOATS) == struct.pack("<6f", 1.5, -2.0, 0.0, 3.25, 1e-30, float("inf"))
    assert pack(FLOATS.T) == struct.pack("<6f", 1.5, 3.25, -2.0, 1e-30, 0.0, float("inf"))
    assert pack(FLOATS.astype(">f4")) == pack(FLOATS)
    assert shape_of(FLOATS) == (2, 3)


def test_texts_are_packed_behind_their_lengths():
    assert pack(TEXTS) == b"\3\0\0\0\xc3\xa4h" + b"\0\0\0\0" + b"\5\0\0\0three"
    assert shape_of(TEXTS) == (3,)


def test_typed_elements_are_in_the_field_of_their_type():
    floats, texts = oip.InferTensorContents(), oip.InferTensorContents()
    fill(floats, FLOATS)
    assert list(floats.fp32_contents) == FLOATS.ravel().tolist()
    assert [field.name for field, _ in floats.ListFields()] == ["fp32_contents"]
    fill(texts, TEXTS)
    assert texts == oip.InferTensorContents(bytes_contents=TEXTS)


def test_filling_marks_contents_as_there():
    tensor = oip.ModelInferResponse.InferOutputTensor()
    fill(tensor.contents, FLOATS)
    assert tensor.HasField("contents")


@given(st.lists(st.binary(max_size=50), max_size=30))
def test_what_is_packed_comes_out_again(elements):
    assert unpack(pack(elements), len(elements)) == elements


@given(st.binary(max_size=64), st.integers(0, 20))
@example(b"\xff\xff\xff\xff", 1)
def test_any_bytes_are_read_or_refused(raw, count):
    try:
        elements = unpack(raw, count)
    except ValueError:
        return
    assert len(elements) == count
    assert pack(elements) == raw


@pytest.mark.parametrize(
    ("raw", "count", "text"),
    [
        (b"", 1, "ends before the length of row 0, of 1"),
        (b"\1\0\0", 1, "ends before the length of row 0"),
        (b"\1\0\0\0a\2\0\0\0b", 2, "row 1 should have 2 bytes, and 1 are left"),
        (b"\0\0\0\1", 1, "row 0 should have 16777216 bytes"),  # big-endian
        (b"\1\0\0\0a\0", 1, "1 bytes too many for the 1 rows"),
        (b"\1\0\0\0a", 2, "ends before the length of row 1, of 2"),
    ],
)
def test_what_does_not_add_up_is_refused(raw, count, text):
    with pytest.raises(ValueError, match=text):
        unpack(raw, count)


def test_typed_elements_that_do_not_fit_are_refused():
    contents = oip.InferTensorContents(bytes_contents=[b"a", b"b"])
    assert list(typed(contents, 2)) == [b"a", b"b"]
    with pytest.raises(ValueError, match="holds 2 elements, the shape says 3"):
        typed(contents, 3)
    contents.fp32_contents.append(1.0)
    with pytest.raises(ValueError, match="fp32_contents must be empty"):
        typed(contents, 2)


@pytest.mark.parametrize("shape", [(2, 3), (0, 3), (1, 1), (300, 5)])
def test_floats_of_our_own_contract_keep_bits_and_shape(shape):
    array = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    found = float_array(float32_tensor(array))
    assert found.shape == shape
    assert found.tobytes() == array.tobytes()
    assert float_array(pb.Tensor(shape=[0, 4], dtype=pb.DATA_TYPE_FLOAT32)).shape == (0, 4)
