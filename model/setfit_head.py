"""The differentiable head of a SetFit model, read from its pickle without running the pickle.

A pickle is a program: unpickling calls whatever it names. Here every name stands for an inert
record that only notes what it was to be called with, names that such a head has no use for are
refused, and the weights are then looked up in the records.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .errors import ImportModelError

# Far above any head (10,000 labels on 4,096 dimensions are 164 MB); a pickle is read as a whole.
_LARGEST_PICKLE = 1 << 30


@dataclass(frozen=True)
class SetFitHead:
    """A linear layer; what SetFit does to its logits afterwards is part of the weights."""

    weight: torch.Tensor
    """Float32, [labels, dimensions]."""
    bias: torch.Tensor
    """Float32, [labels]."""
    multitarget: bool
    """Whether each label is a question of its own (sigmoids)."""


class _Record:
    """Stands in for an object of the pickle: what it was to be made from, and its state."""

    # A class, not a function: a pickle can set attributes of what it names, and `__setstate__`,
    # called on the class itself, takes no state and fails.
    def __new__(cls, *arguments: Any) -> "_Record":
        record = super().__new__(cls)
        record.arguments = arguments
        record.state = {}
        return record

    arguments: tuple[Any, ...]
    state: Any

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Head(_Record):
    pass


class _Linear(_Record):
    pass


class _Parameter(_Record):
    pass


class _Tensor(_Record):
    pass


class _Storage(_Record):
    pass


_ALLOWED: dict[tuple[str, str], type] = {
    ("setfit.modeling", "SetFitHead"): _Head,
    ("torch.nn.modules.linear", "Linear"): _Linear,
    ("torch._utils", "_rebuild_parameter"): _Parameter,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch.storage", "_load_from_bytes"): _Storage,
    ("torch", "device"): _Record,
    # Plain containers, of types that nothing can set attributes of.
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        allowed = _ALLOWED.get((module_name, global_name))
        if allowed is not None:
            return allowed
        if module_name.partition(".")[0] == "sklearn":
            raise ImportModelError(
                f"the head is scikit-learn's {global_name}, which is a pickle of Python code's "
                "objects: reading it would run code. Train the SetFit model with "
                "use_differentiable_head=True, or train a head with `twinhead train`"
            )
        raise ImportModelError(
            f"the pickle names {module_name}.{global_name}, which no SetFit torch head needs; "
            "nothing of it was run"
        )


def read_setfit_head(file: Path) -> SetFitHead:
    """Read the `model_head.pkl` of a SetFit model with a differentiable (torch) head.

    Raises:
        ImportModelError: the file is missing, or anything but such a head; nothing of it is run.
    """
    try:
        if file.stat().st_size > _LARGEST_PICKLE:
            raise ImportModelError(f"{file} is too large for a head")
        data = file.read_bytes()
    except OSError as error:
        raise ImportModelError(f"{file} cannot be read: {error.strerror}") from error
    try:
        # joblib stores torch modules as plain pickles.
        head = _Reader(io.BytesIO(data)).load()
        return _convert(head)
    except ImportModelError as error:
        raise ImportModelError(f"{file}: {error}") from None
    except Exception as error:  # a damaged or hostile pickle can raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ImportModelError(f"{file} is not a SetFit torch head: {reason}") from error


def _convert(head: Any) -> SetFitHead:
    if not isinstance(head, _Head):
        raise ImportModelError(f"it holds a {type(head).__name__}, not a SetFitHead")
    linear = _item(_item(head.state, "_modules"), "linear")
    if not isinstance(linear, _Linear):
        raise ImportModelError("its `linear` is not a torch.nn.Linear (was it ever trained?)")
    parameters = _item(linear.state, "_parameters")
    weight = _tensor("weight", _item(parameters, "weight"), 2)
    stored_bias = _item(parameters, "bias")
    bias = torch.zeros(len(weight)) if stored_bias is None else _tensor("bias", stored_bias, 1)
    if len(bias) != len(weight):
        raise ImportModelError(f"its bias is for {len(bias)} labels, its weight for {len(weight)}")
    # SetFit: logits = linear(x) / (temperature + eps)
    scale = _number(head.state, "temperature") + _number(head.state, "eps")
    if not 0 < scale < float("inf"):
        raise ImportModelError(f"its temperature is {scale}")
    # Heads of the first releases had no such choice.
    multitarget = bool(head.state.get("multitarget", False))
    return SetFitHead(weight / scale, bias / scale, multitarget)


def _item(mapping: Any, key: str) -> Any:
    if not isinstance(mapping, Mapping) or key not in mapping:
        raise ImportModelError(f"it has no {key}")
    return mapping[key]


def _number(state: Mapping[str, Any], key: str) -> float:
    value = _item(state, key)
    if not isinstance(value, int | float):
        raise ImportModelError(f"its {key} is not a number")
    return float(value)


def _tensor(name: str, parameter: Any, dimensions: int) -> torch.Tensor:
    """The tensor that nested records describe, as float32."""
    if not isinstance(parameter, _Parameter) or not isinstance(parameter.arguments[0], _Tensor):
        raise ImportModelError(f"its {name} is not a parameter")
    storage, offset, size, stride, *_ = parameter.arguments[0].arguments
    if not isinstance(storage, _Storage) or not isinstance(storage.arguments[0], bytes):
        raise ImportModelError(f"its {name} has no data")
    # The bytes hold a pickle of their own, which torch's restricted reader takes.
    stored: Any = torch.load(
        io.BytesIO(storage.arguments[0]), map_location="cpu", weights_only=True
    )
    values = torch.empty(0, dtype=stored.dtype).set_(stored)
    tensor = values.as_strided(size, stride, offset)  # checks the bounds
    if tensor.dim() != dimensions or not tensor.is_floating_point():
        raise ImportModelError(f"its {name} is {tensor.dtype} {list(tensor.shape)}")
    if not bool(torch.isfinite(tensor).all()):
        raise ImportModelError(f"its {name} holds NaN or infinite values")
    return tensor.float().contiguous()
