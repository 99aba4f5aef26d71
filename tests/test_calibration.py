"""Temperature scaling: what sharpened the logits is found again, and nothing gets worse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.trainer.calibration import HIGHEST, LOWEST, fit_temperature
from twinhead.trainer.encoded_rows import MISSING
from twinhead.trainer.likelihood import negative_log_likelihood
from twinhead.trainer.metrics import measure
from twinhead.trainer.token_metrics import measure_tokens

LABELS = ("a", "b", "c", "d")
ROWS = 40_000
SHARPENED = [0.5, 1.0, 2.5, 6.0]


def drawn_labels(sharpened: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from a softmax, and logits that are `sharpened` times those of it."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2, size=(ROWS, len(LABELS)))
    # The largest of logits with Gumbel noise is a draw from their softmax.
    targets = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    return (sharpened * logits).astype(np.float32), targets


def drawn_answers(sharpened: float, seed: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Yes or no drawn from sigmoids, and logits that are `sharpened` times those of them."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=2, size=(ROWS, columns))
    targets = (random.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    return (sharpened * logits).astype(np.float32), targets


@pytest.mark.parametrize("sharpened", SHARPENED)
def test_single_label_temperature_is_recovered(sharpened):
    logits, targets = drawn_labels(sharpened, seed=1)
    fitted = fit_temperature(TaskKind.SINGLE_LABEL, logits, targets)
    assert fitted == pytest.approx(sharpened, rel=0.025)


@pytest.mark.parametrize("sharpened", SHARPENED)
def test_binary_temperature_is_recovered(sharpened):
    logits, targets = drawn_answers(sharpened, 2, columns=1)
    fitted = fit_temperature(TaskKind.BINARY, logits, targets[:, 0])
    assert fitted == pytest.approx(sharpened, rel=0.03)


@pytest.mark.parametrize("sharpened", SHARPENED)
def test_multi_label_temperature_is_recovered(sharpened):
    logits, targets = drawn_answers(sharpened, 3, columns=3)
    fitted = fit_temperature(TaskKind.MULTI_LABEL, logits, targets)
    assert fitted == pytest.approx(sharpened, rel=0.025)


def test_overconfidence_is_cured_on_other_rows():
    fitted = fit_temperature(TaskKind.SINGLE_LABEL, *drawn_labels(2.5, seed=4))
    task = TaskConfig(name="topic", labels=LABELS)
    logits, targets = drawn_labels(2.5, seed=5)
    before = measure(task, logits, targets)
    after = measure(task, logits, targets, temperature=fitted)
    assert before.figures["ece"] > 0.1
    assert after.figures["ece"] < 0.015
    assert after.figures["loss"] < before.figures["loss"] - 0.1
    assert after.figures["accuracy"] == before.figures["accuracy"]
    # Bins of a few rows say little.
    large = [part for part in before.reliability if part.count > 500]
    assert len(large) > 5
    assert all(part.confidence > part.accuracy for part in large)


def test_words_without_label_are_left_out():
    logits, targets = drawn_labels(2.5, seed=6)
    logits, targets = logits[:4000], targets[:4000]
    wanted = fit_temperature(TaskKind.TOKEN, logits[::2], targets[::2])
    assert wanted == fit_temperature(TaskKind.SINGLE_LABEL, logits[::2], targets[::2])
    holes = targets.copy()
    holes[1::2] = MISSING
    assert fit_temperature(TaskKind.TOKEN, logits, holes) == wanted


def test_tokens_fit_what_measure_tokens_reports():
    task = TaskConfig(name="speech", kind=TaskKind.TOKEN, labels=LABELS)
    logits, targets = drawn_labels(2.5, seed=7)
    logits, targets = logits[:8000], targets[:8000]
    sentences = np.split(logits, 800), np.split(targets, 800)
    fitted = fit_temperature(TaskKind.TOKEN, logits, targets)

    def loss(temperature: float) -> float:
        return measure_tokens(task, *sentences, temperature=temperature).figures["loss"]

    assert loss(fitted) < min(loss(fitted * 1.02), loss(fitted / 1.02), loss(1.0))


@pytest.mark.parametrize(
    ("kind", "logits", "targets"),
    [
        (TaskKind.SINGLE_LABEL, np.zeros((0, 4)), np.zeros(0, int)),
        (TaskKind.BINARY, np.zeros((0, 1)), np.zeros(0, int)),
        (TaskKind.MULTI_LABEL, np.zeros((0, 4)), np.zeros((0, 4), int)),
        (TaskKind.TOKEN, np.zeros((2, 4)), np.full(2, MISSING)),
        # Every temperature is as good as any other.
        (TaskKind.SINGLE_LABEL, np.zeros((5, 4)), np.zeros(5, int)),
        (TaskKind.BINARY, np.zeros((5, 1)), np.ones(5, int)),
    ],
)
def test_where_there_is_nothing_to_fit(kind, logits, targets):
    assert fit_temperature(kind, logits.astype(np.float32), targets) == 1


def test_faultless_rows_do_not_make_scores_absurdly_sure():
    targets = np.arange(100) % 4
    logits = (3 * np.eye(4)[targets]).astype(np.float32)
    assert fit_temperature(TaskKind.SINGLE_LABEL, logits, targets) == LOWEST
    yes = np.arange(100) % 2
    sides = (2 * yes - 1)[:, None].astype(np.float32)
    assert fit_temperature(TaskKind.BINARY, sides, yes) == LOWEST


def test_logits_that_mislead_are_flattened():
    targets = np.arange(100) % 4
    logits = (3 * np.eye(4)[(targets + 1) % 4]).astype(np.float32)
    assert fit_temperature(TaskKind.SINGLE_LABEL, logits, targets) == HIGHEST


def test_extreme_logits_are_no_overflow():
    # Warnings are errors in these tests.
    logits = np.array([[3e38, -3e38], [3e38, -3e38]], dtype=np.float32)
    assert fit_temperature(TaskKind.SINGLE_LABEL, logits, np.array([0, 0])) == 1
    assert fit_temperature(TaskKind.MULTI_LABEL, logits, np.array([[1, 0], [0, 1]])) == HIGHEST


def test_logits_must_be_finite():
    with pytest.raises(ValueError, match="not finite"):
        fit_temperature(TaskKind.BINARY, np.array([[np.nan]], dtype=np.float32), np.array([1]))


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.floats(0.01, 100))
def test_never_worse_than_one_nor_than_any_other(seed, rows, scale):
    random = np.random.default_rng(seed)
    logits = (scale * random.normal(size=(rows, 3))).astype(np.float32)
    targets = random.integers(3, size=rows)
    fitted = fit_temperature(TaskKind.SINGLE_LABEL, logits, targets)

    def loss(temperature: float) -> float:
        scaled = logits.astype(np.float64) / temperature
        return negative_log_likelihood(TaskKind.SINGLE_LABEL, scaled, targets)

    assert LOWEST <= fitted <= HIGHEST
    assert loss(fitted) <= loss(1.0)
    grid = np.geomspace(LOWEST, HIGHEST, 40)
    assert loss(fitted) <= min(map(loss, grid)) + 1e-6
