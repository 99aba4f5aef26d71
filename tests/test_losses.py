"""Losses: against torch's own, and against the formulas worked out by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer.encoded_rows import MISSING
from twinhead.trainer.errors import RecipeError
from twinhead.trainer.losses import LossWeights, TaskLoss, class_weights
from twinhead.trainer.recipe import LossRecipe

TOPIC = TaskConfig(name="topic", labels=("a", "b", "c"))
SPAM = TaskConfig(name="spam", kind=TaskKind.BINARY, labels=("no", "yes"))
FLAGS = TaskConfig(name="flags", kind=TaskKind.MULTI_LABEL, labels=("x", "y", "z"))
TAGS = TaskConfig(name="tags", kind=TaskKind.TOKEN, labels=("O", "B-P", "I-P"))
TASKS = [TOPIC, SPAM, FLAGS, TAGS]
BY_NAME = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
ROWS, TOKENS = 12, 7


def float32(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def weights_of(task: TaskConfig) -> np.ndarray:
    return float32(0.5, 2.0, 3.25)[: len(task.labels)]


def example(task: TaskConfig, seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    """Logits and targets; those of a token task have gaps."""
    random = np.random.default_rng(seed)
    shape = (ROWS, TOKENS) if task.kind is TaskKind.TOKEN else (ROWS,)
    logits = torch.from_numpy(random.normal(size=(*shape, task.logits)).astype(np.float32))
    if task.kind is TaskKind.MULTI_LABEL:
        return logits, random.integers(0, 2, (*shape, 3))
    targets = random.integers(0, len(task.labels), shape)
    if task.kind is TaskKind.TOKEN:
        targets[random.random(shape) < 0.4] = MISSING
    return logits, targets


def torchs_mean(task: TaskConfig, logits, targets, weights, smoothing) -> torch.Tensor:
    match task.kind:
        case TaskKind.MULTI_LABEL:
            return functional.binary_cross_entropy_with_logits(
                logits, targets.float(), pos_weight=weights
            )
        case TaskKind.BINARY:
            # Of two logits, 0 and the one that is there.
            both = torch.cat([torch.zeros_like(logits), logits], dim=1)
            return functional.cross_entropy(both, targets, weight=weights)
        case TaskKind.TOKEN:
            logits = logits.transpose(1, 2)
    return functional.cross_entropy(
        logits, targets, weight=weights, label_smoothing=smoothing, ignore_index=MISSING
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@BY_NAME
def test_sum_over_size_is_the_mean_of_torch(task, weighted, smoothing):
    weights = weights_of(task) if weighted else np.ones(len(task.labels), dtype=np.float32)
    loss = TaskLoss(task, weights, smoothing)
    logits, targets = example(task)
    found = loss(logits, torch.from_numpy(targets)) / loss.size(targets)
    expected = torchs_mean(
        task, logits, torch.from_numpy(targets), torch.from_numpy(weights), smoothing
    )
    torch.testing.assert_close(found, expected)


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(TASKS), st.sets(st.integers(1, ROWS - 1), max_size=4), st.integers(0, 9))
def test_parts_of_a_step_add_up_to_the_whole_and_so_do_their_gradients(task, cuts, seed):
    loss = TaskLoss(task, weights_of(task), 0.1)
    logits, targets = example(task, seed)
    size = loss.size(targets)
    whole, parted = (logits.clone().requires_grad_() for _ in range(2))
    total = loss(whole, torch.from_numpy(targets)) / size
    total.backward()
    bounds = [0, *sorted(cuts), ROWS]
    added = torch.zeros(())
    for start, end in pairwise(bounds):
        part = loss(parted[start:end], torch.from_numpy(targets[start:end])) / size
        part.backward()
        added = added + part.detach()
    torch.testing.assert_close(added, total.detach())
    torch.testing.assert_close(parted.grad, whole.grad)


@BY_NAME
def test_sizes_of_parts_add_up(task):
    loss = TaskLoss(task, weights_of(task), 0.0)
    _, targets = example(task)
    assert loss.size(targets) == pytest.approx(loss.size(targets[:5]) + loss.size(targets[5:]))


@BY_NAME
def test_without_labels_the_size_is_nothing(task):
    _, targets = example(task)
    loss = TaskLoss(task, weights_of(task), 0.0)
    assert loss.size(np.full_like(targets, MISSING)) == 0
    assert loss.size(targets[:0]) == 0


def test_targets_without_label_are_left_out_of_the_size():
    loss = TaskLoss(TOPIC, weights_of(TOPIC), 0.0)
    assert loss.size(np.array([0, MISSING, 2, MISSING])) == 0.5 + 3.25
    loss = TaskLoss(FLAGS, weights_of(FLAGS), 0.0)
    assert loss.size(np.array([[0, 1, 0], [MISSING] * 3])) == 3


def test_the_second_label_of_a_binary_task_is_yes():
    loss = TaskLoss(SPAM, float32(1, 1), 0.0)
    yes = torch.tensor([[3.0]])
    assert loss(yes, torch.tensor([1])).item() == pytest.approx(math.log1p(math.exp(-3)))
    assert loss(yes, torch.tensor([0])).item() == pytest.approx(3 + math.log1p(math.exp(-3)))


@BY_NAME
def test_half_precision_is_summed_in_single(task):
    loss = TaskLoss(task, weights_of(task), 0.0)
    logits, targets = example(task)
    half = logits.bfloat16()
    found = loss(half, torch.from_numpy(targets))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(half.float(), torch.from_numpy(targets)))


def test_class_weights_go_where_the_loss_goes_and_into_no_checkpoint():
    loss = TaskLoss(TOPIC, weights_of(TOPIC), 0.0)
    assert [name for name, _ in loss.named_buffers()] == ["class_weights"]
    assert loss.state_dict() == {}


# -- weights between tasks --


def weights(names: str, **recipe: object) -> LossWeights:
    return LossWeights(LossRecipe.model_validate(recipe), names.split())


def given_losses(**losses: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value, requires_grad=True) for name, value in losses.items()}


@pytest.mark.parametrize(
    ("recipe", "expected", "shown"),
    [
        ({}, 2 + 5, {"a": 1, "b": 1}),
        ({"weighting": "alpha", "alpha": 0.25}, 0.25 * 2 + 0.75 * 5, {"a": 0.25, "b": 0.75}),
        ({"weighting": "alpha", "alpha": 1}, 2, {"a": 1, "b": 0}),
        # Tasks that are not named have 1.
        ({"weighting": "fixed", "weights": {"b": 0.5}}, 2 + 2.5, {"a": 1, "b": 0.5}),
        ({"weighting": "fixed", "weights": {"a": 3, "b": 0}}, 6, {"a": 3, "b": 0}),
    ],
)
def test_losses_become_one_by_formula(recipe, expected, shown):
    module = weights("a b", **recipe)
    losses = given_losses(a=2.0, b=5.0)
    total = module(losses, ["a", "b"], 1.0)
    assert total.item() == pytest.approx(expected)
    assert module.values == pytest.approx(shown)
    assert list(module.parameters()) == []
    total.backward()
    assert {name: loss.grad.item() for name, loss in losses.items()} == pytest.approx(shown)


def test_tasks_without_rows_do_not_count():
    module = weights("a b", weighting="alpha", alpha=0.25)
    assert module(given_losses(b=4.0), ["b"], 1.0).item() == pytest.approx(3)


def test_uncertainty_is_the_formula_of_the_paper_with_its_gradient():
    module = weights("a b", weighting="uncertainty")
    with torch.no_grad():
        module.log_variances.copy_(torch.tensor([0.5, -1.0]))
    total = module(given_losses(a=2.0, b=5.0), ["a", "b"], 1.0)
    expected = math.exp(-0.5) * 2 + 0.25 + math.exp(1) * 5 - 0.5
    assert total.item() == pytest.approx(expected)
    total.backward()
    gradient = [-math.exp(-0.5) * 2 + 0.5, -math.exp(1) * 5 + 0.5]
    assert module.log_variances.grad.tolist() == pytest.approx(gradient)
    assert module.values == pytest.approx({"a": math.exp(-0.5), "b": math.exp(1)})


def test_uncertainty_begins_as_the_plain_sum():
    module = weights("a b", weighting="uncertainty")
    assert module(given_losses(a=2.0, b=5.0), ["a", "b"], 1.0).item() == pytest.approx(7)
    assert module.values == {"a": 1, "b": 1}


def test_uncertainty_settles_where_the_variance_is_twice_the_loss():
    """Where exp(-s) x loss + s / 2 is least: the gradient is nothing at exp(s) = 2 x loss."""
    module = weights("a b", weighting="uncertainty")
    with torch.no_grad():
        module.log_variances.copy_(torch.tensor([4.0, 0.5]).log())
    module(given_losses(a=2.0, b=0.25), ["a", "b"], 1.0).backward()
    assert module.log_variances.grad.tolist() == pytest.approx([0, 0], abs=1e-6)


def test_a_task_that_has_no_rows_in_the_step_keeps_its_uncertainty():
    module = weights("a b c", weighting="uncertainty")
    module(given_losses(b=5.0), ["b"], 1.0).backward()
    first, second, third = module.log_variances.grad.tolist()
    assert (first, third) == (0, 0)
    assert second != 0


def test_the_parts_of_a_step_count_uncertainty_once():
    """Task b has rows in the second part alone; the losses are divided by the whole's sizes."""
    whole, parted = (weights("a b", weighting="uncertainty") for _ in range(2))
    for module in (whole, parted):
        with torch.no_grad():
            module.log_variances.copy_(torch.tensor([0.5, -1.0]))
    total = whole(given_losses(a=3.0, b=5.0), ["a", "b"], 1.0)
    total.backward()
    first = parted(given_losses(a=2.0), ["a", "b"], 0.5)
    second = parted(given_losses(a=1.0, b=5.0), ["a", "b"], 0.5)
    first.backward()
    second.backward()
    assert (first + second).item() == pytest.approx(total.item())
    torch.testing.assert_close(parted.log_variances.grad, whole.log_variances.grad)


