"""The torch engine: padding, tasks, devices."""

import os

import numpy as np
import pytest
import torch
from debug_model import DIMENSIONS, TASKS, DebugEncoder, debug_tokenizer, expected_embedding
from twinhead.model.config import ModelConfig
from twinhead.model.network import Network
from twinhead.server.torch_engine import TorchEngine, choose_device, set_threads

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
    with pytest.raises(ValueError, match="not there"):
        choose_device("cuda:99")


def test_threads():
    before = torch.get_num_threads()
    try:
        assert set_threads(1) == torch.get_num_threads() == 1
        assert set_threads(0) == torch.get_num_threads() == len(os.sched_getaffinity(0))
    finally:
        torch.set_num_threads(before)
