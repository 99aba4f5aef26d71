"""Trained weights rounded to half precision, where that changes no answer."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from .freezing import NamedPart

Decisions = Mapping[str, Sequence[NDArray[np.int64]]]
"""Task name to what is decided of each row."""


def round_where_harmless(
    parts: Sequence[NamedPart], decide: Callable[[], Decisions]
) -> tuple[str, ...]:
    """Round the weights of each part, and take that back where a decision changes.

    The weights stay float32, and have values that float16 holds exactly, so they can be stored in
    half the room without loss.

    Args:
        parts: what may be rounded, one after the other.
        decide: runs the network as it is.

    Returns:
        The names of the parts that were rounded.
    """
    before = decide()
    rounded: list[str] = []
    for part in parts:
        exact = [parameter.detach().clone() for parameter in part.parameters]
        with torch.no_grad():
            for parameter in part.parameters:
                parameter.copy_(parameter.half())
            # Beyond what half precision holds, a weight would be infinite.
            finite = all(bool(torch.isfinite(parameter).all()) for parameter in part.parameters)
            if finite and _same(before, decide()):
                rounded.append(part.name)
            else:
                for parameter, value in zip(part.parameters, exact, strict=True):
                    parameter.copy_(value)
    return tuple(rounded)


def _same(before: Decisions, now: Decisions) -> bool:
    return all(
        np.array_equal(first, second)
        for name, rows in before.items()
        for first, second in zip(rows, now[name], strict=True)
    )
