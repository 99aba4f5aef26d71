import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from twinhead.trainer.history import StepRecord, ValidationRecord
from twinhead.trainer.tensorboard_log import FOLDER, TensorBoardLog


def test_records_are_where_tensorboard_looks_for_them(tmp_path):
    log = TensorBoardLog(tmp_path)
    log.steps(20, 10, 0)
    for step in (5, 10):
        log.record(
            StepRecord(
                step=step,
                epoch=step / 10,
                loss=1.0 / step,
                losses={"topic": 0.5 / step},
                weights={"topic": 1.5},
                learning_rate=1e-4,
                rows_per_second=100.0,
            )
        )
    figures = {"topic": {"accuracy": 0.75}}
    log.record(ValidationRecord(10, 1.0, 3.0, 0.75, True, figures))
    log.close()
    events = EventAccumulator(str(tmp_path / FOLDER))
    events.Reload()
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("loss/topic")] == [
        (5, 0.1),
        (10, 0.05),
    ]
    assert events.Scalars("weight/topic")[0].value == 1.5
    (found,) = events.Scalars("validation/topic/accuracy")
    assert (found.step, found.value) == (10, 0.75)
    assert events.Scalars("validation/score")[0].value == 0.75
