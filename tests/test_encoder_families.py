"""Each family of encoders through the real loading code: vectors, padding, files, ecosystem."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from small_bert import randomize
from small_encoders import DIMENSIONS, FAMILIES, LONG, SENTENCES, write_encoder
from tokenizers import Tokenizer as Backend
from transformers import AutoModel, AutoTokenizer
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import MlpHead, ModelConfig, Pooling, TaskConfig, TaskKind
from twinhead.model.encoder import Encoder
from twinhead.model.errors import CheckpointError
from twinhead.model.network import Network
from twinhead.model.tokenizer import Tokenizer

MAX_TOKENS = 40
TEXTS = [*SENTENCES, LONG, "the fox " * 9, "!"]
TASKS = (
    *(TaskConfig(name=str(pooling), labels=("a", "b"), pooling=pooling) for pooling in Pooling),
    TaskConfig(name="tags", kind=TaskKind.TOKEN, labels=("O", "B-X", "I-X"), head=MlpHead()),
)
families = pytest.mark.parametrize("family", list(FAMILIES))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {family: write_encoder(root / family, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def checkpoints(folders: dict[str, Path]) -> dict[str, Checkpoint]:
    return {family: make(folder) for family, folder in folders.items()}


def make(folder: Path, max_tokens: int = MAX_TOKENS, **settings: Any) -> Checkpoint:
    encoder = Encoder.load(folder)
    settings = {"tasks": TASKS, **settings}
    config = ModelConfig(encoder=str(folder), max_tokens=max_tokens, **settings)
    network = Network(config, encoder, encoder.dimensions)
    randomize(network.heads, 0)
    return Checkpoint.create(network, Tokenizer.load(folder, max_tokens))


def padded(
    ids: list[list[int]], extra: int = 0, fill: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    input_ids = torch.full((len(ids), max(map(len, ids)) + extra), fill)
    mask = torch.zeros_like(input_ids)
    for row, sentence in enumerate(ids):
        input_ids[row, : len(sentence)] = torch.tensor(sentence)
        mask[row, : len(sentence)] = 1
    return input_ids, mask


@torch.inference_mode()
def outputs(
    checkpoint: Checkpoint, ids: list[list[int]], **padding: int
) -> list[dict[str, torch.Tensor]]:
    """For each sentence its embedding and its logits, those of its own tokens only."""
    output = checkpoint.network(*padded(ids, **padding))
    return [
        {
            "embedding": output.embeddings[row],
            **{name: logits[row] for name, logits in output.logits.items() if name != "tags"},
            "tags": output.logits["tags"][row, : len(sentence)],
        }
        for row, sentence in enumerate(ids)
    ]


def assert_near(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=0, atol=1e-5, msg=name)


# --- vectors


@families
def test_hidden_states_equal_those_of_auto_model(folders, family):
    encoder = Encoder.load(folders[family])
    assert type(encoder.transformer) is FAMILIES[family].model_class
    assert encoder.dimensions == DIMENSIONS
    reference: Any = AutoModel.from_pretrained(folders[family])
    for sentence in Tokenizer.load(folders[family], MAX_TOKENS)(TEXTS):
        ids = torch.tensor([sentence.ids])
        with torch.inference_mode():
            hidden = encoder(ids, torch.ones_like(ids))
            assert hidden.shape == (1, len(sentence.ids), DIMENSIONS)
            assert torch.equal(hidden, reference(input_ids=ids).last_hidden_state)


@families
def test_token_ids_are_those_of_the_file(folders, family):
    backend = Backend.from_file(str(folders[family] / "tokenizer.json"))
    known = 0
    for text, sentence in zip(TEXTS, Tokenizer.load(folders[family], 1000)(TEXTS), strict=True):
        assert sentence.ids == backend.encode(text).ids
        known += len(set(sentence.ids))
    assert known > 100  # not all unknown


@families
def test_as_many_tokens_as_it_says_and_not_one_more(folders, family):
    encoder = Encoder.load(folders[family])
    limit = encoder.max_tokens
    assert limit == FAMILIES[family].max_tokens
    with torch.inference_mode():
        if limit is None:  # positions are relative: there is no end to them
            ids = torch.full((1, 100), 7)
            assert bool(torch.isfinite(encoder(ids, torch.ones_like(ids))).all())
            return
        ids = torch.full((1, limit + 1), 7)
        encoder(ids[:, 1:], torch.ones_like(ids[:, 1:]))
        with pytest.raises((IndexError, RuntimeError)):
            encoder(ids, torch.ones_like(ids))
    make(folders[family], limit)
    with pytest.raises(CheckpointError, match=f"positions for {limit} tokens"):
        make(folders[family], limit + 1)


# --- padding and order


@families
@settings(deadline=None, max_examples=6)
@given(
    chosen=st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=6),
    extra=st.integers(0, 20),
    fill=st.sampled_from([0, 1, 9]),
)
def test_padding_changes_nothing(checkpoints, family, chosen, extra, fill):
    """Whatever the padding's token: the worker pads with 0, whichever token that is."""
    checkpoint = checkpoints[family]
    ids = [sentence.ids for sentence in checkpoint.tokenizer([TEXTS[index] for index in chosen])]
    together = outputs(checkpoint, ids, extra=extra, fill=fill)
    for found, sentence in zip(together, ids, strict=True):
        assert_near(found, outputs(checkpoint, [sentence])[0])


@families
@settings(deadline=None, max_examples=6)
@given(order=st.permutations(range(len(TEXTS))))
def test_the_order_of_a_batch_changes_nothing(checkpoints, family, order):
    checkpoint = checkpoints[family]
    ids = [sentence.ids for sentence in checkpoint.tokenizer(TEXTS)]
    straight = outputs(checkpoint, ids)
    shuffled = outputs(checkpoint, [ids[index] for index in order])
    for place, index in enumerate(order):
        assert_near(shuffled[place], straight[index])


