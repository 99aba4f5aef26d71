"""A batch of rows can be cut, whatever the rows are made of."""

from dataclasses import replace

import pyarrow as pa
import pytest
from twinhead.client.files.row_batch import RowBatch

ROWS = [{"id": n, "text": f"sentence {n}"} for n in range(10, 15)]


def batch_of(kind: str) -> RowBatch:
    rows = ROWS if kind == "dicts" else pa.RecordBatch.from_pylist(ROWS)
    return RowBatch(10, [row["text"] for row in ROWS], rows, position=700)


@pytest.mark.parametrize("kind", ["dicts", "arrow"])
def test_rows_are_given_as_dicts(kind):
    assert batch_of(kind).as_dicts() == ROWS


@pytest.mark.parametrize("kind", ["dicts", "arrow"])
def test_a_slice_has_the_texts_and_rows_of_its_range(kind):
    part = batch_of(kind).slice(1, 3)
    assert part.texts == ["sentence 11", "sentence 12"]
    assert part.as_dicts() == ROWS[1:3]
    assert (part.first_row, part.position) == (11, 700)


@pytest.mark.parametrize("kind", ["dicts", "arrow"])
def test_slices_of_slices_count_rows_from_the_start_of_the_file(kind):
    part = batch_of(kind).slice(1, 5).slice(2, 4)
    assert part.as_dicts() == ROWS[3:5]
    assert part.first_row == 13


@pytest.mark.parametrize("kind", ["dicts", "arrow"])
def test_lines_are_cut_with_their_rows(kind):
    batch = replace(batch_of(kind), lines=[20, 22, 23, 24, 27])
    assert batch.slice(1, 4).slice(1, 3).lines == [23, 24]
    assert batch_of(kind).slice(1, 3).lines is None
