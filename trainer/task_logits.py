"""The forward pass over one padded batch: what is left of the encoder, then the heads."""

from collections.abc import Iterator

import torch

from ..model.config import Pooling, TaskConfig, TaskKind
from ..model.network import Network
from ..model.pooling import pool
from .padded_batch import PaddedBatch

NOT_OFFERED = -1e4
"""Logit of a label that a row could not have been given: its probability is 0 at any temperature.
It is finite, as all logits of a network that has not diverged are."""


def task_logits(
    network: Network, batch: PaddedBatch, hidden: torch.Tensor
) -> Iterator[tuple[TaskConfig, torch.Tensor]]:
    """The logits of each task, for those rows of a batch that have its label.

    Those of labels that a row could not have been given are `NOT_OFFERED`, so that the others make
    up its distribution, in the loss as in the figures.

    Args:
        network: its heads run.
        batch: the rows.
        hidden: what `encode` gave for them.
    """
    pooled: dict[Pooling, torch.Tensor] = dict(batch.pooled or {})
    for task in network.config.tasks:
        rows = batch.labelled[task.name]
        if not len(rows):
            continue
        if task.kind is TaskKind.TOKEN:
            read = hidden
        else:
            if task.pooling not in pooled:
                pooled[task.pooling] = pool(hidden, batch.mask, task.pooling)
            read = pooled[task.pooling]
        # All of them, most often: then nothing is copied.
        logits = network.heads[task.name](read if len(rows) == len(read) else read[rows])
        if task.name in batch.offered:
            logits = logits.masked_fill(~batch.offered[task.name], NOT_OFFERED)
        yield task, logits


def encode(network: Network, batch: PaddedBatch) -> torch.Tensor:
    """The token vectors of a batch, [rows, tokens, dimensions].

    The encoder runs only as far as the batch does not hold its output already; where it holds
    pooled vectors, nobody reads what this returns.
    """
    if batch.pooled is not None:  # nothing reads single tokens
        return batch.mask
    if batch.hidden is None:
        return network.encoder(batch.input_ids, batch.mask)
    if batch.split is None:
        return batch.hidden
    return batch.split.upper(batch.hidden, batch.input_ids, batch.mask)
