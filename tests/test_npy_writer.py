"""A matrix in `.npy`: numpy reads it, also as mapped memory."""

import io

import numpy as np
import pyarrow as pa
import pytest
from twinhead.client.files.npy_writer import NpyWriter

KIND = pa.list_(pa.float32(), 5)
VECTORS = np.arange(60, dtype=np.float32).reshape(12, 5) / 7


def embeddings(first: int, rows: int, missing: tuple[int, ...] = ()) -> pa.Array:
    mask = np.isin(np.arange(first, first + rows), missing)
    flat = pa.array(VECTORS[first : first + rows].reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=KIND, mask=pa.array(mask))


@pytest.mark.parametrize("cuts", [[12], [1, 4, 7], []])
def test_rows_are_written_as_they_come(tmp_path, cuts):
    path = tmp_path / "a.npy"
    with path.open("wb") as stream:
        writer = NpyWriter(stream, 5)
        start = 0
        for rows in cuts:
            writer.write(embeddings(start, rows, missing=(2, 11)))
            start += rows
        writer.finish()
    expected = VECTORS[:start].copy()
    expected[[n for n in (2, 11) if n < start]] = np.nan
    read = np.load(path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, expected)
    if start:
        np.testing.assert_array_equal(np.load(path, mmap_mode="r"), expected)


def test_a_slice_of_embeddings_and_a_batch_without_any(tmp_path):
    stream = io.BytesIO()
    writer = NpyWriter(stream, 5)
    writer.write(embeddings(0, 12, missing=(5,)).slice(4, 3))
    writer.write(pa.nulls(2, KIND))
    writer.finish()
    stream.seek(0)
    read = np.load(stream)
    np.testing.assert_array_equal(read[[0, 2]], VECTORS[[4, 6]])
    assert np.isnan(read[[1, 3, 4]]).all()
    assert read.shape == (5, 5)


def test_the_header_has_room_for_any_number_of_rows(monkeypatch):
    stream = io.BytesIO()
    writer = NpyWriter(stream, 384)
    monkeypatch.setattr(writer, "_rows", 10**15)
    writer.finish()
    stream.seek(0)
    assert np.lib.format.read_magic(stream) == (1, 0)
    shape, fortran, kind = np.lib.format.read_array_header_1_0(stream)
    assert (shape, fortran, kind) == ((10**15, 384), False, np.dtype("<f4"))
    assert stream.tell() == 128
