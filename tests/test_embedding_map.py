"""Embeddings in two dimensions."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from twinhead.client.label_report.embedding_map import embedding_map


def embeddings(rows=300, dimensions=40):
    random = np.random.default_rng(3)
    scales = np.linspace(3, 0.1, dimensions)
    turned, _ = np.linalg.qr(random.normal(size=(dimensions, dimensions)))
    values = random.normal(size=(rows, dimensions)) * scales @ turned + 7
    return values.astype(np.float32)


def test_it_is_a_principal_component_analysis():
    values = embeddings()
    found = embedding_map(values)
    other = PCA(2, svd_solver="full").fit(values.astype(np.float64))
    np.testing.assert_allclose(
        np.abs(found.points), np.abs(other.transform(values.astype(np.float64))), atol=1e-6
    )
    np.testing.assert_allclose(found.shares, other.explained_variance_ratio_, atol=1e-9)


def test_directions_do_not_flip():
    values = embeddings()
    found = embedding_map(values).points
    more = embedding_map(np.concatenate([values, values[:3]])).points[:300]
    for axis in (0, 1):
        assert np.corrcoef(found[:, axis], more[:, axis])[0, 1] > 0.9
    np.testing.assert_array_equal(found, embedding_map(values).points)


@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (2, 1), (5, 1), (3, 2), (4, 50)])
def test_small_shapes(shape):
    found = embedding_map(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert found.points.shape == (shape[0], 2)
    assert np.isfinite(found.points).all()
    assert 0 <= sum(found.shares) <= 1 + 1e-9


def test_equal_embeddings_are_one_point():
    found = embedding_map(np.full((50, 20), 0.1, np.float32))
    assert not found.points.any()
    assert found.shares == (0, 0)
