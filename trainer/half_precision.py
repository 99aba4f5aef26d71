"""Trained weights rounded to half precision, where that changes no answer."""

from collections.abc import Callable, Sequence

import torch
from torch import nn


def round_where_harmless(
    tensors: Sequence[tuple[str, nn.Parameter]], unchanged: Callable[[], bool]
) -> tuple[str, ...]:
    """Round weights, and take back what changes an answer.

    All are tried at once; where that changes an answer each half by itself, and so on. The weights
    stay float32, and have values that float16 holds exactly, so they can be stored in half the room
    without loss.

    Args:
        tensors: what may be rounded, by name.
        unchanged: runs the network as it is, and tells whether it answers as before.

    Returns:
        The names of the tensors that were rounded.
    """
    exact = [parameter.detach().clone() for _, parameter in tensors]
    with torch.no_grad():
        for _, parameter in tensors:
            parameter.copy_(parameter.half())
        # Beyond what half precision holds, a weight would be infinite.
        finite = all(bool(torch.isfinite(parameter).all()) for _, parameter in tensors)
        if finite and unchanged():
            return tuple(name for name, _ in tensors)
        for (_, parameter), value in zip(tensors, exact, strict=True):
            parameter.copy_(value)
    if len(tensors) == 1:
        return ()
    half = len(tensors) // 2
    return round_where_harmless(tensors[:half], unchanged) + round_where_harmless(
        tensors[half:], unchanged
    )
