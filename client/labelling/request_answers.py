"""The answers to requests as columns of rows."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from twinhead.v1 import inference_service_pb2 as pb

from ..errors import WorkerFailedError
from ..results import InferResult, read_result
from .label_columns import WORKER_FAILED, LabelColumns, reasons
from .label_journal import LabelJournal
from .label_plan import LabelPlan, PlannedBatch

# Of answers that stay at hand for sentences that come again: as many as `LabelPlan` knows, unless
# there are many labels; what is left out is read from the journal, a request for a sentence.
_KEPT_BYTES = 50_000_000
_REASON = "why there is no answer"  # beside the other columns, none of which is called so


@dataclass(frozen=True)
class RowAnswers:
    """What is known of the rows of a batch."""

    columns: Mapping[str, pa.Array]
    """The new columns, as `LabelColumns` names them."""
    reasons: pa.Array
    """Why a row has no answer; null where it has one."""
    embeddings: NDArray[np.float32] | None
    """[rows, dimensions], NaN where there is no answer; None when none were asked for."""


@dataclass(frozen=True)
class _Part:
    """The answer to a request."""

    columns: pa.RecordBatch
    """Without embeddings, which are many numbers and taken into their rows by numpy."""
    embeddings: NDArray[np.float32] | None
    """[sentences, dimensions]."""

    @property
    def bytes(self) -> int:
        return self.columns.nbytes + (0 if self.embeddings is None else self.embeddings.nbytes)


class RequestAnswers:
    """What was answered; the journal is asked for what is no longer at hand."""

    def __init__(self, columns: LabelColumns, journal: LabelJournal) -> None:
        """Begin a run whose answers fill `columns`."""
        self._columns = columns
        self._others = replace(columns, embedding_dimensions=0)
        self._schema = self._others.schema.append(pa.field(_REASON, pa.string()))
        self._by_token = any(task.kind == "token" for task in columns.tasks)
        self._journal = journal
        self._failures: dict[int, str] = {}
        # Those of batches whose turn is still to come, and those that were used last.
        self._arrived: dict[int, pb.InferResponse] = {}
        self._used: OrderedDict[int, _Part] = OrderedDict()
        self._used_bytes = 0

    def put(self, number: int, response: pb.InferResponse) -> None:
        """Take the answer to a request."""
        self._failures.pop(number, None)
        self._arrived[number] = response

    def fail(self, number: int, message: str) -> None:
        """Take the failure of a request."""
        self._failures[number] = message

    def failed(self, planned: PlannedBatch, plan: LabelPlan) -> list[int]:
        """Earlier requests that a batch needs again, and that failed."""
        if not self._failures:
            return []
        requests, _ = plan.places(planned.answers)
        return [number for number in np.unique(requests).tolist() if number in self._failures]

    def of(self, planned: PlannedBatch, plan: LabelPlan) -> RowAnswers:
        """The new columns of a batch, all of whose requests are answered.

        Raises:
            FileError: the journal cannot be read any more.
            WorkerFailedError: an answer is not of the model that the columns are of.
        """
        requests, places = plan.places(planned.answers)
        numbers, which = np.unique(requests, return_inverse=True)
        texts_of = {request.number: request.texts for request in planned.requests}
        parts: list[_Part] = []
        for index, number in enumerate(numbers.tolist()):
            texts = texts_of.get(number)
            part = self._used.get(number) if texts is None else None
            if part is None:
                rows = np.flatnonzero(which == index)
                part = self._part(number, texts, planned, rows, places[rows])
                if texts is not None or not self._by_token:  # else it lacks the text of others
                    self._keep(number, part)
            else:
                self._used.move_to_end(number)
            parts.append(part)
        starts = np.cumsum([0, *(part.columns.num_rows for part in parts[:-1])])
        table = pa.Table.from_batches([part.columns for part in parts], schema=self._schema)
        taken = table.take(pa.array(starts[which] + places)).combine_chunks()
        columns = {name: _one(taken.column(name)) for name in taken.column_names}
        why = columns.pop(_REASON)
        embeddings = _gathered([part.embeddings for part in parts], which, places)
        if dimensions := self._columns.embedding_dimensions:
            if embeddings is None:  # no row has an answer
                embeddings = np.full((len(which), dimensions), np.nan, dtype=np.float32)
            columns[self._columns.embedding_name] = self._columns.embedding_array(
                embeddings, why.is_valid()
            )
            columns = {name: columns[name] for name in self._columns.schema.names}
        return RowAnswers(columns, why, embeddings)

    def _keep(self, number: int, part: _Part) -> None:
        before = self._used.pop(number, None)
        self._used[number] = part
        self._used_bytes += part.bytes - (0 if before is None else before.bytes)
        while self._used_bytes > _KEPT_BYTES:
            self._used_bytes -= self._used.popitem(last=False)[1].bytes

    def _part(
        self,
        number: int,
        texts: Sequence[str] | None,
        planned: PlannedBatch,
        rows: NDArray[np.int64],
        places: NDArray[np.int64],
    ) -> _Part:
        """The answer to a request, of which this batch needs some places in some rows."""
        if texts is None:
            known = [""] * (int(places.max()) + 1)
            for row, place in zip(rows.tolist(), places.tolist(), strict=True):
                known[place] = planned.batch.texts[row]
            texts = known
        if number in self._failures:
            columns = self._others.of_failure(len(texts), self._failures[number])
            columns[_REASON] = pa.array([WORKER_FAILED] * len(texts))
            return _Part(pa.record_batch(columns, schema=self._schema), None)
        response = self._arrived.pop(number, None)
        if response is None:
            response = pb.InferResponse.FromString(self._journal.read(number))
        try:
            result = read_result(response)
            self._check(result, len(texts))
            texts = [*texts, *[""] * (len(result) - len(texts))]
            columns = self._others.of_result(result, texts)
            columns[_REASON] = why = reasons(result)
            record = pa.record_batch(columns, schema=self._schema)
        except (pa.ArrowException, ValueError, IndexError) as error:
            raise WorkerFailedError(f"a worker's answer makes no sense: {error}") from error
        if result.embeddings is None:
            return _Part(record, None)
        vectors = np.asarray(result.embeddings, dtype=np.float32)
        if why.null_count < len(why):
            vectors = vectors.copy()
            vectors[why.is_valid().to_numpy(zero_copy_only=False)] = np.nan
        return _Part(record, vectors)

    def _check(self, result: InferResult, sentences: int) -> None:
        if len(result) < sentences:
            raise WorkerFailedError("the worker answered fewer sentences than it was sent")
        dimensions = self._columns.embedding_dimensions
        shape = None if result.embeddings is None else result.embeddings.shape
        if dimensions and shape != (len(result), dimensions):
            raise WorkerFailedError(
                f"the model changed in mid-file: version {result.model_version} has other "
                "embeddings; begin anew with --restart, or keep one version with --pin"
            )


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _gathered(
    vectors: Sequence[NDArray[np.float32] | None],
    which: NDArray[np.int64],
    places: NDArray[np.int64],
) -> NDArray[np.float32] | None:
    """Embeddings of rows, each from its request."""
    dimensions = {each.shape[1] for each in vectors if each is not None}
    if not dimensions:
        return None
    if len(dimensions) > 1:
        raise WorkerFailedError(
            "the model changed in mid-file: its embeddings have another size; begin anew with "
            "--restart, or keep one version with --pin"
        )
    gathered = np.full((len(which), dimensions.pop()), np.nan, dtype=np.float32)
    for index, each in enumerate(vectors):
        if each is not None:
            rows = np.flatnonzero(which == index)
            gathered[rows] = each[places[rows]]
    return gathered
