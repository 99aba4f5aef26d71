"""A model whose output encodes its input, so that a reply with another caller's rows is seen."""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from torch import nn
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import ModelConfig, TaskConfig
from twinhead.model.network import Network
from twinhead.model.tokenizer import Tokenizer
from twinhead.server.engines.engine import EngineOutput
from twinhead.server.engines.torch_engine import TorchEngine
from twinhead.server.live_model import LiveModel

VOCABULARY = 5000
DIMENSIONS = 4
MAX_TOKENS = 64
TASKS = (
    TaskConfig(name="parity", labels=("even", "odd")),
    TaskConfig(name="size", labels=("small", "medium", "large")),
)


class DebugEncoder(nn.Module):
    """Token vectors that hold the token's id, the id times its place, its square, and 1."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        ids = input_ids.to(torch.float32) / VOCABULARY
        places = torch.arange(input_ids.shape[1], dtype=torch.float32) / MAX_TOKENS
        # Padding gets a value that would be noticed in any sum.
        ids = torch.where(attention_mask.bool(), ids, torch.tensor(1e6))
        return torch.stack([ids, ids * places, ids * ids, torch.ones_like(ids)], dim=-1)


def expected_embedding(sentence: str) -> np.ndarray:
    """What the debug model says of a sentence of words w0, w1, ..., without any of its code."""
    ids = np.array([2, *(int(word[1:]) + 4 for word in sentence.split()), 3], dtype=np.float64)
    if len(ids) > MAX_TOKENS:
        ids = np.array([*ids[: MAX_TOKENS - 1], 3])
    x = ids / VOCABULARY
    places = np.arange(len(x)) / MAX_TOKENS
    return np.stack([x, x * places, x * x, np.ones_like(x)], axis=-1).mean(axis=0)


def debug_tokenizer() -> Tokenizer:
    """One token a word, with a special token at each end."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"w{n}" for n in range(VOCABULARY - 4))]
    backend = Backend(WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return Tokenizer(backend.to_str().encode(), MAX_TOKENS)


class CountingEngine(TorchEngine):
    """Counts encoder passes, and can be made slow or made to fail."""

    def __init__(self, network: Network) -> None:
        super().__init__(network, "cpu")
        self.passes: list[int] = []  # sentences of each
        self.tasks: list[set[str]] = []
        self.seconds_per_pass = 0.0
        self.fail_on: str | None = None  # a word; a pass that holds it raises

    def encode(
        self, ids: Sequence[Sequence[int]], tasks: Collection[str], *, alone: bool = False
    ) -> EngineOutput:
        self.passes.append(len(ids))
        self.tasks.append(set(tasks))
        if self.seconds_per_pass:
            time.sleep(self.seconds_per_pass)
        if self.fail_on is not None and any(int(self.fail_on[1:]) + 4 in row for row in ids):
            raise RuntimeError("secret internal text")
        return super().encode(ids, tasks, alone=alone)


def debug_model(version: str = "debug0") -> LiveModel:
    """A live model on the debug encoder; its heads are random but always the same."""
    config = ModelConfig(encoder="debug", max_tokens=MAX_TOKENS, normalize=False, tasks=TASKS)
    torch.manual_seed(1)
    network = Network(config, DebugEncoder(), DIMENSIONS)
    checkpoint = Checkpoint.create(network, debug_tokenizer())
    return replace(LiveModel.of(checkpoint, CountingEngine(network)), version=version)


def check_rows(sentences, result):
    """Assert that each row of a result is that of its sentence."""
    expected = np.array([expected_embedding(sentence) for sentence in sentences])
    np.testing.assert_allclose(result.embeddings, expected, rtol=2e-5, atol=1e-9)
