"""Which sentences are sent in which requests, and where the answer to each row is."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twinhead.client.files.row_batch import RowBatch
from twinhead.client.labelling.label_plan import (
    REQUEST_CHARACTERS,
    REQUEST_ROWS,
    LabelPlan,
    LabelRequest,
    PlannedBatch,
)

LONGEST = 20


def batches_of(texts: Sequence[str], size: int) -> list[RowBatch]:
    return [
        RowBatch(start + 1, texts[start : start + size], [], 0)
        for start in range(0, len(texts), size)
    ]


def planned(
    texts: Sequence[str],
    size: int,
    *,
    rows: int = 7,
    characters: int = LONGEST,
    known: int = 1000,
) -> tuple[LabelPlan, list[PlannedBatch]]:
    plan = LabelPlan(rows, characters, known_texts=known)
    return plan, [plan.add(batch) for batch in batches_of(texts, size)]


def requests_of(made: list[PlannedBatch]) -> list[LabelRequest]:
    return [request for each in made for request in each.requests]


def sent_for_each_row(plan: LabelPlan, made: list[PlannedBatch]) -> list[str]:
    """The sentence whose answer each row gets."""
    requests = requests_of(made)
    numbers, places = plan.places(np.concatenate([each.answers for each in made]))
    return [
        requests[number].texts[place]
        for number, place in zip(numbers.tolist(), places.tolist(), strict=True)
    ]


# Few different texts, so that many repeat; with lone halves of surrogate pairs, and nothing.
TEXTS = st.text(alphabet="ab \n\0é🥐\ud83d\ude00", max_size=LONGEST + 10)
FILES = st.lists(st.sampled_from(["", "a", " a", "\ud83d", "\ud83d\ude00"]) | TEXTS, max_size=60)
SIZES = st.integers(1, 25)


@given(FILES, SIZES, st.integers(1, 9), st.booleans())
def test_every_row_gets_the_answer_to_its_own_text(texts, size, rows, dedupe):
    plan, made = planned(texts, size, rows=rows, known=1000 * dedupe)
    if texts:
        assert sent_for_each_row(plan, made) == [text[: LONGEST + 1] for text in texts]
    for batch, each in zip(batches_of(texts, size), made, strict=True):
        assert each.batch == batch
        assert len(each.answers) == len(batch.texts)


@given(FILES, SIZES, st.integers(1, 9), st.booleans())
def test_the_same_rows_make_the_same_requests(texts, size, rows, dedupe):
    first, second = (
        [
            (request.number, request.texts, request.rows, request.digest)
            for request in requests_of(planned(texts, size, rows=rows, known=1000 * dedupe)[1])
        ]
        for _ in range(2)
    )
    assert first == second


@given(FILES, SIZES, st.integers(1, 9), st.booleans())
def test_requests_are_counted_and_neither_empty_nor_too_large(texts, size, rows, dedupe):
    plan, made = planned(texts, size, rows=rows, known=1000 * dedupe)
    requests = requests_of(made)
    assert [request.number for request in requests] == list(range(plan.requests))
    assert all(1 <= len(request.texts) <= rows for request in requests)
    new = sum(request.rows for request in requests)
    sentences = sum(len(request.texts) for request in requests)
    assert sentences <= new <= len(texts)
    assert sentences == (len({text[: LONGEST + 1] for text in texts}) if dedupe else len(texts))


@given(FILES, SIZES)
def test_rows_of_a_request_are_those_of_its_batch_that_wait_for_it(texts, size):
    plan, made = planned(texts, size)
    for each in made:
        numbers, _ = plan.places(each.answers)
        for request in each.requests:
            assert request.rows == np.count_nonzero(numbers == request.number)


@given(st.lists(st.integers(0, 40), max_size=200), SIZES, st.integers(1, 12))
def test_texts_are_known_for_two_generations_and_answers_stay_right(numbers, size, known):
    texts = [f"text {number}" for number in numbers]
    plan, made = planned(texts, size, known=known)
    again = planned(texts, size, known=known)[1]
    if texts:
        assert sent_for_each_row(plan, made) == texts
    assert [each.texts for each in requests_of(made)] == [each.texts for each in requests_of(again)]
    # What stood among the last so many different texts before a batch is not sent again.
    for batch, each in zip(batches_of(texts, size), made, strict=True):
        lately = dict.fromkeys(reversed(texts[: batch.first_row - 1]))
        sent = {text for request in each.requests for text in request.texts}
        assert sent.isdisjoint(list(lately)[:known])


def test_what_is_frequent_stays_known():
    texts = [text for n in range(20) for text in ["frequent", *(f"{n} {k}" for k in range(5))]]
    sent = [
        text for request in requests_of(planned(texts, 6, known=10)[1]) for text in request.texts
    ]
    assert sorted(sent) == sorted(set(texts))


def test_memory_of_known_texts_is_bounded():
    plan = LabelPlan(256, LONGEST, known_texts=100)
    for batch in batches_of([f"text {n}" for n in range(5000)], 50):
        plan.add(batch)
        assert len(plan._young) < 100
        assert len(plan._old) < 100 + 50
    sent = requests_of([plan.add(RowBatch(1, ["text 4999", "text 0"], [], 0))])
    assert [each.texts for each in sent] == [["text 0"]]


def test_without_dedupe_nothing_is_remembered():
    plan, made = planned(["same"] * 20, 10, known=0)
    assert [len(request.texts) for request in requests_of(made)] == [7, 3, 7, 3]
    assert [request.rows for request in requests_of(made)] == [7, 3, 7, 3]
    assert len({int(number) for each in made for number in each.answers}) == 20
    assert not plan._young


def test_the_answers_of_a_file_do_not_depend_on_how_it_is_cut_into_batches():
    texts = [f"text {random.Random(n).randrange(300)}" for n in range(1000)]
    for size in (1, 10, 999, 5000):
        plan, made = planned(texts, size, rows=50)
        assert sent_for_each_row(plan, made) == texts
        assert sum(len(each.texts) for each in requests_of(made)) == len(set(texts))


def test_requests_are_cut_by_rows():
    made = planned([f"{n}" for n in range(2000)], 2000, rows=10_000)[1]
    assert [len(each.texts) for each in requests_of(made)] == [REQUEST_ROWS] * 7 + [208]
    made = planned([f"{n}" for n in range(100)], 2000, rows=30)[1]
    assert [len(each.texts) for each in requests_of(made)] == [30, 30, 30, 10]


@pytest.mark.parametrize(("more", "requests"), [(0, 1), (1, 2)])
def test_as_many_characters_as_a_request_takes_go_into_one(more, requests):
    texts = ["x" * (REQUEST_CHARACTERS // 2), "y" * (REQUEST_CHARACTERS // 2 + more)]
    assert len(requests_of(planned(texts, 2, characters=10**6)[1])) == requests


@given(st.lists(st.integers(0, 2 * REQUEST_CHARACTERS), max_size=30))
def test_requests_are_cut_by_characters(lengths):
    texts = [f"{n:02}".ljust(length, "x") for n, length in enumerate(lengths)]
    requests = requests_of(planned(texts, 100, rows=999, characters=10**6)[1])
    sizes = [sum(map(len, each.texts)) for each in requests]
    for each, size in zip(requests, sizes, strict=True):
        assert size <= REQUEST_CHARACTERS or len(each.texts) == 1
    # None is smaller than it need be: the first text of the next would not have gone in.
    for size, following in zip(sizes, requests[1:], strict=False):
        assert size + len(following.texts[0]) > REQUEST_CHARACTERS


def test_texts_of_one_length_go_together_and_keep_their_order():
    texts = ["ccc", "a", "bb", "aaa", "b", "aa"]
    made = planned(texts, 10, rows=2)[1]
    assert [each.texts for each in requests_of(made)] == [["a", "b"], ["bb", "aa"], ["ccc", "aaa"]]


def test_of_a_long_text_one_character_more_is_sent_than_is_read():
    texts = ["x" * LONGEST, "x" * (LONGEST + 1), "x" * 10_000, "x" * LONGEST + "y" * 5000]
    plan, made = planned(texts, 10)
    (request,) = requests_of(made)
    assert request.texts == ["x" * LONGEST, "x" * (LONGEST + 1), "x" * LONGEST + "y"]
    assert request.rows == 4
    assert sent_for_each_row(plan, made) == [text[: LONGEST + 1] for text in texts]
    assert made[0].batch.texts == texts


def test_a_batch_without_rows_makes_no_request():
    plan = LabelPlan(7, LONGEST, known_texts=1000)
    made = plan.add(RowBatch(1, [], [], 0))
    assert (made.requests, len(made.answers), plan.requests) == ([], 0, 0)
    assert [len(each) for each in plan.places(made.answers)] == [0, 0]
    assert len(requests_of([plan.add(RowBatch(1, ["text"], [], 0))])) == 1


@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS, max_size=6))
def test_the_digest_tells_sentences_and_their_borders(first, second):
    digests = [LabelRequest(0, texts, 1).digest for texts in (first, second)]
    assert (digests[0] == digests[1]) == (first == second)


def test_the_digest_is_that_of_the_sentences_alone():
    assert LabelRequest(0, ["a", "b"], 2).digest == LabelRequest(7, ("a", "b"), 99).digest
    assert LabelRequest(0, ["a", "b"], 2).digest != LabelRequest(0, ["b", "a"], 2).digest
    assert LabelRequest(0, ["ab", ""], 2).digest != LabelRequest(0, ["a", "b"], 2).digest
    # An emoji, and the two halves that stand for it elsewhere, are different texts.
    assert LabelRequest(0, ["😀"], 1).digest != LabelRequest(0, ["\ud83d\ude00"], 1).digest


def test_a_text_and_its_halves_of_a_surrogate_pair_are_both_sent():
    made = planned(["😀", "\ud83d\ude00", "\ud83d", "😀"], 2)[1]
    sent = [text for request in requests_of(made) for text in request.texts]
    assert sorted(sent) == sorted(["😀", "\ud83d\ude00", "\ud83d"])
