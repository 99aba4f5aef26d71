import numpy as np
import pytest
import torch
from evaluated import TASKS, checkpoint, of_choices, random_rows
from twinhead.trainer.encoded_rows import encode_rows
from twinhead.trainer.losses import LossWeights, TaskLoss
from twinhead.trainer.multi_task_model import MultiTaskModel
from twinhead.trainer.padded_batch import make_batch
from twinhead.trainer.recipe import LossRecipe

NAMES = [task.name for task in TASKS]


@pytest.fixture
def setting(tmp_path):
    model = checkpoint(tmp_path)
    rows = encode_rows([random_rows(16)], TASKS, model.tokenizer)
    losses = {
        task.name: TaskLoss(task, np.ones(len(task.labels), dtype=np.float32), 0.0)
        for task in TASKS
    }
    return MultiTaskModel(model.network, losses, LossWeights(LossRecipe(), NAMES)), rows, losses


def sizes_of(rows, losses):
    return {name: loss.size(rows.targets[name]) for name, loss in losses.items()}


def test_rows_in_groups_of_like_length_are_one_batch(setting):
    model, rows, losses = setting
    sizes = sizes_of(rows, losses)
    whole, by_task = model([make_batch(rows, np.arange(16), TASKS)], sizes)
    groups = [np.array([3, 9]), np.setdiff1d(np.arange(16), [3, 9])]
    parted, by_task_parted = model([make_batch(rows, group, TASKS) for group in groups], sizes)
    assert list(by_task) == NAMES
    assert parted.item() == pytest.approx(whole.item(), rel=1e-5)
    for name in NAMES:
        assert by_task_parted[name].item() == pytest.approx(by_task[name].item(), rel=1e-5)
    assert whole.item() == pytest.approx(sum(loss.item() for loss in by_task.values()), rel=1e-6)


def test_a_loss_is_the_mean_over_the_labelled_rows(setting):
    model, rows, losses = setting
    _, by_task = model([make_batch(rows, np.arange(16), TASKS)], sizes_of(rows, losses))
    labelled = [i for i in range(16) if "topic" in rows.rows[i].labels]
    batch = make_batch(rows, np.array(labelled), TASKS)
    logits = model.network(batch.input_ids, batch.mask).logits["topic"]
    targets = torch.from_numpy(rows.targets["topic"][labelled])
    wanted = torch.nn.functional.cross_entropy(logits, targets)
    assert by_task["topic"].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_without_rows_it_gives_a_loss_of_nothing(setting):
    model, rows, losses = setting
    loss, by_task = model([], sizes_of(rows, losses))
    assert loss.item() == 0.0
    assert by_task == {}
    loss.backward()


def test_tasks_that_are_not_in_the_step_are_left_out(setting):
    model, rows, losses = setting
    sizes = sizes_of(rows, losses)
    del sizes["topic"]
    loss, by_task = model([make_batch(rows, np.arange(16), TASKS)], sizes)
    assert set(by_task) == {"spam", "tags", "names"}
    loss.backward()
    assert model.network.heads["topic"].output.weight.grad is None


def test_rows_that_could_not_have_a_label_teach_nothing_about_it(tmp_path):
    model = checkpoint(tmp_path)
    some = of_choices(random_rows(30), "topic", ("sea", "sky"))
    rows = encode_rows([some], TASKS, model.tokenizer)
    loss = TaskLoss(TASKS[0], np.ones(3, dtype=np.float32), 0.0)
    trained = MultiTaskModel(model.network, {"topic": loss}, LossWeights(LossRecipe(), ["topic"]))
    batch = make_batch(rows, np.arange(len(rows)), TASKS)
    found, _ = trained([batch], {"topic": float(len(rows))})
    logits = model.network(batch.input_ids, batch.mask).logits["topic"][:, [0, 2]]
    targets = torch.tensor([("sea", "sky").index(row.labels["topic"]) for row in some])
    assert found.item() == pytest.approx(
        torch.nn.functional.cross_entropy(logits, targets).item(), rel=1e-5
    )
    found.backward()
    moved = [grad.abs().sum().item() for grad in model.network.heads["topic"].output.weight.grad]
    assert moved[1] == 0
    assert min(moved[0], moved[2]) > 0