@pytest.mark.parametrize("names", ["a", "a b c"])
def test_alpha_is_for_two_tasks(names):
    """A recipe that starts from a checkpoint is not checked for it before."""
    with pytest.raises(RecipeError, match=r"loss\.alpha: balances two tasks"):
        weights(names, weighting="alpha")


def test_weights_of_tasks_that_are_not_there_are_refused():
    with pytest.raises(RecipeError, match=r"loss\.weights\.mood: the model has no such task"):
        weights("a b", weighting="fixed", weights={"a": 1, "mood": 2})


# -- weights between labels --


@BY_NAME
def test_without_a_wish_every_label_counts_as_much(task):
    assert class_weights(task, None, example(task)[1]).tolist() == [1] * len(task.labels)


def test_weights_by_label_and_1_for_those_not_named():
    found = class_weights(TOPIC, {"c": 0.5, "a": 4}, np.array([0]))
    assert found.tolist() == [4, 1, 0.5]
    assert found.dtype == np.float32


def test_a_label_that_the_task_does_not_have_is_told():
    with pytest.raises(RecipeError, match=r"loss\.class_weights\.topic: there is no label 'd'"):
        class_weights(TOPIC, {"d": 1}, np.array([0]))


def test_balanced_labels_have_the_same_sum_and_rows_weigh_1_on_average():
    targets = np.array([0] * 6 + [1] * 3 + [2] * 1 + [MISSING] * 5)
    found = class_weights(TOPIC, "balanced", targets)
    assert found.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert (found * [6, 3, 1]).tolist() == pytest.approx([10 / 3] * 3)
    assert TaskLoss(TOPIC, found, 0.0).size(targets) == pytest.approx(10)


def test_balanced_is_among_the_labels_that_rows_have():
    found = class_weights(TOPIC, "balanced", np.array([0, 0, 0, 2]))
    assert found.tolist() == pytest.approx([4 / 6, 1, 2])


def test_balanced_words_are_counted_and_tokens_without_label_are_not():
    targets = np.array([MISSING, 0, 0, 0, 1, MISSING, MISSING, 2, 2, MISSING])
    assert class_weights(TAGS, "balanced", targets).tolist() == pytest.approx([6 / 9, 2, 1])
    assert class_weights(TAGS, "balanced", np.full(3, MISSING)).tolist() == [1, 1, 1]
