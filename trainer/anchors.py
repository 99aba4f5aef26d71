"""Where the embeddings were before training, so that it can be kept from moving them far."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.network import Network
from .padded_batch import PaddedBatch
from .row_batches import RowBatches
from .task_logits import encode


def distances(
    network: Network, batch: PaddedBatch, hidden: torch.Tensor, anchors: torch.Tensor
) -> torch.Tensor:
    """One minus the cosine of each row's embedding to its anchor, [rows].

    As a loss it is the one of Hou et al. 2019 ("Learning a Unified Classifier Incrementally via
    Rebalancing", equation 6).
    """
    now = network.read(hidden, batch.mask, ()).embeddings.float()
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
    network.eval()
    with torch.no_grad():
        for group, batch in batches.walk(
            np.arange(len(rows)), lambda done: progress(done, len(rows))
        ):
            found = network.read(encode(network, batch), batch.mask, ()).embeddings
            vectors[group] = found.float().cpu().numpy()
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
        for _, batch in batches.walk(np.arange(len(batches.rows))):
            if batch.anchors is None:
                raise ValueError("the rows have no anchors")
            hidden = encode(network, batch)
            total += float((1 - distances(network, batch, hidden, batch.anchors)).sum())
    return total / len(batches.rows)


def read_anchors(file: Path) -> NDArray[np.float32]:
    """What `compute_anchors` wrote, read as it is needed."""
    return np.load(file, mmap_mode="r")
