"""Splits of rows: nothing leaks, the seed decides, and what is wrong with the rows is counted."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer.data_split import draw_rows, key_of, split_rows, summarize
from twinhead.trainer.labelled_rows import Label, LabelledRow
from twinhead.trainer.run_summary import DataSummary

TASKS = {
    "topic": TaskConfig(name="topic", labels=("a", "b")),
    "flags": TaskConfig(name="flags", kind=TaskKind.MULTI_LABEL, labels=("x", "y")),
    "tags": TaskConfig(name="tags", kind=TaskKind.TOKEN, labels=("O", "B-PER", "I-PER", "B-LOC")),
}
TEXTS = st.lists(st.integers(0, 30).map(str), min_size=1, max_size=60)
SHARES = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**31 - 1)
quick = settings(deadline=None, max_examples=80)


def row(text: str, origin: str = "", **labels: Label) -> LabelledRow:
    return LabelledRow(text, labels or {"topic": "a"}, origin)


def rows_of(texts: list[str]) -> list[LabelledRow]:
    return [row(text, str(index)) for index, text in enumerate(texts)]


def origins(rows: list[LabelledRow]) -> list[int]:
    return [int(row.origin) for row in rows]


def keys(rows: list[LabelledRow]) -> set[str]:
    return {key_of(row) for row in rows}


@pytest.mark.parametrize("text", ["The Fox", " the  fox\n", "THE\tFOX", "the\u00a0fox"])
def test_case_and_spaces_make_no_other_text(text):
    assert key_of(row(text)) == key_of(row("the fox"))


@pytest.mark.parametrize("text", ["the fox.", "thefox", "the  foxes"])
def test_other_signs_do(text):
    assert key_of(row(text)) != key_of(row("the fox"))


@quick
@given(TEXTS, SHARES, SEEDS)
def test_every_row_is_on_one_side_in_its_order_and_no_text_on_both(texts, share, seed):
    kept, apart = split_rows(rows_of(texts), share, seed)
    assert sorted(origins(kept) + origins(apart)) == list(range(len(texts)))
    assert origins(kept) == sorted(origins(kept))
    assert origins(apart) == sorted(origins(apart))
    assert not keys(kept) & keys(apart)
    assert kept
    assert bool(apart) == (len(set(texts)) > 1)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_of_many_texts_the_share_is_about_what_was_asked_for(share, seed):
    _, apart = split_rows(rows_of([str(n) for n in range(5000)]), share, seed)
    spread = (5000 * share * (1 - share)) ** 0.5
    assert abs(len(apart) - 5000 * share) < 4 * spread


@quick
@given(TEXTS, TEXTS, SHARES, SEEDS)
def test_a_text_of_two_data_sets_is_on_the_same_side_of_both(some, others, share, seed):
    """Of those alone with a text that has to be on a side because no other is there."""
    kept, apart = split_rows(rows_of([*some, *others, *map(str, range(40, 400))]), share, seed)
    for texts in (some, others):
        own_kept, own_apart = split_rows(rows_of(texts), share, seed)
        crossed = (keys(own_kept) & keys(apart)) | (keys(own_apart) & keys(kept))
        assert not crossed or min(len(keys(own_kept)), len(keys(own_apart))) <= 1
        assert len(crossed) <= 1


def test_two_data_sets_that_share_texts_leak_nothing_into_each_other():
    first = split_rows(rows_of([f"text {n}" for n in range(300)]), 0.2, 3)
    second = split_rows(rows_of([f"Text  {n}" for n in range(450, 150, -1)]), 0.2, 3)
    assert not keys(first[0]) & keys(second[1])
    assert not keys(second[0]) & keys(first[1])
    assert keys(first[1]) & keys(second[1])


def test_half_of_a_surrogate_pair_is_a_text_like_any_other():
    kept, apart = split_rows(rows_of(["\ud800", "a"]), 0.5, 0)
    assert len(kept) == len(apart) == 1


def test_rows_of_a_text_stay_together():
    texts = [str(n // 10) for n in range(1000)]
    _, apart = split_rows(rows_of(texts), 0.2, 0)
    assert set(Counter(row.text for row in apart).values()) == {10}


def test_texts_that_differ_in_case_stay_together():
    texts = [word for n in range(50) for word in (f"Word {n}", f"word  {n}")]
    kept, apart = split_rows(rows_of(texts), 0.3, 5)
    assert len(apart) == 2 * len(keys(apart)) > 0
    assert not keys(kept) & keys(apart)


def test_the_seed_decides():
    rows = rows_of([str(n) for n in range(100)])
    first, again, other = (split_rows(rows, 0.2, seed)[1] for seed in (1, 1, 2))
    assert origins(first) == origins(again)
    assert origins(first) != origins(other)
    assert origins(first) != list(range(20))


def test_no_rows_split_into_none():
    assert split_rows([], 0.1, 0) == ([], [])


@quick
@given(st.integers(0, 50), st.integers(1, 60), SEEDS)
def test_so_many_rows_are_drawn_in_their_order(count, limit, seed):
    rows = rows_of([str(n) for n in range(count)])
    drawn = origins(draw_rows(rows, limit, seed))
    assert len(drawn) == min(limit, count)
    assert drawn == sorted(set(drawn))
    assert drawn == origins(draw_rows(rows, limit, seed))


def test_without_a_limit_all_rows_are_drawn():
    rows = rows_of(["a", "b", "c"])
    assert draw_rows(rows, None, 0) == draw_rows(rows, 3, 0) == rows


def test_the_seed_draws():
    rows = rows_of([str(n) for n in range(100)])
    drawn = [tuple(origins(draw_rows(rows, 10, seed))) for seed in range(3)]
    assert len(set(drawn)) == 3


def summary_of(rows: list[LabelledRow], split: str = "validation", train=()) -> DataSummary:
    return summarize("news", split, rows, frozenset(map(key_of, train)), TASKS)


def test_labels_of_each_task_are_counted():
    summary = summary_of(
        [
            row("1", topic="b"),
            row("2", topic="a", flags=("x", "y")),
            row("3", topic="b", flags=()),
            row("4", flags=("y",)),
            row("5", tags=("B-PER", "I-PER", "O", "B-PER", "B-LOC")),
            row("6", tags=("O", "O")),
        ]
    )
    assert summary.labels == {
        "topic": {"a": 1, "b": 2},
        "flags": {"x": 1, "y": 2},
        "tags": {"LOC": 1, "PER": 2},  # entities, not words
    }
    assert (summary.dataset, summary.split, summary.rows) == ("news", "validation", 6)


def test_repeated_texts_are_duplicates_and_other_labels_are_conflicts():
    summary = summary_of(
        [
            row("one", topic="a"),
            row("One ", topic="a"),
            row("one", topic="b"),
            row("two", topic="a"),
            row("three", topic="b"),
            row("three", topic="b"),
        ]
    )
    assert (summary.duplicates, summary.conflicts) == (3, 1)


def test_labels_of_different_tasks_do_not_conflict():
    summary = summary_of(
        [
            row("one", topic="a"),
            row("one", flags=("x",)),
            row("two", flags=()),
            row("two", flags=("x",)),
        ]
    )
    assert (summary.duplicates, summary.conflicts) == (2, 1)


def test_a_conflict_with_any_earlier_row_counts():
    """The first row of the text has no topic; the second and third disagree about it."""
    rows = [row("one", flags=("x",)), row("one", topic="a"), row("one", topic="b")]
    summary = summary_of(rows)
    assert (summary.duplicates, summary.conflicts) == (2, 1)


def test_the_order_of_several_labels_is_no_conflict():
    rows = [row("one", flags=("x", "y")), row("one", flags=("y", "x"))]
    assert summary_of(rows).conflicts == 0


def test_rows_that_are_trained_on_leak_into_the_other_splits_alone():
    train = [row("one"), row("Two"), row("three")]
    rows = [row("two"), row("TWO"), row("four"), row(" one")]
    assert summary_of(rows, "validation", train).leaks == 3
    assert summary_of(rows, "test", train).leaks == 3
    assert summary_of(train, "train", train).leaks == 0
