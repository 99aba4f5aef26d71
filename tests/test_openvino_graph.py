"""Encoders as graphs of OpenVINO."""

import copy
import subprocess
import sys

import psutil
import pytest
import torch
from small_encoders import write_encoder
from torch import nn
from twinhead.model.encoder import Encoder
from twinhead.server.engines import openvino_graph
from twinhead.server.engines.engine import EngineError
from twinhead.server.engines.openvino_graph import EncoderGraph, core, export_encoder


def assert_same(graph: EncoderGraph, encoder: nn.Module) -> None:
    settings = {"INFERENCE_PRECISION_HINT": "f32"}  # else what the processor is quickest with
    compiled = core().compile_model(graph.model, "CPU", settings)
    for rows, tokens in ((1, 3), (2, 16), (5, 40)):  # of other shapes than the traced one
        ids = torch.randint(5, 30, (rows, tokens))
        mask = torch.ones_like(ids)
        mask[0, tokens // 2 :] = 0
        found = torch.from_numpy(compiled([ids.numpy(), mask.numpy()])[0])
        with torch.inference_mode():
            expected = encoder(ids, mask)
        torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], rtol=1e-3, atol=1e-4)


FAMILIES = ["bert", "distilbert", "mpnet", "roberta", "deberta-v2", "deberta-v3"]


@pytest.mark.parametrize("family", FAMILIES)
def test_token_vectors_are_those_of_torch(family, tmp_path):
    encoder = Encoder.load(write_encoder(tmp_path / "encoder", family))
    assert_same(export_encoder(encoder), encoder)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_replaced_without_a_trace(family, tmp_path, monkeypatch):
    encoder = Encoder.load(write_encoder(tmp_path / "encoder", family))
    graph = export_encoder(encoder)
    monkeypatch.delattr(openvino_graph, "export_encoder")
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        for weight in other.parameters():  # those that have no part in it, too
            weight += 0.2 * torch.randn_like(weight)
    renewed = graph.renewed(other)
    assert_same(renewed, other)
    assert_same(graph, encoder)
    assert_same(renewed.renewed(encoder), encoder)


def test_an_encoder_with_a_weight_that_has_no_name_in_the_graph_is_traced_again():
    """What was worked out from it would stay as it was."""

    class Folded(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.scale = nn.Embedding(40, 4), nn.Parameter(torch.randn(2))

        def forward(self, input_ids, attention_mask):
            # Traced as a constant.
            scale = float(self.scale.sum()) if torch.jit.is_tracing() else self.scale.sum()
            return self.table(input_ids) * attention_mask.unsqueeze(-1) * scale

    encoder, other = Folded(), Folded()
    graph = export_encoder(encoder)
    assert not graph.weights_have_names
    assert_same(graph.renewed(other), other)


def test_signals_are_survived_when_graphs_come_and_go():
    """For real: the thread's alternate signal stack is OpenVINO's, and must stay there."""
    program = """
import signal
import torch
from torch import nn
from twinhead.server.engines.openvino_engine import CompiledEncoder, has_bfloat16
from twinhead.server.engines.openvino_graph import export_encoder

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 4)

    def forward(self, input_ids, attention_mask):
        return self.table(input_ids) * attention_mask.unsqueeze(-1)

def make():
    compiled = CompiledEncoder(export_encoder(Small()).model, 1, 1)
    compiled.encode([[1, 2]])
    return compiled

kept = make()
has_bfloat16()
other = make()
del kept
make()
del other
came = []
signal.signal(signal.SIGTERM, lambda *_: came.append("signal"))
signal.raise_signal(signal.SIGTERM)
print(*came)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "signal\n"), done.stderr


def test_traces_are_not_kept(tmp_path):
    encoder = Encoder.load(write_encoder(tmp_path / "encoder", "bert"))
    process = psutil.Process()
    for _ in range(3):
        export_encoder(encoder)
    before = process.memory_info().rss
    for _ in range(10):  # of which torch would keep 7 MB each
        export_encoder(encoder)
    assert process.memory_info().rss - before < 30e6


def test_what_cannot_be_expressed_is_one_line():
    class Odd(nn.Module):
        def forward(self, input_ids, attention_mask):
            return torch.linalg.eigh(input_ids.float() @ attention_mask.float().T)[1]

    with pytest.raises(EngineError, match="OpenVINO cannot run this encoder: ") as caught:
        export_encoder(Odd())
    assert "\n" not in str(caught.value)
