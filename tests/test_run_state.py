import resource

import numpy as np
import pytest
import torch
from test_freezing import network_of
from twinhead.trainer.errors import RunError
from twinhead.trainer.freezing import freeze
from twinhead.trainer.losses import LossWeights, TaskLoss
from twinhead.trainer.multi_task_model import MultiTaskModel
from twinhead.trainer.optimizer import make_optimizer
from twinhead.trainer.recipe import LossRecipe, TrainingRecipe
from twinhead.trainer.run_state import RunState, load_state, save_state, save_tensors


def model_of(folder, rules=("top:1",)):
    network = network_of(folder)
    tasks = network.config.tasks
    losses = {task.name: TaskLoss(task, np.ones(2, dtype=np.float32), 0.0) for task in tasks}
    weights = LossWeights(LossRecipe(weighting="uncertainty"), [task.name for task in tasks])
    model = MultiTaskModel(network, losses, weights)
    freeze(network, rules)
    return model, make_optimizer(model, TrainingRecipe())


def step(model, optimizer):
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sum(parameter.square().sum() for parameter in trained).backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_state_that_was_read_goes_on_as_the_one_that_was_written(tmp_path):
    model, optimizer = model_of(tmp_path / "one")
    step(model, optimizer)
    state = RunState("print", step=7, stage=2, best_step=3, best_score=0.5, seconds=1.25)
    save_state(tmp_path / "state", state, model, optimizer)

    other, other_optimizer = model_of(tmp_path / "two")
    assert load_state(tmp_path / "state", "print", other, other_optimizer) == state
    for _ in range(2):
        step(model, optimizer)
        step(other, other_optimizer)
    theirs = dict(other.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, theirs[name]), name


def test_only_what_trains_is_written(tmp_path):
    model, optimizer = model_of(tmp_path, ["encoder"])
    step(model, optimizer)
    save_state(tmp_path / "small", RunState(""), model, optimizer)
    everything, optimizer = model_of(tmp_path, [])
    step(everything, optimizer)
    save_state(tmp_path / "large", RunState(""), everything, optimizer)
    assert (tmp_path / "small").stat().st_size * 10 < (tmp_path / "large").stat().st_size


def test_a_state_that_will_not_do_is_refused(tmp_path):
    model, optimizer = model_of(tmp_path)
    step(model, optimizer)
    file = tmp_path / "state"
    save_state(file, RunState("print"), model, optimizer)
    with pytest.raises(RunError, match="another recipe"):
        load_state(file, "other", model, optimizer)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(RunError, match="damaged"):
        load_state(file, "print", model, optimizer)


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path):
    file = tmp_path / "tensors"
    save_tensors(file, {"a": torch.ones(3)})
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match="cannot be written"):
            save_tensors(file, {"a": torch.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["tensors"]
