"""OpenVINO, and encoders as graphs of it."""

import functools
import importlib
import threading
import warnings
from typing import Any

import openvino as ov
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import nn

from .engine import EngineError

# The tracer of torch keeps its state for the whole process.
_TRACING = threading.Lock()


@functools.cache
def core() -> ov.Core:
    """OpenVINO's runtime, one for the process and for good.

    Each gives the thread that loads its CPU plugin an alternate signal stack and frees it when it
    goes; of two that overlap, the later one puts the freed stack of the earlier one back, and the
    next signal to that thread is a segmentation fault (seen with OpenVINO 2026.4.1).
    """
    return ov.Core()


def export_encoder(encoder: nn.Module) -> ov.Model:
    """Trace an encoder.

    Not by `openvino.convert_model`: it reports its use to a server of its makers, and takes three
    times as long.

    Returns:
        A graph from `input_ids` and `attention_mask`, int64 [batch, tokens], to token vectors
        [batch, tokens, dimensions]; batch and tokens may be any. It may share memory with the
        encoder's weights.

    Raises:
        EngineError: the encoder has something that OpenVINO cannot express.
    """
    ids = torch.ones(2, 16, dtype=torch.long)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0  # else what is done about padding might not be traced
    try:
        with _TRACING, warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the tracer, about shapes; the caller compares
            decoder = TorchScriptPythonDecoder(
                encoder.eval(), example_input={"input_ids": ids, "attention_mask": mask}
            )
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
    return graph


def _forget_traces() -> None:
    """Let go of what torch keeps of every module that it has traced: 17 MB of a MiniLM."""
    # There is no public way.
    registry: Any = importlib.import_module("torch._C")
    recursive: Any = importlib.import_module("torch.jit._recursive")
    state: Any = importlib.import_module("torch.jit._state")
    registry._jit_clear_class_registry()
    recursive.concrete_type_store = recursive.ConcreteTypeStore()
    state._clear_class_state()
