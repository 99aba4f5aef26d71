import copy

import numpy as np
import pytest
import torch
from evaluated import TASKS, checkpoint, random_rows
from twinhead.model.config import Pooling
from twinhead.trainer.anchors import compute_anchors, distances, kept_embeddings, read_anchors
from twinhead.trainer.encoded_rows import encode_rows
from twinhead.trainer.padded_batch import make_batch
from twinhead.trainer.row_batches import RowBatches
from twinhead.trainer.task_logits import encode


@pytest.fixture
def setting(tmp_path):
    model = checkpoint(tmp_path)
    rows = encode_rows([random_rows(40)], TASKS, model.tokenizer)
    return model.network, RowBatches(rows, TASKS, torch.device("cpu"), 120)


def embedding(network, rows, index):
    batch = make_batch(rows, np.array([index]), TASKS)
    with torch.no_grad():
        return network(batch.input_ids, batch.mask, ()).embeddings[0]


@pytest.mark.parametrize("pooling", list(Pooling))
def test_anchors_are_the_embeddings_as_the_worker_gives_them(setting, tmp_path, pooling):
    network, batches = setting
    network.config = network.config.model_copy(update={"embedding_pooling": pooling})
    network.train()
    told = []
    compute_anchors(network, batches, tmp_path / "a.npy", lambda *done: told.append(done))
    assert told[-1] == (40, 40)
    found = read_anchors(tmp_path / "a.npy")
    assert found.shape == (40, network.dimensions)
    assert [file.name for file in tmp_path.glob("a.*")] == ["a.npy"]
    for index in range(40):
        alone = embedding(network, batches.rows, index).numpy()
        np.testing.assert_allclose(found[index], alone, atol=1e-5)


def test_distances_are_one_minus_cosine_whatever_the_lengths(setting):
    network, batches = setting
    batch = make_batch(batches.rows, np.array([3, 8, 1]), TASKS)
    hidden = encode(network, batch)
    now = torch.stack([embedding(network, batches.rows, index) for index in (3, 8, 1)])
    assert distances(network, batch, hidden, 7 * now).abs().max() < 1e-5
    assert (distances(network, batch, hidden, -now) - 2).abs().max() < 1e-5


def test_each_row_comes_with_its_own_anchor(setting, tmp_path):
    network, batches = setting
    compute_anchors(network, batches, tmp_path / "a.npy", lambda *_: None)
    batches.anchors = read_anchors(tmp_path / "a.npy")
    for batch in batches(np.array([5, 30, 2, 17, 11, 8, 23])):
        hidden = encode(network, batch)
        assert batch.anchors is not None
        assert distances(network, batch, hidden, batch.anchors).abs().max() < 1e-5
    assert kept_embeddings(network, batches) == pytest.approx(1, abs=1e-5)


def test_what_moved_is_seen(setting, tmp_path):
    network, batches = setting
    compute_anchors(network, batches, tmp_path / "a.npy", lambda *_: None)
    batches.anchors = read_anchors(tmp_path / "a.npy")
    moved = copy.deepcopy(network)
    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in moved.encoder.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=drawn)
    cosines = [
        torch.cosine_similarity(
            embedding(network, batches.rows, i), embedding(moved, batches.rows, i), dim=0
        )
        for i in range(40)
    ]
    assert kept_embeddings(moved, batches) == pytest.approx(float(np.mean(cosines)), abs=1e-5)
    assert kept_embeddings(moved, batches) < 0.999


def test_without_anchors_it_says_so(setting):
    network, batches = setting
    with pytest.raises(ValueError, match="no anchors"):
        kept_embeddings(network, batches)
