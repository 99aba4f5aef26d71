"""The optimizer: which parameter has which rate and decay, and how the rate goes over the steps."""

import math

import pytest
import torch
from small_encoders import FAMILIES, write_encoder
from twinhead.model.config import MlpHead, ModelConfig, Pooling, TaskConfig, TaskKind
from twinhead.model.encoder import Encoder
from twinhead.model.network import Network
from twinhead.trainer.freezing import freeze
from twinhead.trainer.losses import LossWeights, TaskLoss, class_weights
from twinhead.trainer.multi_task_model import MultiTaskModel
from twinhead.trainer.optimizer import make_optimizer, rate_course
from twinhead.trainer.recipe import LossRecipe, TrainingRecipe

RATE, HEAD_RATE, LAYER_DECAY, WEIGHT_DECAY = 1e-3, 1e-2, 0.5, 0.1
TASKS = (
    TaskConfig(
        name="topic", labels=("a", "b"), pooling=Pooling.CLS_MEAN, head=MlpHead(layer_norm=True)
    ),
    TaskConfig(name="tags", kind=TaskKind.TOKEN, labels=("O", "B-P", "I-P")),
)


def model_of(folder, weighting: str = "sum") -> MultiTaskModel:
    encoder = Encoder.load(folder)
    config = ModelConfig(encoder=str(folder), tasks=TASKS)
    network = Network(config, encoder, encoder.dimensions)
    losses = {
        task.name: TaskLoss(task, class_weights(task, None, torch.zeros(0).numpy()), 0.0)
        for task in TASKS
    }
    recipe = LossRecipe.model_validate({"weighting": weighting})
    return MultiTaskModel(network, losses, LossWeights(recipe, [task.name for task in TASKS]))


def recipe(**settings: object) -> TrainingRecipe:
    rates = {
        "learning_rate": RATE,
        "head_learning_rate": HEAD_RATE,
        "layer_decay": LAYER_DECAY,
        "weight_decay": WEIGHT_DECAY,
    }
    return TrainingRecipe.model_validate({**rates, **settings})


def group_of(optimizer, parameter) -> dict:
    (found,) = [
        group
        for group in optimizer.param_groups
        if any(parameter is other for other in group["params"])
    ]
    return found


def decay_of(group: dict) -> float:
    return group["weight_decay"]


@pytest.fixture(params=FAMILIES)
def model(request, tmp_path) -> MultiTaskModel:
    return model_of(write_encoder(tmp_path, request.param), "uncertainty")


@pytest.fixture
def bert(tmp_path) -> MultiTaskModel:
    return model_of(write_encoder(tmp_path, "bert"))


def test_every_parameter_that_answers_read_is_in_one_group(model):
    optimizer = make_optimizer(model, recipe())
    for name, parameter in model.named_parameters():
        if ".pooler." not in name:  # nothing reads it
            assert group_of(optimizer, parameter)["params"], name


def test_only_matrices_of_the_network_decay(model):
    optimizer = make_optimizer(model, recipe())
    for name, parameter in model.named_parameters():
        if ".pooler." not in name:
            expected = WEIGHT_DECAY if parameter.ndim >= 2 else 0.0
            assert decay_of(group_of(optimizer, parameter)) == expected, name


def test_norms_and_biases_do_not_decay(bert):
    optimizer = make_optimizer(bert, recipe())
    layer = bert.network.encoder.transformer.encoder.layer[0]
    norm, linear = layer.attention.output.LayerNorm, layer.intermediate.dense
    assert decay_of(group_of(optimizer, norm.weight)) == 0
    assert decay_of(group_of(optimizer, norm.bias)) == 0
    assert decay_of(group_of(optimizer, linear.bias)) == 0
    assert decay_of(group_of(optimizer, linear.weight)) == WEIGHT_DECAY


def test_rates_fall_from_layer_to_layer_down_to_the_embeddings(bert):
    optimizer = make_optimizer(bert, recipe())
    transformer = bert.network.encoder.transformer
    lower, upper = transformer.encoder.layer
    rates = [
        {group_of(optimizer, parameter)["lr"] for parameter in module.parameters()}
        for module in (upper, lower, transformer.embeddings, bert.network.heads["topic"])
    ]
    assert rates == [{RATE}, {RATE / 2}, {RATE / 4}, {HEAD_RATE}]


