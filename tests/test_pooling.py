"""Pooling: padding never takes part, and rows know nothing of each other."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from twinhead.model.config import Pooling
from twinhead.model.pooling import pool

# No deadline: a slow machine is no fault of the code.
slow = settings(deadline=None, max_examples=60)
lengths = st.lists(st.integers(1, 9), min_size=1, max_size=6)
seeds = st.integers(0, 2**32 - 1)


def sentences(rows: list[int], seed: int) -> list[np.ndarray]:
    """Token vectors of sentences with these numbers of tokens."""
    numbers = np.random.default_rng(seed)
    return [numbers.normal(size=(length, 5)).astype(np.float32) for length in rows]


def padded(
    rows: list[np.ndarray], width: int, fill: float, left: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    hidden = torch.full((len(rows), width, rows[0].shape[1]), fill)
    mask = torch.zeros(len(rows), width, dtype=torch.int64)
    for index, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        hidden[index, place] = torch.from_numpy(row)
        mask[index, place] = 1
    return hidden, mask


@slow
@given(rows=lengths, seed=seeds)
def test_mean_equals_a_plain_loop(rows, seed):
    vectors = sentences(rows, seed)
    pooled = pool(*padded(vectors, max(rows), 7.0), Pooling.MEAN)
    for vector, row in zip(vectors, pooled, strict=True):
        expected = [
            math.fsum(float(token[dimension]) for token in vector) / len(vector)
            for dimension in range(vector.shape[1])
        ]
        np.testing.assert_allclose(row.numpy(), expected, atol=1e-6)


@slow
@given(
    rows=lengths,
    seed=seeds,
    extra=st.integers(0, 20),
    fill=st.sampled_from([0.0, 1.0, -1e30, math.inf, math.nan]),
    left=st.booleans(),
)
def test_padding_never_takes_part(rows, seed, extra, fill, left):
    vectors = sentences(rows, seed)
    hidden, mask = padded(vectors, max(rows) + extra, fill, left)
    alone = [pool(*padded([vector], len(vector), 0.0), Pooling.MEAN)[0] for vector in vectors]
    torch.testing.assert_close(
        pool(hidden, mask, Pooling.MEAN), torch.stack(alone), rtol=0, atol=1e-6
    )


@slow
@given(rows=lengths, seed=seeds, data=st.data())
def test_the_order_of_a_batch_changes_nothing(rows, seed, data):
    order = data.draw(st.permutations(range(len(rows))))
    hidden, mask = padded(sentences(rows, seed), max(rows), 0.0)
    shuffled = pool(hidden[list(order)], mask[list(order)], Pooling.MEAN)
    torch.testing.assert_close(
        shuffled, pool(hidden, mask, Pooling.MEAN)[list(order)], rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_type_is_kept(dtype):
    hidden = torch.ones(2, 3, 4, dtype=dtype)
    pooled = pool(hidden, torch.tensor([[1, 1, 0], [1, 1, 1]]), Pooling.MEAN)
    assert pooled.dtype == dtype
    assert torch.equal(pooled, torch.ones(2, 4, dtype=dtype))
