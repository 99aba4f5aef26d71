"""Embeddings in two dimensions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EmbeddingMap:
    """A projection to the two directions in which embeddings differ most."""

    points: NDArray[np.float64]
    """[rows, 2], around the mean."""
    shares: tuple[float, float]
    """Of all variance, what each of the two directions shows."""


def embedding_map(embeddings: NDArray[np.float32]) -> EmbeddingMap:
    """Principal component analysis; the same embeddings give the same map.

    Args:
        embeddings: [rows, dimensions], finite.
    """
    if not len(embeddings):
        return EmbeddingMap(np.zeros((0, 2)), (0.0, 0.0))
    vectors = np.pad(embeddings.astype(np.float64), ((0, 0), (0, 2)))  # two directions in any case
    centred = vectors - vectors.mean(0)
    # Those of the covariance: faster than a decomposition of all rows.
    variances, directions = np.linalg.eigh(centred.T @ centred)
    variances, directions = variances[::-1], directions[:, ::-1][:, :2]
    # A direction is as good as its opposite: its largest part shall be positive.
    largest = np.argmax(np.abs(directions), axis=0)
    directions = directions * np.sign(directions[largest, [0, 1]])
    # What is left of equal rows is rounding, not variance.
    variances = np.where(variances > 1e-12 * np.square(vectors).sum(), variances, 0)
    points = np.where(variances[:2] > 0, centred @ directions, 0)
    first, second = (variances[:2] / (variances.sum() or 1)).tolist()
    return EmbeddingMap(points, (first, second))
