"""The rows with the lowest and highest scores."""

import numpy as np
import pytest
from twinhead.client.label_report.extreme_rows import ExtremeRows
from twinhead.client.label_report.task_answers import TaskAnswers


def extremes(scores, size, *, highest, most=20):
    kept = ExtremeRows(most, highest=highest)
    for start in range(0, len(scores), size):
        part = scores[start : start + size]
        given = np.flatnonzero(~np.isnan(part))
        answers = TaskAnswers(given, np.zeros(len(given), np.int64), part[given])
        kept.add(part, answers, [f"row {start + place}" for place in range(len(part))], start)
    return kept.rows


@pytest.mark.parametrize("highest", [False, True])
def test_batches_of_any_size_give_the_same(highest):
    scores = np.random.default_rng(0).integers(0, 50, 3000) / 50
    scores[::7] = np.nan
    sign = -1 if highest else 1
    fine = [row for row in range(3000) if not np.isnan(scores[row])]
    wanted = sorted(fine, key=lambda row: (sign * scores[row], row))[:20]
    for size in (1, 77, 3000):
        rows = extremes(scores, size, highest=highest)
        assert [one.row for one in rows] == wanted
        assert all(one.text == f"row {one.row}" for one in rows)
        assert all(one.given[0].score == one.score for one in rows)


def test_rows_without_a_score_do_not_count():
    assert extremes(np.full(10, np.nan), 5, highest=False) == []


def test_of_a_long_text_the_beginning_is_kept():
    kept = ExtremeRows(1, highest=True)
    answers = TaskAnswers(np.array([0]), np.array([0]), np.array([0.5]))
    kept.add(np.array([0.5]), answers, ["x" * 2_000_000], 0)
    assert len(kept.rows[0].text) == 1000
