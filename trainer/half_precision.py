"""Trained weights rounded to half precision, where that changes no answer."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Tensors = Sequence[tuple[str, nn.Parameter]]
Rows = NDArray[np.int64]


def round_where_harmless(
    tensors: Tensors, changed: Callable[[Rows | None], Rows]
) -> tuple[str, ...]:
    """Round weights, and take back what changes an answer.

    All are rounded at once, and all rows looked at. Where some are answered otherwise, each half of
    the tensors is tried by itself on these rows alone, and so on; then all rows are looked at
    again, as others may have changed, until none has. The larger tensors go first, so that what has
    to stay exact is small. The weights stay float32, and have values that float16 holds exactly, so
    they can be stored in half the room without loss.

    Args:
        tensors: what may be rounded, by name.
        changed: runs the network as it is on some rows, by their indices, or on all (None), and
            gives those that it answers otherwise than before.

    Returns:
        The names of the tensors that were rounded.
    """
    tensors = sorted(tensors, key=lambda tensor: tensor[1].numel(), reverse=True)
    exact = _copies(tensors)
    close: Rows = np.empty(0, np.int64)
    while True:
        rounded = _round(tensors, lambda rows=close: not changed(rows).size)
        others = changed(None)
        if not others.size:
            return rounded
        _put_back(tensors, exact)
        if np.isin(others, close).all():
            # Such a row goes by what is computed beside it, so nothing can be said to be harmless.
            return ()
        close = np.union1d(close, others)


@torch.no_grad()
def _round(tensors: Tensors, unchanged: Callable[[], bool]) -> tuple[str, ...]:
    exact = _copies(tensors)
    for _, parameter in tensors:
        parameter.copy_(parameter.half())
    # Beyond what half precision holds, a weight would be infinite.
    finite = all(bool(torch.isfinite(parameter).all()) for _, parameter in tensors)
    if finite and unchanged():
        return tuple(name for name, _ in tensors)
    _put_back(tensors, exact)
    if len(tensors) == 1:
        return ()
    half = len(tensors) // 2
    return _round(tensors[:half], unchanged) + _round(tensors[half:], unchanged)


def _copies(tensors: Tensors) -> list[torch.Tensor]:
    return [parameter.detach().clone() for _, parameter in tensors]


@torch.no_grad()
def _put_back(tensors: Tensors, exact: Sequence[torch.Tensor]) -> None:
    for (_, parameter), value in zip(tensors, exact, strict=True):
        parameter.copy_(value)
