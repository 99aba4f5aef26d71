"""Each published configuration builds, saves, loads, and computes what it should."""

from pathlib import Path
from typing import Any

import pytest
import torch
from reference_configurations import MINILM, REFERENCE_CONFIGURATIONS, TAGS, build
from safetensors.torch import load_file
from small_encoders import LONG, SENTENCES
from torch.nn import functional
from transformers import AutoModel
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import MlpHead, Pooling, TaskConfig, TaskKind
from twinhead.model.encoder import find_encoder

TEXTS = [*SENTENCES, LONG]


@pytest.fixture(scope="module", params=list(REFERENCE_CONFIGURATIONS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def built(name: str, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return build(name, tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module")
def saved(built: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    built.save(folder)
    return folder


def batch_of(checkpoint: Checkpoint, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    ids = [sentence.ids for sentence in checkpoint.tokenizer(texts)]
    input_ids = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.int64)
    mask = torch.zeros_like(input_ids)
    for row, sentence in enumerate(ids):
        input_ids[row, : len(sentence)] = torch.tensor(sentence)
        mask[row, : len(sentence)] = 1
    return input_ids, mask


def head_by_hand(
    task: TaskConfig, tensors: dict[str, torch.Tensor], hidden: torch.Tensor
) -> torch.Tensor:
    """Logits of one sentence from its token vectors, [tokens, dimensions]."""

    def linear(layer: str, vectors: torch.Tensor) -> torch.Tensor:
        key = f"{task.name}.{layer}"
        return vectors @ tensors[f"{key}.weight"].double().T + tensors[f"{key}.bias"].double()

    mean = hidden.sum(dim=0) / len(hidden)
    vectors = {
        Pooling.MEAN: mean,
        Pooling.CLS: hidden[0],
        Pooling.MAX: hidden.amax(dim=0),
        Pooling.CLS_MEAN: torch.cat([hidden[0], mean]),
    }[task.pooling]
    if task.kind is TaskKind.TOKEN:
        vectors = hidden
    if task.pooling is Pooling.CLS_MEAN:
        vectors = linear("combine", vectors)
    if isinstance(task.head, MlpHead):
        inner = torch.relu(linear("hidden.linear", vectors))
        inner = inner + vectors if task.head.residual else inner
        norm = [tensors[f"{task.name}.hidden.norm.{part}"].double() for part in ("weight", "bias")]
        vectors = functional.layer_norm(inner, inner.shape[-1:], *norm)
    return linear("output", vectors)


def test_the_table():
    assert {
        "bert_mean_alpha",
        "minilm_synchronous",
        "bert_cls_ner",
        "distilbert_alternating",
        "bert_cls_mean_binary",
    } < set(REFERENCE_CONFIGURATIONS)
    assert len(TAGS) == 9


def test_saves_and_loads(built, saved):
    loaded = Checkpoint.load(saved)
    assert loaded.version == built.version
    assert loaded.config == built.config
    batch = batch_of(built, TEXTS)
    with torch.inference_mode():
        before, after = built.network(*batch), loaded.network(*batch)
    assert torch.equal(before.embeddings, after.embeddings)
    assert list(before.logits) == list(after.logits) == [task.name for task in built.config.tasks]
    for task in before.logits:
        assert torch.equal(before.logits[task], after.logits[task])


def test_without_the_encoders_tensors(built, tmp_path):
    folder = tmp_path / "model"
    built.save_delta(folder)
    assert not (folder / "model.safetensors").exists()
    assert Checkpoint.load(folder).version == built.version


def test_logits_are_right(name, built, saved):
    """Each sentence alone through AutoModel, and the head by plain arithmetic in double."""
    tensors = load_file(saved / "heads.safetensors")
    minilm = built.config.encoder == MINILM
    transformer: Any = AutoModel.from_pretrained(find_encoder(MINILM) if minilm else saved)
    with torch.inference_mode():
        output = Checkpoint.load(saved).network(*batch_of(built, TEXTS))
    for row, sentence in enumerate(built.tokenizer(TEXTS)):
        with torch.inference_mode():
            hidden = transformer(input_ids=torch.tensor([sentence.ids])).last_hidden_state[0]
        for task in built.config.tasks:
            expected = head_by_hand(task, tensors, hidden.double())
            found = output.logits[task.name][row]
            if task.kind is TaskKind.TOKEN:
                found = found[: len(sentence.ids)]
                assert found.shape == (len(sentence.ids), len(task.labels))
            else:
                assert found.shape == (1 if task.kind is TaskKind.BINARY else len(task.labels),)
            torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


def test_sentences_and_labels_are_told_apart(built):
    """What the comparisons rely on."""
    with torch.inference_mode():
        output = built.network(*batch_of(built, TEXTS[:4]))
    for task in built.config.tasks:
        logits = output.logits[task.name]
        rows = logits[:, 1] if task.kind is TaskKind.TOKEN else logits
        assert float(torch.pdist(rows).min()) > 1e-3
        if task.logits > 1:
            assert float(logits.std(dim=-1).min()) > 1e-3


def test_every_task_can_be_trained(built):
    """A gradient reaches each parameter of the heads, and the lowest layer of the encoder."""
    network = built.network
    try:
        output = network(*batch_of(built, TEXTS[:2]))
        sum(logits.square().sum() for logits in output.logits.values()).backward()
        for key, parameter in network.heads.named_parameters():
            assert parameter.grad is not None, key
            assert bool(torch.isfinite(parameter.grad).all()), key
            assert float(parameter.grad.abs().max()) > 0, key
        embeddings = network.encoder.transformer.get_input_embeddings().weight.grad
        assert float(embeddings.abs().max()) > 0
    finally:
        network.zero_grad(set_to_none=True)
