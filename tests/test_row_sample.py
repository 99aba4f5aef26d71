"""A random sample of rows with their embeddings."""

import numpy as np
from twinhead.client.label_report.row_sample import RowSample
from twinhead.client.label_report.task_answers import TaskAnswers


def sample_of(rows, batch, size=50, embeddings=None):
    sample = RowSample(size)
    vectors = np.ones((rows, 3), np.float32) if embeddings is None else embeddings
    for start in range(0, rows, batch):
        part = vectors[start : start + batch]
        places = np.arange(len(part))
        answers = {"task": TaskAnswers(places, start + places, np.full(len(part), 0.5))}
        sample.add([f"row {start + place}" for place in places], part, answers, start)
    return sample.rows


def test_the_sample_does_not_depend_on_the_batches():
    wanted = [one.row for one in sample_of(5000, 5000)]
    assert len(set(wanted)) == 50
    for batch in (1, 99, 4096):
        assert [one.row for one in sample_of(5000, batch)] == wanted


def test_rows_come_with_what_is_theirs():
    vectors = np.arange(3000, dtype=np.float32).reshape(1000, 3) + 1
    for one in sample_of(1000, 64, embeddings=vectors):
        assert one.text == f"row {one.row}"
        assert one.given["task"][0].label == one.row
        np.testing.assert_array_equal(one.embedding, vectors[one.row])
        assert one.embedding.base is None


def test_every_part_of_the_input_is_in_it():
    rows = [one.row for one in sample_of(100_000, 4096, 2000)]
    counts = np.histogram(rows, 10, (0, 100_000))[0]
    assert counts.min() > 140
    assert counts.max() < 260


def test_few_rows_are_all_in_it():
    assert sorted(one.row for one in sample_of(30, 7)) == list(range(30))
    assert sample_of(0, 1) == []


def test_rows_without_an_embedding_are_not_in_it():
    vectors = np.ones((100, 3), np.float32)
    vectors[::2] = np.nan
    vectors[1::4] = 0
    vectors[3, 1] = np.inf
    rows = {one.row for one in sample_of(100, 10, 100, vectors)}
    assert rows == set(range(7, 100, 4))


def test_memory_is_bounded():
    sample = RowSample(50)
    for start in range(0, 20_000, 100):
        sample.add(["x" * 5000] * 100, np.ones((100, 2), np.float32), {}, start)
        assert len(sample._rows) <= 200
    assert {len(one.text) for one in sample.rows} == {1000}
    far = RowSample(50)
    far.add(["far"] * 60, np.ones((60, 2), np.float32), {}, 10**12)
    assert len(far.rows) == 50
