"""Small encoders of the real classes with real tokenizers, randomly initialised, as folders.

Each is laid out as its published model is: config.json, model.safetensors, tokenizer.json and
tokenizer_config.json, with the special tokens and the kind of tokenizer of its family.
"""

import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from small_bert import randomize
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend

DIMENSIONS = 32
POSITIONS = 64
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "and",
    "runs",
    "home",
    "in",
    "winter",
    ".",
    "Paris",
    "Berlin",
    "River",
    "Bank",
    "Anna",
    "Smith",
    "works",
    "for",
    "Acme",
    "since",
    "2019",
    ",",
    "he",
    "said",
    ":",
    "football",
    "matches",
    "are",
    "won",
    "by",
    "goals",
    "!",
    "cafe",
]
# German, Spanish and French letters, some CJK ones and an emoji; what is left is unknown.
LETTERS = [*string.ascii_letters, *string.digits, *".,:;!?'-()", *"äöüßéèñç", *"日本語中文東京🙂"]
SENTENCES = [
    "the quick brown fox",
    "a",
    "Anna Smith works for Acme in Paris since 2019.",
    "Où est le café ? naïve cafe\u0301",
    "日本語 and 東京, 中文!",
    "foxes   and \t dogs 🙂🙂 👍🏽",
    "<s> [CLS] <pad> [PAD] are written out",
    "ångström İstanbul ﬁne",
]
LONG = "the fox runs over the lazy dog in winter and Anna works for Acme . " * 12


@dataclass(frozen=True)
class Family:
    """One family of encoders."""

    write: Callable[[Path, int], None]
    model_class: type
    max_tokens: int | None
    """What its position table allows."""


def write_encoder(folder: Path, family: str, seed: int = 0) -> Path:
    """Write an encoder with its tokenizer; every tensor is random."""
    folder.mkdir(parents=True, exist_ok=True)
    FAMILIES[family].write(folder, seed)
    return folder


def _write(
    folder: Path, seed: int, config: Any, model: Any, backend: Backend, tokenizer: dict[str, Any]
) -> None:
    transformer = model(config)
    randomize(transformer, seed)
    transformer.save_pretrained(folder)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))


def _sizes(backend: Backend, layers: int = 2) -> dict[str, int]:
    return {
        "vocab_size": backend.get_vocab_size(),
        "hidden_size": DIMENSIONS,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 2 * DIMENSIONS,
        "max_position_embeddings": POSITIONS,
    }


BERT_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "cls_token": "<s>",
    "sep_token": "</s>",
    "mask_token": "<mask>",
}


def _word_piece(special: dict[str, str], first: str, last: str, unknown: str) -> Backend:
    letters = sorted({letter.lower() for letter in LETTERS})
    pieces = [*dict.fromkeys(special.values()), *sorted({word.lower() for word in WORDS})]
    pieces = list(dict.fromkeys([*pieces, *letters, *(f"##{letter}" for letter in letters)]))
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    backend = Backend(models.WordPiece(vocabulary, unk_token=unknown))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    _frame(backend, first, last)
    backend.add_special_tokens(list(dict.fromkeys(special.values())))
    return backend


def _byte_level(special: dict[str, str], first: str, last: str) -> Backend:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        [" ".join(WORDS), *SENTENCES],
        trainers.BpeTrainer(
            vocab_size=400,
            show_progress=False,
            special_tokens=list(dict.fromkeys(special.values())),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    _frame(backend, first, last)
    return backend


def _frame(backend: Backend, first: str, last: str) -> None:
    ids = [(token, backend.token_to_id(token)) for token in (first, last)]
    backend.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=ids
    )


def _bert(folder: Path, seed: int) -> None:
    backend = _word_piece(BERT_TOKENS, "[CLS]", "[SEP]", "[UNK]")
    config = transformers.BertConfig(**_sizes(backend), pad_token_id=0)
    tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, **BERT_TOKENS}
    _write(folder, seed, config, transformers.BertModel, backend, tokenizer)


