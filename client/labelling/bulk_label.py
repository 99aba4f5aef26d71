"""Labels files: read, plan, send, write in the order of the input."""

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from twinhead.v1 import inference_service_pb2 as pb

from ..errors import FileError, TwinheadError
from ..files.output_file import OutputFile
from ..files.row_batch import RowBatch
from ..files.row_reader import RowReader
from ..files.row_writer import Layout
from ..label_report.label_report import LabelReport
from ..results import ModelInfo, TaskInfo
from .label_columns import LabelColumns, check_names
from .label_journal import LabelJournal
from .label_plan import REQUEST_ROWS, LabelPlan, LabelRequest, PlannedBatch
from .label_summary import LabelSummary
from .request_answers import RequestAnswers
from .worker_pool import WorkerPool

# A batch is some sixteen requests. So many are read before the first of them is written, beside
# those that the streams have room for: work for all while one request is late.
_REQUESTS_A_BATCH, _BATCHES_AHEAD = 16, 2
# Sentences whose answers are known when they come again, in some 100 MB with what is known of them:
# an embedding is 1.5 KB, labels are some 150 bytes.
_KNOWN_TEXTS, _KNOWN_TEXTS_WITH_EMBEDDINGS = 150_000, 15_000


@dataclass(frozen=True)
class LabelOptions:
    """How files are labelled: what decides the output, beside the input and the model."""

    tasks: Sequence[str] | None = None
    """Tasks wanted; None for all of the model's."""
    embeddings: bool = False
    scores: bool = False
    """Whether each label has a column with its probability; keeps one version, as `pin` does."""
    truncate: bool = True
    prefix: str = ""
    """Before the names of the new columns."""
    dedupe: bool = True
    """Whether identical texts are sent once."""
    pin: bool = False
    """Whether one version of the model answers for all rows."""
    allow_changed: bool = False
    """Whether to go on with the answers of an earlier run though the input has changed: texts that
    are no longer the same are sent anew."""
    fail_fast: bool = False
    """Whether the first row that has no answer ends the run."""


class RowFailedError(TwinheadError):
    """A row has no answer, and that was to end the run."""


class Progress(Protocol):
    """What is told of a run as it goes on."""

    def read(self, rows: int, position: int) -> None:
        """So many rows of the input are read, and so far is that."""
        ...

    def advance(self, rows: int, *, before: bool = False) -> None:
        """Rows were answered; `before`: by an earlier run."""
        ...

    def written(self, summary: LabelSummary) -> None:
        """Rows were written, and counted."""
        ...


def bulk_label(
    pool: WorkerPool,
    model: ModelInfo,
    reader: RowReader,
    output: OutputFile,
    journal: LabelJournal,
    options: LabelOptions,
    progress: Progress,
    report: LabelReport | None = None,
) -> LabelSummary:
    """Label all rows of `reader` into `output`, which the caller completes or abandons.

    Args:
        pool: the workers.
        model: what they serve.
        reader: the input.
        output: the output; rows are written in the order of the input.
        journal: has what was answered before, and gets what is answered now.
        options: what to write.
        progress: told as the run goes on.
        report: told of all rows.

    Raises:
        FileError: the input, the output or the journal cannot go on, or the journal is of another
            run.
        RowFailedError: a row failed, and `fail_fast` is set.
        TwinheadError: no worker can go on.
    """
    pinned = options.pin or options.scores
    if pinned and journal.run:
        model = _model_before(journal, model)
    columns = LabelColumns.of(
        model,
        options.tasks,
        embeddings=options.embeddings,
        prefix=options.prefix,
        scores=options.scores,
    )
    names = set(columns.schema.names)
    if reader.columns is not None:
        check_names(reader.name, names.intersection(reader.columns))
    output.begin(Layout(reader.columns, reader.schema, columns.schema))
    with_embeddings = options.embeddings or report is not None
    _begin(journal, reader, model, columns, options, embeddings=with_embeddings)
    version = model.version if pinned else None
    known_texts = _KNOWN_TEXTS_WITH_EMBEDDINGS if with_embeddings else _KNOWN_TEXTS
    plan = LabelPlan(
        model.sentences_per_request,
        model.characters_per_sentence,
        known_texts=known_texts if options.dedupe else 0,
    )
    answers = RequestAnswers(columns, journal)
    summary = LabelSummary(columns.tasks, options.prefix)
    pool.start(
        columns.options(
            truncate=options.truncate, embeddings=with_embeddings, model_version=version
        )
    )
    answering = _Answering(
        pool, journal, plan, answers, progress, version, allow_changed=options.allow_changed
    )
    for planned in answering.batches(reader):
        batch = planned.batch
        if reader.columns is None:
            keys = (key for row in batch.as_dicts() for key in row)
            check_names(reader.name, names.intersection(keys))
        found = answers.of(planned, plan)
        if options.fail_fast and found.reasons.null_count < len(found.reasons):
            row = found.reasons.is_valid().index(True).as_py()
            raise RowFailedError(
                f"{reader.name}: row {batch.first_row + row}: "
                f"{found.columns[options.prefix + 'error'][row].as_py()}"
            )
        output.write(batch, found.columns)
        summary.add(found.columns, found.reasons)
        summary.before = answering.before
        if report is not None:
            report.add(batch.texts, found.columns, found.embeddings, batch.first_row - 1)
        progress.written(summary)
    return summary


