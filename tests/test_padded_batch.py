"""Batches: every row is in one, with its tokens and targets and no more padding than allowed."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_encoders import write_encoder
from twinhead.model.config import Pooling, TaskConfig, TaskKind
from twinhead.model.tokenizer import Tokenizer
from twinhead.trainer.encoded_rows import MISSING, EncodedRows, encode_rows
from twinhead.trainer.labelled_rows import LabelledRow
from twinhead.trainer.padded_batch import cut_by_tokens, make_batch, pad, targets_of

TOPIC = TaskConfig(name="topic", labels=("a", "b", "c"))
FLAGS = TaskConfig(name="flags", kind=TaskKind.MULTI_LABEL, labels=("x", "y"))
TAGS = TaskConfig(name="tags", kind=TaskKind.TOKEN, labels=("O", "B-P", "I-P"))
TASKS = (TOPIC, FLAGS, TAGS)
ROWS = [
    LabelledRow("the fox", {"topic": "b", "tags": ("O", "B-P")}, "1", ((0, 3), (4, 7))),
    LabelledRow("dog", {"flags": ("y",)}, "2"),
    LabelledRow("a lazy dog runs home", {"topic": "c", "flags": ()}, "3"),
    LabelledRow("fox", {"tags": ("B-P",)}, "4", ((0, 3),)),
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> EncodedRows:
    folder = write_encoder(tmp_path_factory.mktemp("encoder"), "bert")
    return encode_rows([ROWS], TASKS, Tokenizer.load(folder, 32))


def group(*indices: int) -> np.ndarray:
    return np.array(indices, dtype=np.int64)


def ids_of(rows: EncodedRows, index: int) -> list[int]:
    return rows.ids[rows.starts[index] : rows.starts[index + 1]].tolist()


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(1, 200), st.randoms())
def test_groups_hold_each_row_once_in_the_budget_and_no_smaller_than_need_be(
    lengths, budget, random
):
    lengths = np.array(lengths)
    indices = np.arange(len(lengths))
    chosen = np.array(random.sample(indices.tolist(), random.randint(1, len(lengths))))
    groups = list(cut_by_tokens(lengths, chosen, budget))
    assert sorted(np.concatenate(groups).tolist()) == sorted(chosen.tolist())
    for each in groups:
        assert lengths[each].max() * len(each) <= budget or len(each) == 1
    for each, following in pairwise(groups):
        # Like length stands together, and the next row would not have fitted in.
        assert lengths[each].max() <= lengths[following].min()
        assert lengths[following[0]] * (len(each) + 1) > budget


def test_rows_of_a_length_keep_their_order():
    (found,) = cut_by_tokens(np.array([5, 5, 4, 5]), group(3, 0, 2, 1), 100)
    assert found.tolist() == [2, 3, 0, 1]


def test_many_rows_of_a_length_keep_their_order():
    chosen = np.random.default_rng(0).permutation(500)
    groups = list(cut_by_tokens(np.arange(500) % 2 + 5, chosen, 10_000))
    expected = [*chosen[chosen % 2 == 0], *chosen[chosen % 2 == 1]]
    assert np.concatenate(groups).tolist() == expected


def test_no_rows_make_no_group():
    assert list(cut_by_tokens(np.array([5]), group(), 100)) == []


def test_tokens_stand_first_and_the_mask_covers_them(rows):
    chosen = group(2, 1, 0)
    input_ids, mask = pad(rows, chosen)
    assert input_ids.dtype == mask.dtype == torch.int64
    assert input_ids.shape == mask.shape == (3, int(rows.lengths[2]))
    for position, index in enumerate(chosen):
        ids = ids_of(rows, index)
        assert input_ids[position, : len(ids)].tolist() == ids
        assert mask[position].tolist() == [1] * len(ids) + [0] * (mask.shape[1] - len(ids))


def test_only_rows_with_a_label_of_the_task_have_targets(rows):
    batch = make_batch(rows, group(3, 2, 1, 0), TASKS)
    labelled = {name: found.tolist() for name, found in batch.labelled.items()}
    assert labelled == {"topic": [1, 3], "flags": [1, 2], "tags": [0, 3]}
    assert batch.targets["topic"].tolist() == [2, 1]
    assert batch.targets["flags"].tolist() == [[0, 0], [0, 1]]
    assert {targets.dtype for targets in batch.targets.values()} == {torch.int64}


def test_targets_of_words_stand_at_their_tokens(rows):
    batch = make_batch(rows, group(3, 0), TASKS)
    assert batch.targets["tags"].tolist() == [
        [MISSING, 1, MISSING, MISSING],
        [MISSING, 0, 1, MISSING],
    ]


def test_a_task_without_rows_has_empty_targets_of_its_shape(rows):
    batch = make_batch(rows, group(1, 2), TASKS)
    assert batch.labelled["tags"].tolist() == []
    assert batch.targets["tags"].shape == (0, batch.input_ids.shape[1])


def test_hidden_vectors_are_handed_on_beside_the_tokens(rows):
    hidden = torch.randn(2, 4, 3)
    batch = make_batch(rows, group(3, 0), TASKS, hidden=hidden)
    assert batch.hidden is hidden
    assert batch.pooled is None
    assert batch.input_ids.shape == (2, 4)


def test_pooled_vectors_need_no_tokens(rows):
    pooled = {Pooling.MEAN: torch.randn(2, 3)}
    batch = make_batch(rows, group(2, 1), [TOPIC, FLAGS], pooled=pooled)
    assert batch.pooled is pooled
    assert len(batch.input_ids) == len(batch.mask) == 2
    assert batch.input_ids.numel() == 0
    assert batch.labelled["topic"].tolist() == [0]
    assert batch.targets["flags"].tolist() == [[0, 0], [0, 1]]


def test_targets_are_as_wide_as_the_batch(rows):
    labelled, targets = targets_of(rows, group(3, 1), TAGS, 6)
    assert labelled.tolist() == [0]
    assert targets.tolist() == [[MISSING, 1, *[MISSING] * 4]]
