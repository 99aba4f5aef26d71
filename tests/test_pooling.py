"""Pooling: padding never takes part, and rows know nothing of each other."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from twinhead.model.config import Pooling
from twinhead.model.pooling import as_embedding, pool

# No deadline: a slow machine is no fault of the code.
slow = settings(deadline=None, max_examples=60)
lengths = st.lists(st.integers(1, 9), min_size=1, max_size=6)
seeds = st.integers(0, 2**32 - 1)


every_pooling = pytest.mark.parametrize("pooling", list(Pooling))


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


def by_hand(vector: np.ndarray, pooling: Pooling) -> list[float]:
    """One sentence, without its padding, as a plain loop."""
    columns = [[float(value) for value in column] for column in vector.T]
    mean = [math.fsum(column) / len(column) for column in columns]
    match pooling:
        case Pooling.MEAN:
            return mean
        case Pooling.MAX:
            return [max(column) for column in columns]
        case Pooling.CLS:
            return [column[0] for column in columns]
        case Pooling.CLS_MEAN:
            return [column[0] for column in columns] + mean


@every_pooling
@slow
@given(rows=lengths, seed=seeds)
def test_each_pooling_equals_a_plain_loop(pooling, rows, seed):
    vectors = sentences(rows, seed)
    pooled = pool(*padded(vectors, max(rows), 7.0), pooling)
    expected = [by_hand(vector, pooling) for vector in vectors]
    np.testing.assert_allclose(pooled.numpy(), expected, atol=1e-6)


@every_pooling
def test_shapes_and_embeddings(pooling):
    vectors = sentences([3, 1, 5], 0)
    pooled = pool(*padded(vectors, 5, math.nan), pooling)
    both = pooling is Pooling.CLS_MEAN
    assert pooled.shape == (3, 10 if both else 5)
    embedding = as_embedding(pooled, pooling)
    expected = (pooled[:, :5] + pooled[:, 5:]) / 2 if both else pooled
    torch.testing.assert_close(embedding, expected, rtol=0, atol=1e-7)


def test_the_largest_may_be_negative():
    """Padding is below every value, not zero."""
    hidden, mask = padded([np.full((2, 5), -3.0, dtype=np.float32)], 6, 0.0)
    assert pool(hidden, mask, Pooling.MAX).tolist() == [[-3.0] * 5]


@every_pooling
@slow
@given(
    rows=lengths,
    seed=seeds,
    extra=st.integers(0, 20),
    fill=st.sampled_from([0.0, 1.0, -1e30, math.inf, math.nan]),
)
def test_padding_never_takes_part(pooling, rows, seed, extra, fill):
    vectors = sentences(rows, seed)
    hidden, mask = padded(vectors, max(rows) + extra, fill)
    alone = [pool(*padded([vector], len(vector), 0.0), pooling)[0] for vector in vectors]
    torch.testing.assert_close(pool(hidden, mask, pooling), torch.stack(alone), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pooling", [Pooling.MEAN, Pooling.MAX])
@slow
@given(rows=lengths, seed=seeds, extra=st.integers(0, 20))
def test_padding_may_be_on_the_left_where_no_token_is_the_first(pooling, rows, seed, extra):
    vectors = sentences(rows, seed)
    left = pool(*padded(vectors, max(rows) + extra, math.nan, left=True), pooling)
    right = pool(*padded(vectors, max(rows), 0.0), pooling)
    torch.testing.assert_close(left, right, rtol=0, atol=1e-6)


@every_pooling
@slow
@given(rows=lengths, seed=seeds, data=st.data())
def test_the_order_of_a_batch_changes_nothing(pooling, rows, seed, data):
    order = data.draw(st.permutations(range(len(rows))))
    hidden, mask = padded(sentences(rows, seed), max(rows), 0.0)
    shuffled = pool(hidden[list(order)], mask[list(order)], pooling)
    straight = pool(hidden, mask, pooling)
    torch.testing.assert_close(shuffled, straight[list(order)], rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@every_pooling
def test_the_type_is_kept(pooling, dtype):
    hidden = torch.ones(2, 3, 4, dtype=dtype)
    pooled = as_embedding(pool(hidden, torch.tensor([[1, 1, 0], [1, 1, 1]]), pooling), pooling)
    assert pooled.dtype == dtype
    assert torch.equal(pooled, torch.ones(2, 4, dtype=dtype))
