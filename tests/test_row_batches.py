import numpy as np
import pytest
import torch
from evaluated import TASKS, checkpoint, random_rows
from twinhead.trainer.encoded_rows import encode_rows
from twinhead.trainer.freezing import freeze
from twinhead.trainer.frozen_prefix import CachedPrefix, FrozenPrefix
from twinhead.trainer.row_batches import RowBatches


@pytest.fixture
def setting(tmp_path):
    model = checkpoint(tmp_path)
    rows = encode_rows([random_rows(20)], TASKS, model.tokenizer)
    return model.network, rows


def test_rows_come_once_in_groups_within_the_budget(setting):
    _, rows = setting
    made = RowBatches(rows, TASKS, torch.device("cpu"), 60)(np.arange(20))
    assert len(made) > 1
    shapes = [batch.input_ids.shape for batch in made]
    assert sum(shape[0] for shape in shapes) == 20
    assert all(shape[0] * shape[1] <= 60 or shape[0] == 1 for shape in shapes)
    seen = sorted(tuple(ids[m == 1].tolist()) for b in made for ids, m in zip(b.input_ids, b.mask))  # noqa: B905
    wanted = sorted(
        tuple(rows.ids[start:end].tolist())
        for start, end in zip(rows.starts, rows.starts[1:], strict=False)
    )
    assert seen == wanted


def test_no_rows_are_no_batches(setting):
    _, rows = setting
    assert RowBatches(rows, TASKS, torch.device("cpu"), 60)(np.zeros(0, dtype=np.int64)) == []


def test_what_the_frozen_layers_gave_is_padded_with_its_rows(setting):
    network, rows = setting
    freeze(network, ["below:1"])
    prefix = FrozenPrefix(network, 1, [], every_token=True, pass_tokens=60)
    batches = RowBatches(rows, TASKS, torch.device("cpu"), 60, CachedPrefix(prefix, rows, 0))
    for batch in batches(np.arange(20)):
        assert batch.split is prefix.split
        assert batch.hidden is not None
        assert batch.hidden.shape[:2] == batch.input_ids.shape
        lower = prefix.split.lower(batch.input_ids, batch.mask)
        kept = batch.mask == 1
        torch.testing.assert_close(batch.hidden[kept], lower[kept], atol=1e-5, rtol=1e-5)
        assert not batch.hidden[~kept].any()