def test_what_follows_the_highest_layer_has_its_rate(tmp_path):
    model = model_of(write_encoder(tmp_path, "modernbert"))
    optimizer = make_optimizer(model, recipe())
    transformer = model.network.encoder.transformer
    assert group_of(optimizer, transformer.final_norm.weight)["lr"] == RATE
    highest = transformer.layers[-1].mlp.Wo.weight
    assert group_of(optimizer, highest)["lr"] == RATE
    embeddings = transformer.embeddings.tok_embeddings.weight
    assert group_of(optimizer, embeddings)["lr"] == RATE * LAYER_DECAY**3


def test_without_layer_decay_all_layers_have_the_same_rate(bert):
    optimizer = make_optimizer(bert, recipe(layer_decay=1.0))
    assert {group["lr"] for group in optimizer.param_groups} == {RATE, HEAD_RATE}


def test_learned_loss_weights_have_the_rate_of_heads_and_no_decay(tmp_path):
    model = model_of(write_encoder(tmp_path, "bert"), "uncertainty")
    group = group_of(make_optimizer(model, recipe()), model.weights.log_variances)
    assert (group["lr"], group["weight_decay"]) == (HEAD_RATE, 0)


def test_frozen_parameters_stay_as_they_are_and_can_thaw(bert):
    freeze(bert.network, ["encoder"])
    optimizer = make_optimizer(bert, recipe())
    transformer = bert.network.encoder.transformer
    matrix = transformer.encoder.layer[1].output.dense.weight
    before = matrix.detach().clone()
    head = bert.network.heads["topic"]
    old_head = [parameter.detach().clone() for parameter in head.parameters()]

    def step() -> None:
        ids = torch.arange(5, 9)[None]
        bert.network(ids, torch.ones_like(ids)).logits["topic"][0, 0].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    assert torch.equal(matrix, before)
    changed = [not torch.equal(*pair) for pair in zip(head.parameters(), old_head, strict=True)]
    assert any(changed)
    freeze(bert.network, [])
    step()
    assert not torch.equal(matrix, before)


# -- the course of the rate --

STEPS = 40


def course(**settings: object) -> list[float]:
    share = rate_course(recipe(**settings), STEPS)
    return [share(step) for step in range(STEPS + 1)]


@pytest.mark.parametrize("decay", ["linear", "cosine", "constant"])
def test_the_rate_rises_in_even_steps_and_is_full_after_the_warm_up(decay):
    rates = course(warmup=0.25, decay=decay)
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == 1
    assert max(rates) == 1


@pytest.mark.parametrize("warmup", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_every_step_learns_and_the_rate_ends_at_nothing(decay, warmup):
    rates = course(warmup=warmup, decay=decay)
    assert min(rates[:STEPS]) > 0
    assert rates[STEPS] == pytest.approx(0)
    falling = rates[round(warmup * STEPS) :]
    assert falling == sorted(falling, reverse=True)


def test_the_linear_rate_falls_by_the_same_each_step():
    rates = course(warmup=0.0, decay="linear")
    assert rates == pytest.approx([1 - step / STEPS for step in range(STEPS + 1)])


def test_the_cosine_rate_falls_like_half_a_cosine():
    rates = course(warmup=0.5, decay="cosine")[STEPS // 2 :]
    half = STEPS // 2
    expected = [(1 + math.cos(math.pi * step / half)) / 2 for step in range(half + 1)]
    assert rates == pytest.approx(expected)
    assert rates[half // 2] == pytest.approx(0.5)


def test_the_constant_rate_does_not_fall():
    assert set(course(warmup=0.0, decay="constant")) == {1.0}


@pytest.mark.parametrize("decay", ["linear", "cosine", "constant"])
def test_a_single_step_learns_at_the_full_rate(decay):
    for warmup in (0.0, 0.1, 1.0):
        assert rate_course(recipe(warmup=warmup, decay=decay), 1)(0) == 1


def test_torchs_scheduler_gives_each_group_its_share(bert):
    optimizer = make_optimizer(bert, recipe())
    rates = [group["lr"] for group in optimizer.param_groups]
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, rate_course(recipe(warmup=0.25, decay="linear"), STEPS)
    )
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [rate / 10 for rate in rates]
    )
    for _ in range(25):
        optimizer.step()
        scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [rate / 2 for rate in rates]
    )
