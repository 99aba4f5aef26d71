"""A checkpoint becomes a model that has run."""

from pathlib import Path

import pytest
from debug_model import debug_model
from twinhead.model.errors import CheckpointError
from twinhead.server.load_model import checkpoint_folder, load_model, warm
from twinhead.server.settings import WorkerSettings


def test_the_starter_is_a_name_and_all_else_a_folder():
    assert (checkpoint_folder("starter") / "twinhead.json").is_file()
    assert checkpoint_folder("some/folder") == Path("some/folder")


def test_a_loaded_model_answers():
    model = load_model(WorkerSettings(device="cpu"))
    output = model.engine.encode([[101, 2204, 102]], ["topic", "sentiment"])
    assert output.embeddings.shape == (1, model.dimensions) == (1, 384)
    assert {name: logits.shape[1] for name, logits in output.logits.items()} == {
        "topic": 4,
        "sentiment": 3,
    }


def test_warming_is_a_real_pass_with_every_head():
    model = debug_model()
    warm(model)
    assert model.engine.passes == [1, 64]
    assert model.engine.tasks[0] == {"parity", "size"}


def test_a_checkpoint_that_is_not_there():
    with pytest.raises(CheckpointError, match=r"twinhead.json is missing"):
        load_model(WorkerSettings(model="no-such-folder"))
