"""An encoder in two parts: the frozen layers below, and those above that train.

The encoder's own forward pass runs in both, so what a family does around its layers (masks,
rotary positions, relative positions) is done as ever; only layers are left out.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..model.layers import layers_of


class _Reached(Exception):  # noqa: N818 (no error: it ends a forward pass early)
    def __init__(self, hidden: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class SplitEncoder:
    """Runs an encoder up to a layer, and from there on.

    Args of both: input_ids and attention_mask as of `Encoder.forward`.
    """

    def __init__(self, encoder: nn.Module, depth: int) -> None:
        """Split an encoder.

        Args:
            encoder: stays as it is between calls.
            depth: how many layers are below; fewer than it has.
        """
        self.encoder = encoder
        self.depth = depth
        layers = layers_of(encoder)
        self._skipped = layers[:depth]
        self._first: nn.Module = layers[depth]
        self._in_tuple = self._layers_give_tuples()

    def lower(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """What enters the layers above, [batch, tokens, dimensions]; without gradient."""

        def leave(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _Reached(args[0] if args else kwargs["hidden_states"])

        with self._before_first(leave), torch.no_grad():
            try:
                self.encoder(input_ids, attention_mask)
            except _Reached as reached:
                return reached.hidden
        raise RuntimeError("the encoder's forward pass does not run its layers")

    def upper(
        self, hidden: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """The encoder's output from what `lower` gave, [batch, tokens, dimensions]."""

        def enter(
            _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            if args:
                return (hidden, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": hidden}

        with self._skipping(), self._before_first(enter):
            return self.encoder(input_ids, attention_mask)

    @contextmanager
    def _before_first(self, hook: Any) -> Generator[None]:
        handle = self._first.register_forward_pre_hook(hook, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def _skipping(self) -> Generator[None]:
        # An attribute of the instance hides the method of the class.
        def skip(hidden_states: torch.Tensor, *_: Any, **__: Any) -> Any:
            return (hidden_states, None) if self._in_tuple else hidden_states

        for layer in self._skipped:
            layer.forward = skip
        try:
            yield
        finally:
            for layer in self._skipped:
                del layer.forward

    def _layers_give_tuples(self) -> bool:
        given: list[Any] = []
        handle = self._first.register_forward_hook(lambda _, __, output: given.append(output))
        one = torch.ones((1, 3), dtype=torch.int64, device=next(self.encoder.parameters()).device)
        try:
            with torch.no_grad():
                self.encoder(one, one)
        finally:
            handle.remove()
        return isinstance(given[0], tuple)
