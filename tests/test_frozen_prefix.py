import errno
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_encoders import write_encoder
from trained import write_rows
from twinhead.model.config import ModelConfig, Pooling, TaskConfig
from twinhead.model.encoder import Encoder
from twinhead.model.network import Network
from twinhead.model.pooling import pool
from twinhead.model.tokenizer import Tokenizer
from twinhead.trainer.encoded_rows import encode_rows
from twinhead.trainer.freezing import freeze
from twinhead.trainer.frozen_prefix import CachedPrefix, FrozenPrefix
from twinhead.trainer.labelled_rows import read_rows
from twinhead.trainer.padded_batch import pad
from twinhead.trainer.recipe import DataRecipe

ROWS = 30


@pytest.fixture
def setting(tmp_path):
    encoder_folder = write_encoder(tmp_path / "encoder", "bert")
    encoder = Encoder.load(encoder_folder)
    task = TaskConfig(name="topic", labels=("animals", "places"), pooling=Pooling.CLS_MEAN)
    network = Network(ModelConfig(encoder="x", tasks=(task,)), encoder, encoder.dimensions).eval()
    file = write_rows(tmp_path / "rows.jsonl", ROWS, 1)
    source = DataRecipe(name="rows", train=(str(file),), tasks={"topic": "topic"})
    found = read_rows(source, "train", {"topic": task}).rows
    rows = encode_rows([found], [task], Tokenizer.load(encoder_folder, 32))
    return network, rows


def prefix_of(network, layers, poolings=(Pooling.CLS_MEAN, Pooling.MEAN), every_token=False):
    rules = ["encoder"] if layers is None else [f"below:{layers}"]
    freeze(network, rules)
    return FrozenPrefix(network, layers, poolings, every_token=every_token, pass_tokens=64)


def ignore(done, total):
    pass


def test_pooled_vectors_are_what_the_heads_would_read(setting):
    network, rows = setting
    prefix = prefix_of(network, None)
    vectors = prefix.compute(rows, np.arange(ROWS))
    pooled = prefix.pooled(torch.from_numpy(np.concatenate(vectors)))
    for index in range(ROWS):
        input_ids, mask = pad(rows, np.array([index]))
        with torch.no_grad():
            hidden = network.encoder(input_ids, mask)
        for pooling in (Pooling.CLS_MEAN, Pooling.MEAN):
            wanted = pool(hidden, mask, pooling)[0]
            torch.testing.assert_close(pooled[pooling][index], wanted, atol=1e-5, rtol=1e-5)


def test_token_tasks_get_every_token(setting):
    network, rows = setting
    prefix = prefix_of(network, None, every_token=True)
    assert prefix.poolings == ()
    vectors = prefix.compute(rows, np.array([4, 2]))
    assert [len(row) for row in vectors] == rows.lengths[[4, 2]].tolist()


@pytest.mark.parametrize("layers", [1, None])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_is_kept_equals_what_is_computed(setting, tmp_path, layers, share):
    network, rows = setting
    prefix = prefix_of(network, layers)
    size = int(prefix.units(rows).sum()) * prefix.width * 4
    cached = CachedPrefix(prefix, rows, int(size * share))
    assert cached.bytes <= size * share
    assert (cached.kept == ROWS) == (share == 1.0)
    file = tmp_path / "cache" / "x"
    if cached.kept:
        cached.make_file(file)
        for part in range(3):  # as three processes would
            cached.fill(file, ignore, part=part, parts=3)
        assert file.stat().st_size == cached.bytes
    cached.open(file)
    chosen = np.array([29, 0, 17, 3, 16])
    for found, wanted in zip(cached.vectors(chosen), prefix.compute(rows, chosen), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_its_key_changes_with_the_frozen_weights_and_no_others(setting):
    network, _ = setting
    prefix = prefix_of(network, 1)
    before = prefix.key
    layers = network.encoder.transformer.encoder.layer
    with torch.no_grad():
        layers[1].output.dense.bias.add_(1)
    assert prefix.key == before
    with torch.no_grad():
        layers[0].output.dense.bias.add_(1)
    assert prefix.key != before


def test_a_disk_without_room_is_told_before_it_is_written(setting, tmp_path, monkeypatch):
    network, rows = setting
    cached = CachedPrefix(prefix_of(network, 1), rows, 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=cached.bytes - 1))
    with pytest.raises(OSError, match="cache_gigabytes") as raised:
        cached.make_file(tmp_path / "cache" / "x")
    assert raised.value.errno == errno.ENOSPC
    assert not list((tmp_path / "cache").iterdir())
