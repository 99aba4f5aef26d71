"""The history of a run: what is written is read again, whatever a kill has left."""

import json
from dataclasses import replace

import pytest
from twinhead.trainer.history import History, Part, StageRecord, StepRecord, ValidationRecord

PARTS = (Part("embeddings", 10, trained=False), Part("head topic", 3, trained=True))
STAGE = StageRecord(0, 0.0, "start", ("encoder", "head:mood"), PARTS)
STEP = StepRecord(5, 0.5, 1.25, {"topic": 0.5}, {"topic": 1.0}, 5e-5, 120.5)
VALIDATION = ValidationRecord(5, 0.5, 2.5, 0.75, best=True, figures={"topic": {"accuracy": 0.75}})


def later(record, step: int):
    return replace(record, step=step)


def records(history: History) -> tuple[list, list, list]:
    return history.steps, history.validations, history.stages


@pytest.fixture
def file(tmp_path):
    return tmp_path / "history.jsonl"


def test_what_is_added_is_there_and_is_read_again(file):
    history = History(file)
    for record in (STAGE, STEP, VALIDATION, later(STEP, 10)):
        history.add(record)
    assert records(history) == ([STEP, later(STEP, 10)], [VALIDATION], [STAGE])
    assert records(History.read(file, 10, 9)) == records(history)


def test_each_record_is_in_the_file_as_soon_as_it_is_added(file):
    history = History(file)
    for count, record in enumerate((STAGE, STEP, VALIDATION), start=1):
        history.add(record)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert len(lines) == count
    assert [line["record"] for line in lines] == ["stage", "step", "validation"]


def test_without_a_file_records_are_only_kept(tmp_path):
    history = History()
    history.add(STEP)
    assert history.steps == [STEP]
    assert list(tmp_path.iterdir()) == []


def test_records_after_the_step_are_dropped_from_the_file_too(file):
    history = History(file)
    for record in (STAGE, STEP, VALIDATION, later(STAGE, 6), later(STEP, 6), later(VALIDATION, 6)):
        history.add(record)
    assert records(History.read(file, 5, 9)) == ([STEP], [VALIDATION], [STAGE])
    # A second kill must not bring them back.
    assert records(History.read(file, 100, 9)) == ([STEP], [VALIDATION], [STAGE])


def test_what_is_read_goes_on_in_its_file(file):
    History(file).add(STEP)
    history = History.read(file, 5, 9)
    history.add(later(STEP, 6))
    assert History.read(file, 6, 9).steps == [STEP, later(STEP, 6)]


@pytest.mark.parametrize("lost", [2, 3, 40, -1])
def test_a_line_that_a_kill_cut_off_is_dropped(file, lost):
    history = History(file)
    history.add(STEP)
    start = len(file.read_bytes())
    history.add(later(STEP, 6))
    data = file.read_bytes()
    file.write_bytes(data[:-lost] if lost > 0 else data[: start + 1])
    again = History.read(file, 100, 9)
    assert again.steps == [STEP]
    again.add(later(STEP, 7))
    assert History.read(file, 100, 9).steps == [STEP, later(STEP, 7)]


def test_a_line_that_lacks_only_its_end_is_whole(file):
    History(file).add(STEP)
    file.write_bytes(file.read_bytes()[:-1])
    history = History.read(file, 100, 9)
    history.add(later(STEP, 6))
    assert History.read(file, 100, 9).steps == [STEP, later(STEP, 6)]


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\n", "é", "🙂"])
def test_no_character_ends_a_record_or_can_be_cut_in_two(file, mark):
    stage = replace(STAGE, reason=f"a{mark}b")
    history = History(file)
    history.add(stage)
    history.add(STEP)
    assert records(History.read(file, 100, 9)) == ([STEP], [], [stage])
    assert file.read_bytes().isascii()


def test_a_file_that_is_not_there_is_an_empty_history(file):
    history = History.read(file, 100, 9)
    assert records(history) == ([], [], [])
    history.add(STEP)
    assert History.read(file, 100, 9).steps == [STEP]


def test_a_new_run_empties_the_file(file):
    History(file).add(STAGE)
    assert records(History.read(file, -1, 0)) == ([], [], [])
    assert file.read_bytes() == b""


def test_records_of_a_step_keep_their_order(file):
    history = History(file)
    for record in (STAGE, STEP, VALIDATION, later(STAGE, 5), later(STEP, 6)):
        history.add(record)
    before = file.read_text()
    History.read(file, 100, 9)
    assert file.read_text() == before


def test_losses_that_are_not_finite_are_read_again(file):
    History(file).add(replace(STEP, loss=float("inf")))
    assert History.read(file, 5, 9).steps[0].loss == float("inf")


def test_a_stage_that_began_after_the_last_save_is_dropped(tmp_path):
    file = tmp_path / "history.jsonl"
    history = History(file)
    for record in (STAGE, STEP, later(STAGE, STEP.step)):
        history.add(record)
    whole = file.read_text()
    assert records(History.read(file, STEP.step, 2))[2] == [STAGE, later(STAGE, STEP.step)]
    assert file.read_text() == whole
    assert records(History.read(file, STEP.step, 1)) == ([STEP], [], [STAGE])
