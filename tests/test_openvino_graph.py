"""Encoders as graphs of OpenVINO."""

import openvino as ov
import psutil
import pytest
import torch
from small_encoders import write_encoder
from torch import nn
from twinhead.model.encoder import Encoder
from twinhead.server.engines.engine import EngineError
from twinhead.server.engines.openvino_graph import export_encoder


@pytest.mark.parametrize(
    "family", ["bert", "distilbert", "mpnet", "roberta", "deberta-v2", "deberta-v3"]
)
def test_token_vectors_are_those_of_torch(family, tmp_path):
    encoder = Encoder.load(write_encoder(tmp_path / "encoder", family))
    settings = {"INFERENCE_PRECISION_HINT": "f32"}  # else what the processor is quickest with
    compiled = ov.Core().compile_model(export_encoder(encoder), "CPU", settings)
    for rows, tokens in ((1, 3), (2, 16), (5, 40)):  # of other shapes than the traced one
        ids = torch.randint(5, encoder.vocabulary, (rows, tokens))
        mask = torch.ones_like(ids)
        mask[0, tokens // 2 :] = 0
        found = torch.from_numpy(compiled([ids.numpy(), mask.numpy()])[0])
        with torch.inference_mode():
            expected = encoder(ids, mask)
        torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], rtol=1e-3, atol=1e-4)


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
