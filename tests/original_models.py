"""Small models of the real classes of other libraries, with real tokenizers, as they save them."""

import sys
import types
from pathlib import Path
from typing import Any

import joblib
import torch
from small_bert import WORDS, randomize
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import PreTrainedTokenizerFast

HIDDEN = 32
LABELS = ("sea", "land", "sky")
SENTENCES = [
    "The quick foxes run!",
    "a",
    "Zürich, 東京 and the   naïve fox 🦊",
    "the quick fox runs " * 60,
]

_SHAPE: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 2 * HIDDEN,
}
_DISTILBERT = {"dim": HIDDEN, "n_layers": 2, "n_heads": 2, "hidden_dim": 2 * HIDDEN}


def _distilbert(vocabulary: int, **options: Any) -> Any:
    from transformers import DistilBertConfig

    return DistilBertConfig(
        vocab_size=vocabulary, max_position_embeddings=64, **_DISTILBERT, **options
    )


def _config(name: str, positions: int = 64, **fixed: Any) -> Any:
    def make(vocabulary: int, **options: Any) -> Any:
        import transformers

        kwargs = {"max_position_embeddings": positions, **_SHAPE, **fixed, **options}
        return getattr(transformers, name)(vocab_size=vocabulary, **kwargs)

    return make


_ROBERTA_IDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
_MODERN = {"global_attn_every_n_layers": 2, "local_attention": 8, "pad_token_id": 0}
_MODERN |= {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
_DEBERTA = {
    "relative_attention": True,
    "position_buckets": 16,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "pooler_hidden_size": HIDDEN,
}
# Model type: its configuration, the prefix of its classes, its tokenizer, positions.
FAMILIES: dict[str, tuple[Any, str, str, int]] = {
    "bert": (_config("BertConfig"), "Bert", "wordpiece", 64),
    "distilbert": (_distilbert, "DistilBert", "wordpiece", 64),
    "roberta": (_config("RobertaConfig", 66, **_ROBERTA_IDS), "Roberta", "bytes", 64),
    "xlm-roberta": (_config("XLMRobertaConfig", 66, **_ROBERTA_IDS), "XLMRoberta", "unigram", 64),
    "mpnet": (_config("MPNetConfig", 66, **_ROBERTA_IDS), "MPNet", "bytes", 64),
    "deberta-v2": (_config("DebertaV2Config", 512, **_DEBERTA), "DebertaV2", "unigram", 512),
    "modernbert": (_config("ModernBertConfig", 512, **_MODERN), "ModernBert", "bytes_cls", 512),
}


def write_classifier(
    folder: Path, family: str, task: str = "Sequence", labels=LABELS, seed: int = 0, **options: Any
) -> Any:
    """Write a model with its tokenizer as transformers does; returns it, in evaluation mode."""
    import transformers

    configure, prefix, kind, _ = FAMILIES[family]
    vocabulary = write_tokenizer(folder, kind)
    config = configure(
        vocabulary,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        **options,
    )
    model = getattr(transformers, f"{prefix}For{task}Classification")(config)
    randomize(model, seed)
    model.save_pretrained(folder)
    return model.eval()


def write_tokenizer(folder: Path, kind: str, model_max_length: int | None = None) -> int:
    """Write a tokenizer; returns the size of its vocabulary."""
    backend, names = _BACKENDS[kind]()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **names,
        **({} if model_max_length is None else {"model_max_length": model_max_length}),
    )
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def _wordpiece() -> tuple[Backend, dict[str, str]]:
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    backend = Backend(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    return backend, names | {"sep_token": "[SEP]", "mask_token": "[MASK]"}


def _bytes() -> tuple[Backend, dict[str, str]]:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    _train(backend, trainers.BpeTrainer, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return backend, _ANGLED


def _bytes_cls() -> tuple[Backend, dict[str, str]]:
    backend, _ = _wordpiece()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    return backend, names | {"sep_token": "[SEP]"}


def _unigram() -> tuple[Backend, dict[str, str]]:
    backend = Backend(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    _train(backend, trainers.UnigramTrainer, unk_token="<unk>")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return backend, _ANGLED


_ANGLED = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>"}
_ANGLED |= {"sep_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}
_BACKENDS = {
    "wordpiece": _wordpiece,
    "bytes": _bytes,
    "bytes_cls": _bytes_cls,
    "unigram": _unigram,
}


def _train(backend: Backend, trainer: Any, **options: Any) -> None:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend.train_from_iterator(
        SENTENCES, trainer(special_tokens=special, vocab_size=300, show_progress=False, **options)
    )


def write_sentence_transformer(
    folder: Path, pooling: str = "mean", normalize: bool = True, **transformer: Any
) -> Any:
    """Write a small BERT as sentence-transformers does; returns the model."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from small_bert import write_small_bert

    source = folder.with_name(f"{folder.name}-source")
    source.mkdir()
    write_small_bert(source)
    modules = [Transformer(str(source), **transformer), Pooling(HIDDEN, pooling)]
    model = SentenceTransformer(
        modules=[*modules, Normalize()] if normalize else modules, device="cpu"
    )
    model.save(str(folder), create_model_card=False)
    return model


def dump_setfit_head(
    file: Path,
    outputs: int = 3,
    inputs: int = HIDDEN,
    module: str = "setfit.modeling",
    **changes: Any,
) -> nn.Module:
    """Write a head as SetFit does, with a class of the same module, name and attributes.

    SetFit itself is not installed; the class is gone again when the file is written.
    """

    def forward(head: Any, vectors: torch.Tensor) -> torch.Tensor:
        return head.linear(vectors) / (head.temperature + head.eps)

    kind = type("SetFitHead", (nn.Module,), {"__module__": module, "forward": forward})
    head: Any = kind()
    bias = changes.pop("bias", True)
    head.linear = nn.Linear(inputs, outputs, bias=bias)
    randomize(head.linear, 5)
    attributes = {"in_features": inputs, "out_features": outputs, "temperature": 1.0, "eps": 1e-5}
    attributes |= {"bias": bias, "_device": "cpu", "multitarget": False, **changes}
    for name, value in attributes.items():
        setattr(head, name, value)
    packages = {name: types.ModuleType(name) for name in (module.partition(".")[0], module)}
    packages[module].SetFitHead = kind  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in packages}
    sys.modules.update(packages)
    try:
        joblib.dump(head, str(file))
    finally:
        for name, old in before.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old
    return head.eval()