def _distilbert(folder: Path, seed: int) -> None:
    backend = _word_piece(BERT_TOKENS, "[CLS]", "[SEP]", "[UNK]")
    config = transformers.DistilBertConfig(
        vocab_size=backend.get_vocab_size(),
        dim=DIMENSIONS,
        n_layers=2,
        n_heads=2,
        hidden_dim=2 * DIMENSIONS,
        max_position_embeddings=POSITIONS,
    )
    tokenizer = {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, **BERT_TOKENS}
    _write(folder, seed, config, transformers.DistilBertModel, backend, tokenizer)


def _mpnet(folder: Path, seed: int) -> None:
    special = {**ROBERTA_TOKENS, "unk_token": "[UNK]"}
    backend = _word_piece(special, "<s>", "</s>", "[UNK]")
    config = transformers.MPNetConfig(
        **_sizes(backend), pad_token_id=1, bos_token_id=0, eos_token_id=2
    )
    tokenizer = {"tokenizer_class": "MPNetTokenizer", "do_lower_case": True, **special}
    _write(folder, seed, config, transformers.MPNetModel, backend, tokenizer)


def _roberta(folder: Path, seed: int) -> None:
    backend = _byte_level(ROBERTA_TOKENS, "<s>", "</s>")
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    config = transformers.RobertaConfig(
        **_sizes(backend), pad_token_id=1, bos_token_id=0, eos_token_id=2
    )
    tokenizer = {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False, **ROBERTA_TOKENS}
    _write(folder, seed, config, transformers.RobertaModel, backend, tokenizer)


def _modernbert(folder: Path, seed: int) -> None:
    backend = _byte_level(BERT_TOKENS, "[CLS]", "[SEP]")
    backend.normalizer = normalizers.NFC()
    config = transformers.ModernBertConfig(
        **_sizes(backend, layers=3),  # one with attention to everything, two with a window
        local_attention=8,
        pad_token_id=0,
        cls_token_id=2,
        sep_token_id=3,
        bos_token_id=2,
        eos_token_id=3,
    )
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        **BERT_TOKENS,
    }
    _write(folder, seed, config, transformers.ModernBertModel, backend, tokenizer)


def _unigram() -> Backend:
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    words = [f"▁{word}" for word in dict.fromkeys(WORDS)]
    pieces = [(token, 0.0) for token in special]
    pieces += [(word, -3.0 - 0.01 * index) for index, word in enumerate(words)]
    pieces += [(piece, -8.0 - 0.01 * index) for index, piece in enumerate(["▁", *LETTERS])]
    backend = Backend(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Strip(),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    backend.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    backend.add_special_tokens([*special, "[MASK]"])
    _frame(backend, "[CLS]", "[SEP]")
    return backend


DEBERTA_V3 = {
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 8,
    "max_relative_positions": -1,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "type_vocab_size": 0,
}


def _deberta(folder: Path, seed: int, **settings: Any) -> None:
    backend = _unigram()
    config = transformers.DebertaV2Config(**_sizes(backend), pad_token_id=0, **settings)
    tokenizer = {"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": False, **BERT_TOKENS}
    _write(folder, seed, config, transformers.DebertaV2Model, backend, tokenizer)


FAMILIES = {
    "bert": Family(_bert, transformers.BertModel, POSITIONS),
    "distilbert": Family(_distilbert, transformers.DistilBertModel, POSITIONS),
    # Two positions go to padding.
    "mpnet": Family(_mpnet, transformers.MPNetModel, POSITIONS - 2),
    "roberta": Family(_roberta, transformers.RobertaModel, POSITIONS - 2),
    "modernbert": Family(_modernbert, transformers.ModernBertModel, None),
    "deberta-v2": Family(_deberta, transformers.DebertaV2Model, POSITIONS),
    "deberta-v3": Family(
        lambda folder, seed: _deberta(folder, seed, **DEBERTA_V3),
        transformers.DebertaV2Model,
        None,
    ),
}
