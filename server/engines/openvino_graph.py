"""OpenVINO, and encoders as graphs of it."""

import functools
import importlib
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import openvino as ov
import torch
from openvino import opset15 as opset
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import nn

from .engine import EngineError

# The tracer of torch keeps its state for the whole process.
_TRACING = threading.Lock()
# What the frontend puts before the names of weights.
_SELF = "self."


@functools.cache
def core() -> ov.Core:
    """OpenVINO's runtime, one for the process and for good.

    Each gives the thread that loads its CPU plugin an alternate signal stack and frees it when it
    goes; of two that overlap, the later one puts the freed stack of the earlier one back, and the
    next signal to that thread is a segmentation fault (seen with OpenVINO 2026.4.1).
    """
    return ov.Core()


@dataclass(frozen=True)
class EncoderGraph:
    """An encoder as a graph; it shares memory with the encoder's weights."""

    model: ov.Model
    """From `input_ids` and `attention_mask`, int64 [batch, tokens], to token vectors [batch,
    tokens, dimensions]; batch and tokens may be any."""
    weights_have_names: bool
    """Whether each weight that takes part is a constant of the weight's name."""

    def renewed(self, encoder: nn.Module) -> "EncoderGraph":
        """The graph of another encoder that differs in its weights alone.

        Raises:
            EngineError: see `export_encoder`.
        """
        if not self.weights_have_names:
            return export_encoder(encoder)
        model = self.model.clone()
        for name, constant in _weight_constants(model, encoder):
            values = encoder.get_parameter(name).detach().numpy()
            new = opset.constant(values, shared_memory=True, name=constant.get_friendly_name())
            for user in constant.output(0).get_target_inputs():
                user.replace_source_output(new.output(0))
        return EncoderGraph(model, weights_have_names=True)


def export_encoder(encoder: nn.Module) -> EncoderGraph:
    """Trace an encoder.

    Not by `openvino.convert_model`: it reports its use to a server of its makers, and takes three
    times as long.

    Raises:
        EngineError: the encoder has something that OpenVINO cannot express.
    """
    ids = torch.ones(2, 16, dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0  # else what is done about padding might not be traced
    inputs = {"input_ids": ids, "attention_mask": mask}
    try:
        with _TRACING, warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the tracer, about shapes; the caller compares
            decoder = TorchScriptPythonDecoder(encoder.eval(), example_input=inputs)
            frontend = FrontEndManager().load_by_framework("pytorch")
            graph = frontend.convert(frontend.load(decoder))
            _forget_traces()
    except Exception as error:  # both libraries raise what they like
        reason = str(error).strip().splitlines()[0][:300]
        raise EngineError(f"OpenVINO cannot run this encoder: {reason}") from error
    for parameter in graph.get_parameters():
        parameter.set_partial_shape(ov.PartialShape([-1, -1]))
        parameter.set_element_type(ov.Type.i64)
    graph.validate_nodes_and_infer_types()
    named = {name for name, _ in _weight_constants(graph, encoder)}
    return EncoderGraph(graph, weights_have_names=named == _weights_used(encoder, inputs))


def _weight_constants(graph: ov.Model, encoder: nn.Module) -> Iterator[tuple[str, Any]]:
    """The constants that have names of weights."""
    weights = {_SELF + name: name for name, _ in encoder.named_parameters()}
    for node in graph.get_ops():
        if node.get_type_name() == "Constant" and node.get_friendly_name() in weights:
            yield weights[node.get_friendly_name()], node


def _weights_used(encoder: nn.Module, inputs: Mapping[str, torch.Tensor]) -> set[str]:
    """Names of the weights that take part in the results: those that have a gradient."""
    weights = {
        name: weight.detach().requires_grad_()
        for name, weight in encoder.named_parameters(remove_duplicate=False)
    }
    output = torch.func.functional_call(encoder, weights, kwargs=dict(inputs))
    gradients: Any = torch.autograd.grad(output.sum(), list(weights.values()), allow_unused=True)
    return {name for name, found in zip(weights, gradients, strict=True) if found is not None}


def _forget_traces() -> None:
    """Let go of what torch keeps of every module that it has traced: 17 MB of a MiniLM."""
    # There is no public way.
    registry: Any = importlib.import_module("torch._C")
    recursive: Any = importlib.import_module("torch.jit._recursive")
    state: Any = importlib.import_module("torch.jit._state")
    registry._jit_clear_class_registry()
    recursive.concrete_type_store = recursive.ConcreteTypeStore()
    state._clear_class_state()
