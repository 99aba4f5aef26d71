"""Which rows are in which step: fair to rows and data sets, and the same each time."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twinhead.trainer.recipe import SamplingRecipe
from twinhead.trainer.step_plan import StepPlan

SYNCHRONOUS, ALTERNATING = "synchronous", "alternating"
SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=5)
SCHEDULES = st.sampled_from([SYNCHRONOUS, ALTERNATING])
POLICIES = st.sampled_from(["proportional", "equal", "temperature"])
quick = settings(deadline=None, max_examples=60)


def sets_of(sizes: list[int]) -> list[np.ndarray]:
    """Row numbers of data sets that follow each other."""
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


def plan_of(sizes: list[int], seed: int = 0, **recipe: object) -> StepPlan:
    return StepPlan(sets_of(sizes), SamplingRecipe.model_validate(recipe), seed)


def epoch_of(plan: StepPlan, epoch: int = 0) -> list[np.ndarray]:
    """All batches of an epoch."""
    steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
    return [batch for step in steps for batch in plan.batches(step)]


def rows_of(batches: list[np.ndarray]) -> list[int]:
    return np.concatenate(batches).tolist()


def by_set(batch: np.ndarray, sizes: list[int]) -> list[int]:
    """How many rows a batch has of each set."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return np.bincount(owner[batch], minlength=len(sizes)).tolist()


@quick
@given(SIZES, SCHEDULES, st.integers(1, 20), st.integers(1, 4), st.integers(0, 3))
def test_in_proportion_every_row_is_in_an_epoch_once(
    sizes, schedule, batch_size, accumulate, epoch
):
    plan = plan_of(sizes, schedule=schedule, batch_size=batch_size, accumulate=accumulate)
    assert sorted(rows_of(epoch_of(plan, epoch))) == list(range(sum(sizes)))


@quick
@given(SIZES, SCHEDULES, POLICIES, st.integers(1, 20), st.integers(1, 4))
def test_no_batch_is_empty_or_larger_than_the_recipe_says(
    sizes, schedule, policy, batch_size, accumulate
):
    plan = plan_of(
        sizes, schedule=schedule, policy=policy, batch_size=batch_size, accumulate=accumulate
    )
    lengths = [len(batch) for batch in epoch_of(plan)]
    assert min(lengths) > 0
    assert max(lengths) <= batch_size
    assert sum(lengths) == sum(plan.quotas)


@quick
@given(SIZES, SCHEDULES, POLICIES, st.integers(1, 20))
def test_rows_of_a_set_are_seen_as_often_as_each_other_or_once_more(
    sizes, schedule, policy, batch_size
):
    plan = plan_of(sizes, schedule=schedule, policy=policy, batch_size=batch_size)
    seen = Counter(rows_of(epoch_of(plan)))
    for rows, quota in zip(sets_of(sizes), plan.quotas, strict=True):
        counts = [seen[row] for row in rows.tolist()]
        assert sum(counts) == quota
        assert min(counts) >= 1
        assert max(counts) - min(counts) <= 1


@quick
@given(SIZES, POLICIES, st.integers(1, 20))
def test_synchronous_batches_share_each_set_evenly(sizes, policy, batch_size):
    plan = plan_of(sizes, schedule=SYNCHRONOUS, policy=policy, batch_size=batch_size)
    shares = np.array([by_set(batch, sizes) for batch in epoch_of(plan)])
    # So a set that has a row for each batch is in each.
    assert (shares.max(axis=0) - shares.min(axis=0)).max() <= 1
    totals = shares.sum(axis=1)
    assert totals.max() - totals.min() <= 1


