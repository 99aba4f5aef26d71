"""Token vectors to one vector a sentence."""

import torch

from .config import Pooling


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Pool over tokens; padding never takes part.

    Args:
        hidden: token vectors, [batch, tokens, dimensions].
        mask: 1 for tokens, 0 for padding, [batch, tokens]; the first token of each row is one.
        pooling: how.

    Returns:
        Sentence vectors, [batch, dimensions]; for CLS_MEAN both parts one after the other,
        [batch, 2 x dimensions], which a head learns to combine.
    """
    # Filled, not multiplied by zero: padding may hold NaN or infinity.
    padding = mask.unsqueeze(-1) == 0
    match pooling:
        case Pooling.MEAN:
            counts = mask.sum(dim=1, keepdim=True).to(hidden.dtype)
            return hidden.masked_fill(padding, 0.0).sum(dim=1) / counts
        case Pooling.CLS:
            return hidden[:, 0]
        case Pooling.MAX:
            return hidden.masked_fill(padding, float("-inf")).amax(dim=1)
        case Pooling.CLS_MEAN:
            mean = pool(hidden, mask, Pooling.MEAN)
            return torch.cat([hidden[:, 0], mean], dim=1)


def as_embedding(pooled: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Pooled vectors as embeddings, [batch, dimensions]: the parts of CLS_MEAN are averaged.

    An embedding has no labels to learn a combination from.
    """
    return pooled.unflatten(1, (2, -1)).mean(dim=1) if pooling is Pooling.CLS_MEAN else pooled
