"""The files that make a checkpoint a sentence-transformers model.

What it computes there is compared in test_encoder_families.py.
"""

import json

import numpy as np
import pytest
import torch
from reference_configurations import build
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from small_encoders import SENTENCES
from twinhead.model.config import ModelConfig, Pooling
from twinhead.model.ecosystem import write_sentence_transformer
from twinhead.model.encoder import find_encoder


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", list(Pooling))
def test_files(tmp_path, pooling, normalize):
    config = ModelConfig(encoder="x", max_tokens=77, embedding_pooling=pooling, normalize=normalize)
    write_sentence_transformer(tmp_path, config, 8)
    modules = json.loads((tmp_path / "modules.json").read_text())
    assert [module["idx"] for module in modules] == list(range(len(modules)))
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    both = pooling is Pooling.CLS_MEAN
    assert kinds == [
        "Transformer",
        "Pooling",
        *(["Dense"] if both else []),
        *(["Normalize"] if normalize else []),
    ]
    modes = json.loads((tmp_path / "1_Pooling" / "config.json").read_text())
    assert modes.pop("word_embedding_dimension") == 8
    wanted = {
        Pooling.MEAN: {"pooling_mode_mean_tokens"},
        Pooling.CLS: {"pooling_mode_cls_token"},
        Pooling.MAX: {"pooling_mode_max_tokens"},
        Pooling.CLS_MEAN: {"pooling_mode_cls_token", "pooling_mode_mean_tokens"},
    }
    assert {mode for mode, on in modes.items() if on} == wanted[pooling]
    stated = json.loads((tmp_path / "sentence_bert_config.json").read_text())
    assert stated["max_seq_length"] == 77
    assert (tmp_path / "2_Dense").exists() is both
    if both:
        weight = load_file(tmp_path / "2_Dense" / "model.safetensors")["linear.weight"]
        halves = torch.arange(16.0)
        assert torch.equal(weight @ halves, (halves[:8] + halves[8:]) / 2)


def test_a_copy_without_empty_folders_is_read_too(tmp_path):
    """As git and the Hub make: they know files only."""
    checkpoint = build("bert_cls_mean_binary", tmp_path)
    checkpoint.save(tmp_path / "model")
    before = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(SENTENCES)
    for path in sorted((tmp_path / "model").rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    after = SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(SENTENCES)
    np.testing.assert_array_equal(before, after)


def test_minilm_gives_what_it_gave_before(tmp_path):
    """The real weights: the saved folder, the published one, and ours."""
    checkpoint = build("minilm_synchronous", tmp_path)
    checkpoint.save(tmp_path / "model")
    saved = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    published = SentenceTransformer(str(find_encoder("all-MiniLM-L6-v2")), device="cpu")
    texts = [*SENTENCES, "word " * 300]
    np.testing.assert_allclose(saved.encode(texts), published.encode(texts), rtol=0, atol=1e-6)
    for text, vector in zip(texts, saved.encode(texts), strict=True):
        (sentence,) = checkpoint.tokenizer([text])
        ids = torch.tensor([sentence.ids])
        with torch.inference_mode():
            own = checkpoint.network(ids, torch.ones_like(ids), ()).embeddings[0]
        np.testing.assert_allclose((own / own.norm()).numpy(), vector, rtol=0, atol=1e-5)
