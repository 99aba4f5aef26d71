"""Answers to requests as columns of rows: each row gets that of its own text, wherever it is."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_answers import DIMENSIONS, MODEL, expected_row, failed_row, respond, same
from twinhead.client import FileError, WorkerFailedError
from twinhead.client.files.row_batch import RowBatch
from twinhead.client.labelling import request_answers
from twinhead.client.labelling.label_columns import LabelColumns
from twinhead.client.labelling.label_journal import LabelJournal
from twinhead.client.labelling.label_plan import LabelPlan, LabelRequest
from twinhead.client.labelling.request_answers import RequestAnswers, RowAnswers
from twinhead.v1 import inference_service_pb2 as pb


class Run:
    """A run of the labeller without its files and workers."""

    def __init__(
        self,
        *,
        embeddings: bool = True,
        scores: bool = False,
        prefix: str = "",
        tasks: Collection[str] | None = None,
        rows: int = 5,
        journal: LabelJournal | None = None,
    ) -> None:
        self.columns = LabelColumns.of(
            MODEL, tasks, embeddings=embeddings, prefix=prefix, scores=scores
        )
        self.journal = journal or LabelJournal(None)
        if not self.journal.run:
            self.journal.begin({"input": ""})
        self.plan = LabelPlan(rows, MODEL.characters_per_sentence, known_texts=1000)
        self.answers = RequestAnswers(self.columns, self.journal)
        self.rows = 0
        self.sent: list[LabelRequest] = []

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        self.journal.close()

    def respond(self, request: LabelRequest) -> pb.InferResponse | str:
        return respond(request.texts)

    def label(self, texts: Sequence[str]) -> RowAnswers:
        planned = self.plan.add(RowBatch(self.rows + 1, texts, [], 0))
        self.rows += len(texts)
        for request in reversed(planned.requests):  # they come in any order
            if self.journal.has(request):
                continue
            self.sent.append(request)
            response = self.respond(request)
            if isinstance(response, str):
                self.answers.fail(request.number, response)
            else:
                self.journal.add(request, response.SerializeToString())
                self.answers.put(request.number, response)
        return self.answers.of(planned, self.plan)


@pytest.fixture
def start() -> Iterator[Callable[..., Run]]:
    """Start runs that end with the test."""
    with ExitStack() as opened:
        yield lambda **options: opened.enter_context(Run(**options))


def rows_of(found: RowAnswers) -> list[dict[str, Any]]:
    return pa.table(dict(found.columns)).to_pylist()


def check(found: RowAnswers, expected: Sequence[dict[str, Any]]) -> None:
    made = rows_of(found)
    assert len(made) == len(expected)
    for row, wanted in zip(made, expected, strict=True):
        assert same(row, wanted), f"{row} is not {wanted}"
    failed = [wanted["error"] is not None for wanted in expected]
    assert found.reasons.is_valid().to_pylist() == failed


TEXTS = st.sampled_from(
    ["", "  ", "a", "Ann likes NASA", "Ünal", "long " * 20, "\0", "nan", "cut " * 30, "😀 \ud83d"]
) | st.text("abA ", max_size=6)
BATCHES = st.lists(st.lists(TEXTS, max_size=25), max_size=6)


@settings(max_examples=50)
@given(BATCHES, st.integers(1, 6), st.sampled_from([0, 500, 1000]))
def test_each_row_gets_the_answer_to_its_text(batches, rows, kept):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_answers, "_KEPT_BYTES", kept)  # what repeats comes from the journal
        with Run(rows=rows) as run:
            for texts in batches:
                found = run.label(texts)
                check(found, [expected_row(text[:41]) for text in texts])
                assert {name: each.type for name, each in found.columns.items()} == {
                    field.name: field.type for field in run.columns.schema
                }
                assert all(isinstance(each, pa.Array) for each in found.columns.values())
                assert sum(part.bytes for part in run.answers._used.values()) <= kept
                assert not run.answers._arrived
            assert sum(len(each.texts) for each in run.sent) == len(
                {text[:41] for texts in batches for text in texts}
            )


@settings(max_examples=50)
@given(BATCHES, st.sets(st.integers(0, 8)))
def test_rows_of_a_request_that_failed_say_so_wherever_they_stand(batches, failing):
    with Run() as run:
        run.respond = lambda request: (
            f"lost {request.number}" if request.number in failing else respond(request.texts)
        )
        for texts in batches:
            found = run.label(texts)
            failed = {
                text: f"lost {request.number}"
                for request in run.sent
                if request.number in failing
                for text in request.texts
            }
            expected = [
                failed_row(failed[text[:41]]) if text[:41] in failed else expected_row(text[:41])
                for text in texts
            ]
            check(found, expected)
            reasons = [
                "worker failed" if text[:41] in failed else reason_of(row)
                for text, row in zip(texts, expected, strict=True)
            ]
            assert found.reasons.to_pylist() == reasons


def reason_of(row: dict[str, Any]) -> str | None:
    return row["error"] and row["error"].removeprefix("the sentence is ")


@settings(max_examples=50)
@given(BATCHES)
def test_with_scores_and_without_embeddings(batches):
    with Run(embeddings=False, scores=True) as run:
        run.respond = lambda request: respond(request.texts, embeddings=False)
        for texts in batches:
            found = run.label(texts)
            check(found, [expected_row(text[:41], embeddings=False, scores=True) for text in texts])
            assert found.embeddings is None


def test_a_later_run_has_all_from_the_journal(start, tmp_path):
    batches = [["Ann", "b", "Ann", ""], ["b", "nan", "Ann"], ["c" * 100]]
    first = start(journal=LabelJournal(tmp_path / "journal"))
    before = [rows_of(first.label(texts)) for texts in batches]
    first.journal.close()
    second = start(journal=LabelJournal(tmp_path / "journal"))
    again = [second.label(texts) for texts in batches]
    assert second.sent == []
    for texts, rows, found in zip(batches, before, again, strict=True):
        check(found, [expected_row(text[:41]) for text in texts])
        assert same(rows_of(found), rows)


def test_embeddings_are_given_as_numbers_too(start):
    texts = ["Ann", "", "nan", "Ann", "lost", "long one"]
    run = start(rows=1)
    run.respond = lambda request: "gone" if request.texts == ["lost"] else respond(request.texts)
    found = run.label(texts)
    assert found.embeddings.dtype == np.float32
    assert found.embeddings.shape == (6, DIMENSIONS)
    assert np.isnan(found.embeddings).all(axis=1).tolist() == [
        False,
        True,
        False,
        False,
        True,
        True,
    ]
    assert np.isnan(found.embeddings[2]).tolist() == [True, False, False]
    column = found.columns["embedding"]
    assert column.is_null().to_pylist() == [False, True, False, False, True, True]
    for row in (0, 2, 3):
        np.testing.assert_array_equal(column[row].as_py(), found.embeddings[row])


def test_embeddings_can_be_had_without_a_column_of_them(start):
    run = start(embeddings=False)
    run.respond = lambda request: respond(request.texts)
    texts = ["Ann", "", "b"]
    found = run.label(texts)
    check(found, [expected_row(text, embeddings=False) for text in texts])
    expected = [expected_row(text)["embedding"] or [np.nan] * DIMENSIONS for text in texts]
    np.testing.assert_allclose(found.embeddings, np.array(expected), rtol=1e-6)


def test_what_a_cached_answer_says_is_not_changed_by_its_use(start):
    run = start()
    run.label(["Ann", "", "b"])
    (used,) = run.answers._used.values()
    before = used.embeddings.copy()
    check(run.label(["", "b", "Ann"]), [expected_row(text) for text in ("", "b", "Ann")])
    np.testing.assert_array_equal(used.embeddings, before)


@pytest.mark.parametrize("embeddings", [True, False])
def test_a_batch_of_which_every_request_failed(start, embeddings):
    run = start(embeddings=embeddings, rows=2)
    run.respond = lambda request: "the worker is gone"
    texts = ["a", "b", "c", "a"]
    found = run.label(texts)
    check(found, [failed_row("the worker is gone", embeddings=embeddings)] * 4)
    assert found.reasons.to_pylist() == ["worker failed"] * 4
    if embeddings:
        assert np.isnan(found.embeddings).all()
        assert found.columns["embedding"].type == run.columns.schema.field("embedding").type


@pytest.mark.parametrize("embeddings", [True, False])
def test_a_batch_without_rows_has_columns_without_rows(start, embeddings):
    run = start(embeddings=embeddings)
    for _ in range(2):
        found = run.label([])
        assert {name: each.type for name, each in found.columns.items()} == {
            field.name: field.type for field in run.columns.schema
        }
        assert {len(each) for each in (*found.columns.values(), found.reasons)} == {0}
        run.label(["something"])


def test_without_tasks_there_are_embeddings_and_what_concerns_the_row(start):
    run = start(tasks=[])
    found = run.label(["Ann", ""])
    assert list(found.columns) == ["embedding", "truncated", "error", "model_version"]
    assert found.columns["error"].to_pylist() == [None, "the sentence is empty"]


def test_the_prefix_is_before_the_embedding_too(start):
    run = start(prefix="p_")
    expected = [
        {f"p_{name}": value for name, value in expected_row(text).items()} for text in ("Ann", "b")
    ]
    assert same(rows_of(run.label(["Ann", "b"])), expected)


def test_the_text_of_an_entity_is_that_of_the_row(start):
    run = start()
    # Alike as far as the worker reads.
    read = "Ann of NASA ".ljust(MODEL.characters_per_sentence + 1, ".")
    found = run.label(["x", read + " Bob", read])
    for row in (1, 2):
        assert [each["text"] for each in found.columns["names"][row].as_py()] == ["Ann", "NASA"]


def with_other_labels(request: LabelRequest) -> pb.InferResponse:
    response = respond(request.texts, version="v2")
    response.tasks[0].labels[2] = "Other"
    return response


def with_other_kind(request: LabelRequest) -> pb.InferResponse:
    response = respond(request.texts, version="v2")
    indices = response.tasks[0].single_label.label_indices
    response.tasks[0].binary.label_indices.extend([min(index, 1) for index in indices])
    response.tasks[0].binary.probabilities.extend([0.5] * len(request.texts))
    return response


def without_a_task(request: LabelRequest) -> pb.InferResponse:
    response = respond(request.texts, version="v2")
    del response.tasks[0]
    return response


@pytest.mark.parametrize("changed", [with_other_labels, with_other_kind, without_a_task])
def test_a_model_that_has_other_labels_in_mid_file_is_told(start, changed):
    run = start()
    check(run.label(["Ann"]), [expected_row("Ann")])
    run.respond = changed
    with pytest.raises(
        WorkerFailedError, match=r"changed in mid-file: version v2 .* 'topic'.*--restart.*--pin"
    ):
        run.label(["b"])


@pytest.mark.parametrize("dimensions", [0, 1, DIMENSIONS - 1, DIMENSIONS + 1, 2 * DIMENSIONS])
def test_a_model_that_has_other_embeddings_in_mid_file_is_told(start, dimensions):
    def respond_otherwise(request: LabelRequest) -> pb.InferResponse:
        response = respond(request.texts, version="v2")
        del response.embeddings.float32_values[:]
        rows = len(request.texts)
        if dimensions:
            response.embeddings.shape[1] = dimensions
            response.embeddings.float32_values.extend([0.5] * rows * dimensions)
        else:
            response.ClearField("embeddings")
        return response

    run = start()
    check(run.label(["Ann"]), [expected_row("Ann")])
    run.respond = respond_otherwise
    for texts in (["b", "c"], ["Ann", "d"]):  # alone, and beside an answer that is as it should be
        with pytest.raises(WorkerFailedError, match=r"version v2 has other embeddings.*--pin"):
            run.label(texts)


def test_another_version_with_the_same_labels_goes_on(start):
    run = start()
    run.label(["Ann"])
    run.respond = lambda request: respond(request.texts, version="v2")
    check(
        run.label(["b", "Ann", ""]),
        [
            expected_row("b", version="v2"),
            expected_row("Ann"),
            expected_row("", version="v2"),
        ],
    )


@pytest.mark.parametrize("answered", [0, 1, 3])
def test_an_answer_to_fewer_sentences_gives_no_row_that_of_another(start, answered):
    run = start(rows=4)
    run.respond = lambda request: respond(
        request.texts[:answered] if request.number == 0 else request.texts
    )
    with pytest.raises(WorkerFailedError, match="fewer sentences"):
        run.label([f"text {n}" for n in range(8)])


def test_without_logits_there_are_no_scores(start):
    def respond_without(request: LabelRequest) -> pb.InferResponse:
        response = respond(request.texts)
        for task in response.tasks:
            task.ClearField("logits")
        return response

    run = start(scores=True)
    run.respond = respond_without
    with pytest.raises(WorkerFailedError, match="sent no logits of 'topic'"):
        run.label(["Ann"])


def test_a_journal_that_is_cut_off_in_mid_run_is_told(start, tmp_path, monkeypatch):
    monkeypatch.setattr(request_answers, "_KEPT_BYTES", 0)
    path = tmp_path / "journal"
    run = start(journal=LabelJournal(path))
    run.label(["Ann"])
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 1)
    with pytest.raises(FileError, match="cut off"):
        run.label(["Ann"])


def test_a_kind_of_status_that_is_unknown_here_is_a_failure(start):
    def respond_newly(request: LabelRequest) -> pb.InferResponse:
        response = respond(request.texts)
        response.statuses[0].code = 77
        response.statuses[0].message = "of late"
        return response

    run = start()
    run.respond = respond_newly
    check(run.label(["", "Bob"]), [{**expected_row(""), "error": "of late"}, expected_row("Bob")])
    assert run.label([""]).reasons.to_pylist() == ["code 77"]


def test_answers_are_those_of_the_wire_whether_they_come_from_it_or_the_journal(start):
    """To the bit: a run that was interrupted writes what it would have written without."""
    texts = [f"Text {n} of NASA" for n in range(40)]
    run = start(scores=True)
    first = run.label(texts)
    run.answers = RequestAnswers(run.columns, run.journal)
    second = run.label(texts)
    assert len(run.sent) == 8
    for name, column in first.columns.items():
        assert second.columns[name].equals(column)
    assert first.embeddings.tobytes() == second.embeddings.tobytes()


def test_tasks_that_were_not_asked_for_are_passed_over(start):
    run = start(tasks=["tags"])
    found = run.label(["Ann"])
    wanted = ("tags", "tags_scores", "embedding", "truncated", "error", "model_version")
    assert same(rows_of(found), [{name: expected_row("Ann")[name] for name in wanted}])
    assert replace(run.columns, tasks=()).schema.names == [*wanted[2:]]
