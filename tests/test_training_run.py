"""What the loop's lines promise, one by one."""

import numpy as np
import pytest
import torch
import trained
from accelerate import Accelerator
from twinhead.trainer.read_recipe import read_recipe
from twinhead.trainer.start_model import StartModel
from twinhead.trainer.training_data import read_row_sets
from twinhead.trainer.training_run import TrainingRun


def run_of(folder, *settings):
    recipe = read_recipe(trained.write_recipe(folder), None, settings)
    start = StartModel.find(recipe)
    rows = read_row_sets(recipe, {task.name: task for task in start.tasks})
    network, tokenizer = start.build(start.tasks, 0)
    (folder / "run").mkdir(exist_ok=True)
    run = TrainingRun(
        recipe,
        network,
        rows.encode(start.tasks, tokenizer),
        folder / "run",
        Accelerator(cpu=True),
        "print",
        observe=lambda _: None,
        progress=lambda *_: None,
    )
    run.start()
    return run


def gradients(run, batches):
    run.begin_stages_that_are_due()
    sizes = run.sizes(batches)
    run.seed_step()
    for batch in batches:
        loss, _ = run.model(run.train_batches(batch), sizes, 1 / len(batches))
        loss.backward()
    found = {
        name: parameter.grad.clone()
        for name, parameter in run.network.named_parameters()
        if parameter.grad is not None
    }
    run.optimizer.zero_grad()
    return found


@pytest.mark.parametrize("weighting", ["sum", "alpha", "uncertainty"])
def test_accumulated_batches_are_one_large_batch(tmp_path, weighting):
    run = run_of(tmp_path, "training.dropout=0", f"loss.weighting={weighting}")
    (batch,) = run.plan.batches(0)
    whole = gradients(run, [batch])
    parted = gradients(run, [batch[:3], batch[3:10], batch[10:]])
    assert whole.keys() == parted.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parted[name], gradient, atol=1e-5, rtol=1e-4)


def test_a_step_has_random_numbers_of_its_own(tmp_path):
    run = run_of(tmp_path)
    draws = []
    for step in (0, 1, 0):
        run.state.step = step
        run.seed_step()
        draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[2] != draws[1]


def test_sizes_count_the_targets_of_all_batches_of_a_step(tmp_path):
    run = run_of(tmp_path)
    run.begin_stages_that_are_due()
    topics = np.flatnonzero(run.splits["train"].dataset == 0)
    moods = np.flatnonzero(run.splits["train"].dataset == 1)
    assert run.sizes([topics[:5], topics[5:7]]) == {"topic": 7.0}
    assert run.sizes([topics[:5], moods[:2]]) == {"topic": 5.0, "mood": 2.0}


def test_gradients_are_clipped_to_the_norm(tmp_path):
    run = run_of(tmp_path, "training.clip_norm=0.01", "training.dropout=0")
    run.begin_stages_that_are_due()
    batches = run.plan.batches(0)
    loss, _ = run.model(run.train_batches(batches[0]), run.sizes(batches), 1.0)
    (loss * 1000).backward()
    run.clip_gradients()
    squares = [p.grad.square().sum() for p in run.bare_model.parameters() if p.grad is not None]
    assert torch.stack(squares).sum().sqrt().item() == pytest.approx(0.01, rel=1e-3)


def test_validation_is_due_each_epoch_and_at_the_end(tmp_path):
    run = run_of(tmp_path, "training.validate_every=4")
    due = []
    for step in range(1, run.steps + 1):
        run.state.step = step
        if run.validation_is_due():
            due.append(step)
    assert due == [4, 8, 12, 16, 20, 24, 27]
