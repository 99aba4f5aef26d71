"""The torch engine: padding, tasks, devices."""

import threading

import numpy as np
import pytest
import torch
from debug_model import DIMENSIONS, TASKS, DebugEncoder, debug_tokenizer, expected_embedding
from twinhead.model.config import ModelConfig
from twinhead.model.network import Network
from twinhead.server.engines.engine import EngineError
from twinhead.server.engines.torch_engine import TorchEngine, choose_device

ENGINE = TorchEngine(
    Network(ModelConfig(encoder="debug", tasks=TASKS), DebugEncoder(), DIMENSIONS), "cpu"
)


def test_sentences_of_any_lengths_are_padded_apart():
    sentences = ["w1", "w2 w3 w4 w5 w6", "w7 w8"]
    ids = [tokens.ids for tokens in debug_tokenizer()(sentences)]
    output = ENGINE.encode(ids, {"size"})
    expected = [expected_embedding(sentence) for sentence in sentences]
    np.testing.assert_allclose(output.embeddings, expected, rtol=2e-5)
    assert {name: logits.shape for name, logits in output.logits.items()} == {"size": (3, 3)}
    assert output.embeddings.dtype == np.float32


def test_devices():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")
    with pytest.raises(EngineError, match="not there"):
        choose_device("cuda:99")


def test_a_pass_has_its_share_of_the_threads_and_all_when_it_is_alone():
    seen = []

    class Encoder(torch.nn.Module):
        def forward(self, input_ids, attention_mask):
            seen.append(torch.get_num_threads())
            return torch.zeros(*input_ids.shape, 4)

    network = Network(ModelConfig(encoder="debug", tasks=TASKS), Encoder(), 4)
    engine = TorchEngine(network, "cpu", threads=6, streams=3)
    assert engine.widens

    def passes():
        for alone in (False, True, False):
            engine.encode([[1, 2]], (), alone=alone)

    thread = threading.Thread(target=passes)  # as a runner's; this one's number stays
    thread.start()
    thread.join()
    assert seen == [2, 6, 2]
    assert not TorchEngine(network, "cpu", threads=6).widens
