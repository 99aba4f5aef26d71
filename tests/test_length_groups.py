"""Sentences of like length together."""

import itertools
import random

import pytest
from twinhead.server.length_groups import groups_by_length


def test_each_place_is_there_once_in_the_order_of_lengths():
    lengths = [random.Random(1).randint(1, 40) for _ in range(200)]
    groups = groups_by_length(lengths, 100)
    places = [place for group in groups for place in group]
    assert sorted(places) == list(range(200))
    assert [lengths[place] for place in places] == sorted(lengths)


@pytest.mark.parametrize("budget", [30, 100, 10_000])
def test_a_group_is_within_the_budget_and_one_more_would_not_be(budget):
    lengths = [random.Random(2).randint(1, 30) for _ in range(300)]
    groups = groups_by_length(lengths, budget)
    for group in groups:
        assert len(group) * max(lengths[place] for place in group) <= budget
    for group, following in itertools.pairwise(groups):
        assert (len(group) + 1) * lengths[following[0]] > budget


def test_what_is_longer_than_the_budget_goes_alone():
    assert groups_by_length([5, 50, 4, 60], 20) == [[2, 0], [1], [3]]


def test_nothing():
    assert groups_by_length([], 20) == []
