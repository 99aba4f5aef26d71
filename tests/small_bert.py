"""A tiny real BERT with a real WordPiece tokenizer, randomly initialised, for tests on files."""

import string
from pathlib import Path

import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import ModelConfig, TaskConfig
from twinhead.model.encoder import Encoder
from twinhead.model.network import Network
from twinhead.model.tokenizer import Tokenizer

DIMENSIONS = 32
POSITIONS = 64
MAX_TOKENS = 48
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "quick", "fox", "##es", "run", "!"]
WORDS += [*string.ascii_lowercase, *(f"##{letter}" for letter in string.ascii_lowercase)]
TASKS = (
    TaskConfig(name="topic", labels=("sea", "land", "sky")),
    TaskConfig(name="mood", labels=("calm", "wild")),
)


def write_small_bert(folder: Path, seed: int = 0) -> Path:
    """Write an encoder with its tokenizer in Hugging Face layout; every tensor is random."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=DIMENSIONS,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * DIMENSIONS,
        max_position_embeddings=POSITIONS,
    )
    transformer = BertModel(config)
    randomize(transformer, seed)
    transformer.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def randomize(module: torch.nn.Module, seed: int) -> None:
    """Give every parameter random values: a fresh model has many zeros and ones, all alike."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0.0, 0.3, generator=generator)


def write_tokenizer(folder: Path) -> None:
    """Write a `tokenizer.json` that is not laid out as the library would write it."""
    backend = Backend(
        WordPiece({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    backend.normalizer = BertNormalizer(lowercase=True)
    backend.pre_tokenizer = BertPreTokenizer()
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    (folder / "tokenizer.json").write_text(backend.to_str(pretty=True) + "\n\n")


def small_network(
    folder: Path, tasks: tuple[TaskConfig, ...] = TASKS, max_tokens: int = MAX_TOKENS, seed: int = 0
) -> Network:
    """A network on the encoder of a folder, in evaluation mode; its heads are random."""
    encoder = Encoder.load(folder)
    config = ModelConfig(encoder=str(folder), max_tokens=max_tokens, tasks=tasks)
    network = Network(config, encoder, encoder.dimensions)
    randomize(network.heads, seed)
    return network.eval()


def small_checkpoint(
    folder: Path, tasks: tuple[TaskConfig, ...] = TASKS, max_tokens: int = MAX_TOKENS, seed: int = 0
) -> Checkpoint:
    """A checkpoint of `small_network`."""
    return Checkpoint.create(
        small_network(folder, tasks, max_tokens, seed),
        Tokenizer.load(folder, max_tokens),
        metrics={"topic": {"accuracy": 0.5}},
        provenance={"method": "none"},
    )
