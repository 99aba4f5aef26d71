"""Where the embeddings were before training, so that it can be kept from moving them far."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.network import Network
from ..model.pooling import as_embedding, pool
from .padded_batch import PaddedBatch
from .row_batches import RowBatches
from .task_logits import encode

# Between two reports of progress.
_ROWS_AT_ONCE = 256


def embeddings_of(network: Network, batch: PaddedBatch, hidden: torch.Tensor) -> torch.Tensor:
    """The embeddings of a batch, [rows, dimensions], not normalised.

    Args:
        network: whose config says how to pool.
        batch: the rows.
        hidden: what `encode` gave for them, [rows, tokens, dimensions].
    """
    pooling = network.config.embedding_pooling
    return as_embedding(pool(hidden, batch.mask, pooling), pooling)


def distances(
    network: Network, batch: PaddedBatch, hidden: torch.Tensor, anchors: torch.Tensor
) -> torch.Tensor:
    """One minus the cosine of each row's embedding to its anchor, [rows].

    As a loss it is the one of Hou et al. 2019 ("Learning a Unified Classifier Incrementally via
    Rebalancing", equation 6).
    """
    now = embeddings_of(network, batch, hidden).float()
    return 1 - torch.nn.functional.cosine_similarity(now, anchors, dim=1)


def compute_anchors(
    network: Network, batches: RowBatches, file: Path, progress: Callable[[int, int], None]
) -> None:
    """Write the embeddings of all rows, as they are now, to a file.

    Args:
        network: is in evaluation mode afterwards.
        batches: of the rows; their encoder must not be frozen as a whole.
        file: float32 [rows, dimensions] in numpy's format; it appears when it is whole.
        progress: told how many rows are done, of how many.

    Raises:
        OSError: the file cannot be written.
    """
    rows = batches.rows
    vectors = np.empty((len(rows), network.dimensions), dtype=np.float32)
    ordered = np.argsort(rows.lengths, kind="stable")
    network.eval()
    with torch.no_grad():
        for start in range(0, len(ordered), _ROWS_AT_ONCE):
            part = ordered[start : start + _ROWS_AT_ONCE]
            position = 0
            for batch in batches(part):
                group = part[position : position + len(batch.input_ids)]
                position += len(group)
                found = embeddings_of(network, batch, encode(network, batch))
                vectors[group] = found.float().cpu().numpy()
            progress(start + len(part), len(ordered))
    partial = file.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.save(stream, vectors)
    partial.replace(file)


def kept_embeddings(network: Network, batches: RowBatches) -> float:
    """Mean cosine of the embeddings of all rows, as they are now, to their anchors.

    Args:
        network: is in evaluation mode afterwards.
        batches: of the rows, with anchors; at least one.
    """
    network.eval()
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(batches.rows), _ROWS_AT_ONCE):
            for batch in batches(np.arange(start, min(start + _ROWS_AT_ONCE, len(batches.rows)))):
                if batch.anchors is None:
                    raise ValueError("the rows have no anchors")
                hidden = encode(network, batch)
                total += float((1 - distances(network, batch, hidden, batch.anchors)).sum())
    return total / len(batches.rows)


def read_anchors(file: Path) -> NDArray[np.float32]:
    """What `compute_anchors` wrote, read as it is needed."""
    return np.load(file, mmap_mode="r")
