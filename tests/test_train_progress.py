import io
from dataclasses import replace

from rich.console import Console
from twinhead.trainer.history import Part, StageRecord, StepRecord, ValidationRecord
from twinhead.trainer.run_summary import DataSummary
from twinhead.trainer.train_progress import TrainProgress

STEP = StepRecord(10, 0.5, 0.9, {"topic": 0.6123, "mood": 0.25}, {"topic": 1.0}, 1e-4, 123.4)
VALIDATION = ValidationRecord(
    20, 1.0, 75.0, 0.8, True, {"topic": {"accuracy": 0.8125, "macro_f1": 0.8, "loss": 0.4}}
)
STAGE = StageRecord(
    0,
    0.0,
    "start",
    ("top:1", "head:mood"),
    (Part("layer 1", 3000, False), Part("layer 2", 900, True), Part("head [x]", 100, True)),
)


def told(*records, terminal=False, data=()):
    stream = io.StringIO()
    progress = TrainProgress(Console(file=stream, force_terminal=terminal, width=120))
    progress.data(data, ["note [of] something"])
    progress.steps(40, 20, 0)
    for record in records:
        progress.record(record)
    progress.progress("frozen layers", 50, 100)
    progress.close()
    return stream.getvalue()


def test_what_trains_is_shown_as_a_table_with_shares():
    said = told(STAGE)
    assert "start: frozen: top:1, head:mood" in said
    assert "3,000" in said
    assert "1,000 (25.00%)" in said
    assert "head [x]" in said


def test_losses_rate_and_time_left_are_shown(monkeypatch):
    monkeypatch.setattr("twinhead.trainer.train_progress._PLAIN_EVERY_SECONDS", 0)
    said = told(STEP)
    assert "epoch 0.50 of 2, step 10" in said
    assert "topic 0.6123" in said
    assert "123 rows/s\n" in said  # how long one takes is not known yet
    said = told(STEP, replace(STEP, step=20))
    assert "0:00 left" in said


def test_a_validation_is_a_line_with_the_best_marked():
    said = told(VALIDATION)
    assert "epoch 1.00, 1:15: validation topic accuracy 0.8125, macro F1 0.8000" in said
    assert "best" in said


def test_a_terminal_gets_a_bar_that_goes_away():
    said = told(STEP, VALIDATION, terminal=True)
    assert "\x1b[" in said
    assert "accuracy 0.8125" in said


def test_what_is_wrong_with_the_data_is_said():
    counts = {"topic": {f"label {n}": n for n in range(9)}}
    data = [
        DataSummary("news", "train", 1234, counts, 20, 3, 0),
        DataSummary("news", "validation", 50, {}, 0, 0, 7),
        DataSummary("news", "test", 60, {}, 0, 0, 8),
    ]
    said = told(data=data)
    assert "1,234" in said
    assert "3 more" in said
    assert "20 rows repeat a text, 3 of them with another label" in said
    assert "warning: news validation: 7 rows are among the training rows" in said
    assert "warning: news test: 8 rows are among the training or validation rows" in said
    assert "note [of] something" in said
