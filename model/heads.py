"""Task heads: a sentence vector to the logits of one task."""

import torch
from torch import nn

from .config import HeadKind, TaskConfig


def build_head(task: TaskConfig, dimensions: int) -> nn.Module:
    """A freshly initialised head: [batch, dimensions] to [batch, labels]."""
    match task.head:
        case HeadKind.LINEAR:
            return nn.Linear(dimensions, len(task.labels), dtype=torch.float32)
