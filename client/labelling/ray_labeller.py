"""What an actor of Ray runs: a worker of its own, and the labels of one table after the other."""

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa

from ..client import Client
from ..errors import (
    InvalidRequestError,
    TwinheadError,
    VersionNotLiveError,
    WorkerFailedError,
    WorkerFullError,
    WorkerUnavailableError,
)
from ..files.row_batch import RowBatch
from ..own_worker import OwnWorker
from ..results import ModelInfo
from .label_columns import WORKER_FAILED, LabelColumns, reasons
from .label_plan import LabelPlan
from .ray_rows import REASON, texts_of

# Of one table. A worker that is lost so often is not lost by chance.
_ATTEMPTS = 3
_IN_FLIGHT = 8


@dataclass(frozen=True)
class WorkerStart:
    """How an actor starts its worker."""

    model: str
    """Checkpoint folder, or `starter`."""
    cpus: float
    """That the actor was given."""
    options: Sequence[str] = ()
    """More options of `twinhead serve`."""

    def start(self) -> OwnWorker:
        """Start it.

        Raises:
            WorkerFailedError: it did not start.
        """
        threads = str(max(1, math.floor(self.cpus)))
        return OwnWorker("--model", self.model, "--threads", threads, *self.options)


def describe(start: WorkerStart) -> ModelInfo:
    """What a worker that is started so would serve.

    Raises:
        WorkerFailedError: it did not start.
    """
    with start.start() as worker, Client(worker.target) as client:
        return client.model()


@dataclass(frozen=True)
class LabellerOptions:
    """What the actors of a run do."""

    start: WorkerStart
    version: str
    """Of the model, on all nodes."""
    columns: LabelColumns
    """What is added to each table."""
    column: str
    """The one with the text."""
    truncate: bool = True
    """Whether over-long texts are labelled by their beginning."""
    dedupe: bool = True
    """Whether identical texts of a table are sent once."""


class RayLabeller:
    """Holds a model; called with tables."""

    def __init__(self, options: LabellerOptions) -> None:
        """Start the worker.

        Raises:
            WorkerFailedError: it did not start, or has another model than the run.
        """
        self._options = options
        self._columns = options.columns
        self._wanted = options.columns.options(
            truncate=options.truncate, model_version=options.version
        )
        self._begin()

    def __call__(self, table: pa.Table) -> pa.Table:
        """A table with the new columns.

        Raises:
            TwinheadError: the worker cannot label it.
        """
        attempts = 1
        while True:
            try:
                added = self._labels(texts_of(table, self._options.column))
                break
            except (WorkerUnavailableError, WorkerFullError) as error:
                if self._worker.running or attempts == _ATTEMPTS:
                    raise WorkerFailedError(f"{error}\n{self._worker.said()}") from error
                attempts += 1
                self._end()
                self._begin()
        for name, column in added.items():
            table = table.append_column(name, column)
        return table

    def _begin(self) -> None:
        self._worker = self._options.start.start()
        self._client = Client(self._worker.target)
        self._model = self._client.model()
        if self._model.version != self._options.version:
            self._end()
            raise WorkerFailedError(
                f"the model {self._options.start.model!r} is {self._model.version} on this node "
                f"and {self._options.version} on another; give every node the same checkpoint"
            )

    def _end(self) -> None:
        self._client.close()
        self._worker.stop()

    def _labels(self, texts: Sequence[str]) -> dict[str, pa.Array]:
        model = self._model
        plan = LabelPlan(
            model.sentences_per_request,
            model.characters_per_sentence,
            known_texts=len(texts) if self._options.dedupe else 0,
        )
        planned = plan.add(RowBatch(1, texts, [], 0))
        answers = self._client.infer_stream(
            [request.texts for request in planned.requests],
            self._wanted,
            in_flight=_IN_FLIGHT,
            reconnect_seconds=0,  # the worker is started again here
        )
        # A table may have no rows.
        parts = [{**self._columns.of_failure(0, ""), REASON: pa.array([], pa.string())}]
        with closing(answers):
            for request, answer in zip(planned.requests, answers, strict=True):
                if isinstance(answer, (InvalidRequestError, VersionNotLiveError)):
                    raise answer  # it would be the same for every table
                if isinstance(answer, TwinheadError):
                    rows = len(request.texts)
                    added = self._columns.of_failure(rows, str(answer))
                    parts.append({**added, REASON: pa.array([WORKER_FAILED] * rows)})
                else:
                    added = self._columns.of_result(answer, request.texts)
                    parts.append({**added, REASON: reasons(answer)})
        places = pa.array(planned.answers)
        return {
            name: pa.concat_arrays([part[name] for part in parts]).take(places) for name in parts[0]
        }