@families
def test_sentences_and_poolings_are_told_apart(checkpoints, family):
    """What the two tests above rely on."""
    checkpoint = checkpoints[family]
    ids = [sentence.ids for sentence in checkpoint.tokenizer(SENTENCES)]
    assert len({tuple(sentence) for sentence in ids}) == len(ids)
    rows = outputs(checkpoint, ids)
    for name in rows[0].keys() - {"tags"}:
        assert float(torch.pdist(torch.stack([row[name] for row in rows])).min()) > 1e-3


# --- checkpoints


@families
def test_round_trip(folders, checkpoints, family, tmp_path):
    checkpoint = checkpoints[family]
    checkpoint.save(tmp_path / "full")
    checkpoint.save_delta(tmp_path / "delta")
    ids = [sentence.ids for sentence in checkpoint.tokenizer(TEXTS)]
    expected = outputs(checkpoint, ids)
    for name in ("full", "delta"):
        loaded = Checkpoint.load(tmp_path / name)
        assert loaded.version == checkpoint.version
        assert [sentence.ids for sentence in loaded.tokenizer(TEXTS)] == ids
        for found, row in zip(outputs(loaded, ids), expected, strict=True):
            assert all(torch.equal(found[key], row[key]) for key in row)
    # Saved once more, it is the same, file by file.
    Checkpoint.load(tmp_path / "full").save(tmp_path / "again")
    files = [path for path in (tmp_path / "full").rglob("*") if path.is_file()]
    assert len(files) > 8
    for file in files:
        copied = tmp_path / "again" / file.relative_to(tmp_path / "full")
        assert copied.read_bytes() == file.read_bytes(), file


# Settings that change what comes out, and no tensor.
SETTINGS = [
    ("bert", "hidden_act", "relu"),
    ("bert", "layer_norm_eps", 0.1),
    ("distilbert", "activation", "relu"),
    ("distilbert", "n_heads", 4),
    ("mpnet", "hidden_act", "relu"),
    ("roberta", "num_attention_heads", 4),
    ("modernbert", "hidden_activation", "relu"),
    ("modernbert", "norm_eps", 0.1),
    ("modernbert", "layer_types", ["full_attention"] * 3),
    ("modernbert", "local_attention", 4),
    ("deberta-v2", "hidden_act", "relu"),
    ("deberta-v3", "hidden_act", "relu"),
    ("deberta-v3", "max_relative_positions", 3),
    ("deberta-v3", "max_position_embeddings", 16),
    ("deberta-v3", "norm_rel_ebd", "none"),
]


@pytest.mark.parametrize(("family", "key", "value"), SETTINGS)
def test_a_changed_setting_is_refused_by_name(checkpoints, family, key, value, tmp_path):
    checkpoints[family].save(tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    stated = json.loads(file.read_text())
    assert stated[key] != value
    file.write_text(json.dumps({**stated, key: value}))
    # First: it matters.
    ids = [sentence.ids for sentence in checkpoints[family].tokenizer([LONG])]
    with torch.inference_mode():
        hidden = Encoder.load(tmp_path / "model")(*padded(ids))
        before = checkpoints[family].network.encoder(*padded(ids))
    assert not torch.equal(hidden, before)
    name = {
        "n_heads": "num_attention_heads",
        "max_position_embeddings": "max_relative_positions",
    }.get(key, key)
    with pytest.raises(CheckpointError, match=f": {name} of the encoder's config"):
        Checkpoint.load(tmp_path / "model")


# --- the ecosystem's tools


@families
def test_transformers_reads_a_saved_folder(checkpoints, family, tmp_path):
    checkpoint = checkpoints[family]
    checkpoint.save(tmp_path / "model")
    model: Any = AutoModel.from_pretrained(tmp_path / "model")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "model")
    batch = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    assert set(batch) == {"input_ids", "attention_mask"}
    sentences = checkpoint.tokenizer(TEXTS)
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state
    for row, sentence in enumerate(sentences):
        count = len(sentence.ids)
        assert batch["input_ids"][row, :count].tolist() == sentence.ids
        assert int(batch["attention_mask"][row].sum()) == count
        with torch.inference_mode():
            alone = checkpoint.network.encoder(*padded([sentence.ids]))[0]
        torch.testing.assert_close(hidden[row, :count], alone, rtol=0, atol=1e-5)


@families
@pytest.mark.parametrize("pooling", list(Pooling))
@pytest.mark.parametrize("normalize", [True, False], ids=["unit", "plain"])
def test_sentence_transformers_gives_the_same_embeddings(
    folders, family, pooling, normalize, tmp_path
):
    checkpoint = make(folders[family], tasks=(), embedding_pooling=pooling, normalize=normalize)
    checkpoint.save(tmp_path / "model")
    reference = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert reference.max_seq_length == MAX_TOKENS
    assert reference.get_embedding_dimension() == DIMENSIONS
    expected = reference.encode(TEXTS)
    sentences = checkpoint.tokenizer(TEXTS)
    assert any(sentence.truncated for sentence in sentences)
    for row, sentence in enumerate(sentences):
        with torch.inference_mode():
            vector = checkpoint.network(*padded([sentence.ids])).embeddings[0].numpy()
        if normalize:
            vector = vector / np.linalg.norm(vector)
        np.testing.assert_allclose(vector, expected[row], rtol=0, atol=1e-5)
    lengths = np.linalg.norm(expected, axis=1)
    assert all(math.isclose(length, 1, abs_tol=1e-5) for length in lengths) is normalize