@quick
@given(SIZES, POLICIES, st.integers(1, 20), st.integers(1, 4))
def test_alternating_batches_are_of_one_set(sizes, policy, batch_size, accumulate):
    plan = plan_of(
        sizes, schedule=ALTERNATING, policy=policy, batch_size=batch_size, accumulate=accumulate
    )
    found = Counter()
    for batch in epoch_of(plan):
        (index,) = np.flatnonzero(by_set(batch, sizes))
        found[int(index)] += 1
    assert [found[index] for index in range(len(sizes))] == [
        -(-quota // batch_size) for quota in plan.quotas
    ]


@quick
@given(SIZES, SCHEDULES, POLICIES, st.integers(1, 20), st.integers(1, 4), st.data())
def test_a_step_depends_on_seed_and_number_alone(
    sizes, schedule, policy, batch_size, accumulate, data
):
    recipe = {"schedule": schedule, "policy": policy, "batch_size": batch_size}
    plan, other = (plan_of(sizes, 7, accumulate=accumulate, **recipe) for _ in range(2))
    in_order = [plan.batches(step) for step in range(2 * plan.steps_per_epoch)]
    for step in data.draw(st.permutations(range(len(in_order)))):
        again = other.batches(step)
        assert [batch.tolist() for batch in again] == [batch.tolist() for batch in in_order[step]]


@quick
@given(SIZES, st.integers(1, 20), st.integers(1, 5))
def test_a_step_has_as_many_batches_as_are_accumulated(sizes, batch_size, accumulate):
    plan = plan_of(sizes, batch_size=batch_size, accumulate=accumulate)
    *full, last = [len(plan.batches(step)) for step in range(plan.steps_per_epoch)]
    assert set(full) <= {accumulate}
    assert 1 <= last <= accumulate


@pytest.mark.parametrize("schedule", [SYNCHRONOUS, ALTERNATING])
def test_epochs_seeds_and_sets_are_shuffled_differently(schedule):
    recipe = {"schedule": schedule, "batch_size": 10}
    plan = plan_of([100, 100], 1, **recipe)
    epochs = [rows_of(epoch_of(plan, epoch)) for epoch in range(3)]
    epochs.append(rows_of(epoch_of(plan_of([100, 100], 2, **recipe))))
    assert len({tuple(rows) for rows in epochs}) == 4
    assert all(rows != sorted(rows) for rows in epochs)
    first, second = ([row % 100 for row in epochs[0] if row // 100 == index] for index in (0, 1))
    assert first != second


def test_alternating_batches_are_drawn_in_no_order():
    plan = plan_of([80, 80], schedule=ALTERNATING, batch_size=4)
    owners = [int(batch[0] >= 80) for batch in epoch_of(plan)]
    changes = sum(a != b for a, b in pairwise(owners))
    assert 8 < changes < 32  # neither one set after the other nor strictly in turns


def test_a_rare_set_is_not_all_at_one_end_of_each_epoch():
    plan = plan_of([400, 8], batch_size=4)
    where = [
        index
        for epoch in range(4)
        for index, batch in enumerate(epoch_of(plan, epoch))
        if (batch >= 400).any()
    ]
    assert len(where) == 4 * 8
    assert min(where) < 30
    assert max(where) > 72


def test_a_set_that_is_seen_again_is_in_another_order_then():
    plan = plan_of([10, 50], policy="equal", batch_size=5)
    rows = [row for row in rows_of(epoch_of(plan)) if row < 10]
    rounds = [tuple(rows[start : start + 10]) for start in range(0, 50, 10)]
    assert all(sorted(each) == list(range(10)) for each in rounds)
    assert len(set(rounds)) == 5


@pytest.mark.parametrize(
    ("recipe", "quotas"),
    [
        ({}, [100, 25, 4]),
        ({"policy": "equal"}, [100, 100, 100]),
        # By the root of the size: 10 to 5 to 2, and the largest set is seen once.
        ({"policy": "temperature"}, [100, 50, 20]),
        ({"policy": "temperature", "temperature": 1}, [100, 25, 4]),
        ({"policy": "temperature", "temperature": 100}, [100, 99, 97]),
    ],
)
def test_policies_share_an_epoch(recipe, quotas):
    assert plan_of([100, 25, 4], **recipe).quotas == quotas


def test_batches_make_steps():
    assert plan_of([50, 50], batch_size=32).steps_per_epoch == 4
    assert plan_of([50, 50], batch_size=32, accumulate=3).steps_per_epoch == 2
    # Each set has a last, smaller batch of its own.
    assert plan_of([40, 40], batch_size=32, schedule=ALTERNATING).steps_per_epoch == 4
    assert plan_of([40, 40], batch_size=32).steps_per_epoch == 3


def test_rows_need_not_follow_each_other():
    sets = [np.array([7, 3, 11]), np.array([20, 2])]
    plan = StepPlan(sets, SamplingRecipe(batch_size=2), 0)
    assert sorted(rows_of(epoch_of(plan))) == [2, 3, 7, 11, 20]