class _Answering:
    """Gets the rows of the input answered."""

    def __init__(
        self,
        pool: WorkerPool,
        journal: LabelJournal,
        plan: LabelPlan,
        answers: RequestAnswers,
        progress: Progress,
        version: str | None,
        *,
        allow_changed: bool,
    ) -> None:
        self._pool = pool
        self._journal = journal
        self._plan = plan
        self._answers = answers
        self._progress = progress
        self._version = version
        self._allow_changed = allow_changed
        # Batches in their order, each with the requests that it waits for.
        self._waiting: deque[tuple[PlannedBatch, set[int]]] = deque()
        self._waiters: dict[int, list[set[int]]] = {}
        self._failed: dict[int, LabelRequest] = {}
        self.before = 0
        """Rows whose answers an earlier run had."""

    def batches(self, reader: RowReader) -> Iterator[PlannedBatch]:
        """Batches in the order of the input, once all of their rows are answered.

        Raises:
            FileError: the input cannot be read on; the rows before the fault come first.
        """
        read = reader.batches()
        fault: FileError | None = None
        more = True
        while more or self._waiting:
            while more and self._wants_more():
                try:
                    batch = next(read, None)
                except FileError as error:
                    batch, fault = None, error
                if batch is None:
                    more = False
                else:
                    self._send(batch)
            while self._waiting and not self._waiting[0][1]:
                yield self._waiting.popleft()[0]
            if self._waiting:
                self._take()
        if fault is not None:
            raise fault

    def _wants_more(self) -> bool:
        ahead = _BATCHES_AHEAD + math.ceil(self._pool.window / _REQUESTS_A_BATCH)
        return not self._waiting or (len(self._waiting) < ahead and self._pool.hungry)

    def _send(self, batch: RowBatch) -> None:
        planned = self._plan.add(batch)
        self._progress.read(batch.first_row - 1 + len(batch.texts), batch.position)
        missing: set[int] = set()
        before = 0
        for request in planned.requests:
            if self._was_answered(request):
                before += request.rows
            else:
                missing.add(request.number)
                self._waiters.setdefault(request.number, []).append(missing)
                self._pool.put(request)
        # What had no answer then may have one now.
        for number in self._answers.failed(planned, self._plan):
            missing.add(number)
            if number not in self._waiters:
                self._pool.put(self._failed[number])
            self._waiters.setdefault(number, []).append(missing)
        # What stands in an earlier batch is answered with that.
        repeated = len(batch.texts) - sum(request.rows for request in planned.requests)
        self.before += before
        self._progress.advance(before, before=True)
        self._progress.advance(repeated)
        self._waiting.append((planned, missing))

    def _was_answered(self, request: LabelRequest) -> bool:
        if not self._journal.has(request, allow_changed=self._allow_changed):
            return False
        if self._version is None:
            return True
        # The run before may have kept no version: what is not of the one wanted is asked anew.
        answer = pb.InferResponse.FromString(self._journal.read(request.number))
        return answer.model_version == self._version

    def _take(self) -> None:
        answer = self._pool.take()
        number = answer.request.number
        if answer.error is None:
            self._journal.add(answer.request, answer.response.SerializeToString())
            self._answers.put(number, answer.response)
        else:
            self._answers.fail(number, str(answer.error))
        for missing in self._waiters.pop(number):
            missing.discard(number)
        if number in self._failed:  # then its rows have been counted
            return
        self._progress.advance(answer.request.rows)
        if answer.error is not None:
            self._failed[number] = answer.request


def _model_before(journal: LabelJournal, model: ModelInfo) -> ModelInfo:
    """The model that an earlier run began with, and that is to answer the rest."""
    before: Any = journal.run["model"]
    if before["version"] == model.version:
        return model
    tasks = [
        TaskInfo(each["name"], each["kind"], tuple(each["labels"]), (), each["temperature"])
        for each in before["tasks"]
    ]
    return replace(
        model,
        version=before["version"],
        tasks={task.name: task for task in tasks},
        embedding_dimensions=before["embedding_dimensions"],
    )


def _begin(
    journal: LabelJournal,
    reader: RowReader,
    model: ModelInfo,
    columns: LabelColumns,
    options: LabelOptions,
    *,
    embeddings: bool,
) -> None:
    """Begin a journal, or go on with it.

    Raises:
        FileError: it is of another run.
    """
    run = {
        "input": reader.fingerprint,
        "options": {
            "tasks": [task.name for task in columns.tasks],
            "embeddings": embeddings,
            "scores": options.scores,
            "truncate": options.truncate,
            "dedupe": options.dedupe,
        },
        # They decide how sentences are cut into requests.
        "limits": [
            min(model.sentences_per_request, REQUEST_ROWS),
            model.characters_per_sentence,
        ],
        "model": {
            "version": model.version,
            "embedding_dimensions": model.embedding_dimensions,
            "tasks": [
                {
                    "name": task.name,
                    "kind": task.kind,
                    "labels": task.label_names,
                    "temperature": task.temperature,
                }
                for task in model.tasks.values()
            ],
        },
    }
    before: Mapping[str, Any] = journal.run
    if not before:
        journal.begin(run)
        return
    again = f"{journal.path} has {journal.answered:,} answered requests of an earlier run"
    anew = "--restart begins anew"
    if before["input"] != run["input"] and not options.allow_changed:
        raise FileError(
            f"{again}, but the input has changed since; --allow-changed keeps the answers that "
            f"come before the first change, {anew}"
        )
    if before["options"] != run["options"]:
        raise FileError(f"{again}, but with other options; say those, or {anew}")
    if before["limits"] != run["limits"]:
        raise FileError(f"{again}, but the worker now takes requests of another size; {anew}")
    if before["model"]["version"] != model.version:
        raise FileError(
            f"{again} by model version {before['model']['version']}, and now {model.version} is "
            f"live; --pin goes on with the former while the worker keeps it, {anew}"
        )
