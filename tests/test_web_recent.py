"""Recent sentences: bounded, each once, compared within one version."""

import numpy as np
import pytest
from twinhead.client.web import web_recent
from twinhead.client.web.web_recent import Neighbour, RecentSentences


def vectors(*angles):
    """Unit vectors; the cosine of two is that of the difference of their angles."""
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def nearest(recent, text, angle, version="a"):
    (found,) = recent.nearest([text], version, vectors(angle))
    return found


def test_the_nearest_come_first_and_oneself_not_at_all():
    recent = RecentSentences()
    recent.add(["0", "10", "30", "65", "90"], "a", vectors(0, 10, 30, 65, 90))
    found = nearest(recent, "30", 30)
    assert [each.text for each in found] == ["10", "0", "65"]
    assert [each.similarity for each in found] == pytest.approx(np.cos(np.radians([20, 30, 35])))
    # Another text of the same meaning counts.
    assert [each.text for each in nearest(recent, "new", 30)] == ["30", "10", "0"]


def test_versions_are_not_compared():
    recent = RecentSentences()
    recent.add(["old"], "a", vectors(0))
    recent.add(["new"], "b", vectors(0))
    assert [each.text for each in nearest(recent, "x", 0, "b")] == ["new"]
    assert nearest(recent, "x", 0, "c") == []


def test_examples_are_neighbours_once_they_have_embeddings():
    recent = RecentSentences(["one", "two"])
    assert len(recent) == 2
    assert nearest(recent, "x", 0) == []
    assert recent.stale("a") == ["two", "one"]
    recent.renew(["one", "gone"], "a", vectors(0, 0))
    assert nearest(recent, "x", 0) == [Neighbour("one", pytest.approx(1), example=True)]
    assert (len(recent), recent.stale("a")) == (2, ["two"])
    recent.add(["one"], "a", vectors(0))  # asked about: no example any more
    assert nearest(recent, "x", 0) == [Neighbour("one", pytest.approx(1), example=False)]


def test_after_a_swap_all_are_stale_and_come_back():
    recent = RecentSentences()
    recent.add(["1", "2", "3"], "a", vectors(0, 10, 20))
    recent.add(["1"], "a", vectors(0))
    assert recent.stale("a") == []
    assert recent.stale("b") == ["1", "3", "2"]  # the newest first
    recent.renew(["1", "3"], "b", vectors(0, 90))
    assert recent.stale("b") == ["2"]
    assert [each.text for each in nearest(recent, "x", 80, "b")] == ["3", "1"]


def test_the_oldest_go(monkeypatch):
    monkeypatch.setattr(web_recent, "LIMIT", 3)
    recent = RecentSentences(["example"])
    recent.add(["1", "2"], "a", vectors(0, 10))
    recent.add(["1", "3"], "a", vectors(0, 20))
    assert len(recent) == 3
    assert sorted(each.text for each in nearest(recent, "x", 0)) == ["1", "2", "3"]
    recent.add(["4"], "a", vectors(0))
    assert sorted(each.text for each in nearest(recent, "x", 0)) == ["1", "3", "4"]


def test_very_long_ones_are_not_kept():
    recent = RecentSentences()
    recent.add(["x" * 2_000, "x" * 2_001], "a", vectors(0, 1))
    assert len(recent) == 1


def test_what_has_no_embedding_is_near_to_nothing():
    recent = RecentSentences()
    nothing = np.zeros((1, 2), np.float32)
    recent.add(["void"], "a", nothing)
    recent.add(["1"], "a", vectors(0))
    assert recent.nearest(["x"], "a", nothing) == [[]]
    assert [each.text for each in nearest(recent, "x", 0)] == ["1"]


def test_each_of_many_gets_its_own():
    recent = RecentSentences()
    recent.add(["0", "90"], "a", vectors(0, 90))
    found = recent.nearest(["x", "y"], "a", vectors(80, 5))
    assert [each[0].text for each in found] == ["90", "0"]
