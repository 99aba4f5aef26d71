"""The files that make a checkpoint folder a sentence-transformers model, too.

`SentenceTransformer(folder)` then gives the same embeddings as the worker does.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from .config import ModelConfig, Pooling

_MODULES = "sentence_transformers.models"


def write_sentence_transformer(folder: Path, config: ModelConfig, dimensions: int) -> None:
    """Write `modules.json` and what it names, beside an encoder in Hugging Face layout."""
    modules: list[tuple[str, str]] = [("", "Transformer"), ("1_Pooling", "Pooling")]
    both = config.embedding_pooling is Pooling.CLS_MEAN
    _write(
        folder / "1_Pooling" / "config.json",
        {
            "word_embedding_dimension": dimensions,
            "pooling_mode_cls_token": config.embedding_pooling in (Pooling.CLS, Pooling.CLS_MEAN),
            "pooling_mode_mean_tokens": config.embedding_pooling
            in (Pooling.MEAN, Pooling.CLS_MEAN),
            "pooling_mode_max_tokens": config.embedding_pooling is Pooling.MAX,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    )
    if both:  # there they are put one after the other; a fixed layer averages them
        modules.append(("2_Dense", "Dense"))
        _write(
            folder / "2_Dense" / "config.json",
            {
                "in_features": 2 * dimensions,
                "out_features": dimensions,
                "bias": False,
                "activation_function": "torch.nn.modules.linear.Identity",
            },
        )
        half = torch.eye(dimensions) / 2
        weight = torch.cat([half, half], dim=1).contiguous()
        save_file({"linear.weight": weight}, folder / "2_Dense" / "model.safetensors")
    if config.normalize:
        modules.append((f"{len(modules)}_Normalize", "Normalize"))
        (folder / modules[-1][0]).mkdir()
    _write(
        folder / "modules.json",
        [
            {"idx": index, "name": str(index), "path": path, "type": f"{_MODULES}.{kind}"}
            for index, (path, kind) in enumerate(modules)
        ],
    )
    _write(
        folder / "sentence_bert_config.json",
        {"max_seq_length": config.max_tokens, "do_lower_case": False},
    )


def _write(file: Path, data: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
