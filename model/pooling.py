"""Token vectors to one vector a sentence."""

import torch

from .config import Pooling


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Pool over tokens; padding never takes part.

    Args:
        hidden: token vectors, [batch, tokens, dimensions].
        mask: 1 for tokens, 0 for padding, [batch, tokens]; each row has at least one token.
        pooling: how.

    Returns:
        Sentence vectors, [batch, dimensions].
    """
    match pooling:
        case Pooling.MEAN:
            # Filled, not multiplied by zero: padding may hold NaN or infinity.
            padding = mask.unsqueeze(-1) == 0
            counts = mask.sum(dim=1, keepdim=True).to(hidden.dtype)
            return hidden.masked_fill(padding, 0.0).sum(dim=1) / counts
