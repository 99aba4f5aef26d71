"""Runs probe sentences through a version before it goes live.

The probes are jobs of the batch queue like those of callers, but small ones that go first: the
runner takes them between other micro-batches, and they warm the new weights on the way.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from twinhead.v1 import inference_service_pb2

from ..model.config import TaskConfig, TaskKind
from ..model.probes import PROBE_SENTENCES, Probes
from .answers import decisions
from .batch_queue import BatchQueue
from .engines.engine import FloatArray
from .errors import PushRefusedError
from .job import Job
from .length_groups import groups_by_length
from .live_model import LiveModel
from .request_check import EmbeddingPlan, RequestPlan
from .service_class import ServiceClass

# How far a result may be from what the version states, in units of the largest result of its kind.
# In float32 another order of sums and another processor make 1e-5; narrower numbers make far more.
# The loss of int8 is measured by its engine; here it is only told from what is altogether wrong.
_TOLERANCES = {"float32": 1e-3, "int8": 0.3}
_OTHER_TOLERANCE = 5e-2
# Padded tokens of one pass of probes, which callers wait for: some 30 ms on two cores.
_PASS_TOKENS = 160
# Of a cosine of float32 vectors: those that are the same have one of 0.9999999.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class DriftLimits:
    """How far a version may be from the live one."""

    min_cosine: float | None = None
    min_agreement: float | None = None
    sentences: Sequence[str] = ()
    """Probes in place of those that come with the version."""


@dataclass(frozen=True)
class GateReport:
    """What was measured."""

    probes: int
    deviation: float | None = None
    """Largest difference to what the version states, relative; None when it states nothing."""
    min_cosine: float | None = None
    """Smallest cosine of the embeddings of a probe by both versions."""
    agreement: Mapping[str, float] = field(default_factory=dict[str, float])
    """Share of probes with the same labels by both versions, for each task that both have."""


@dataclass(frozen=True)
class _Results:
    """All that a model says of some sentences."""

    embeddings: FloatArray
    """Not normalised, [sentences, dimensions]."""
    logits: Mapping[str, FloatArray]
    """Of each task that answers by sentence, [sentences, logits]."""
    token_logits: Mapping[str, Sequence[FloatArray]]
    """Of each task that answers by token, for each sentence [tokens, labels]."""

    @classmethod
    def of(cls, jobs: Sequence[Job], order: Sequence[int]) -> "_Results":
        """Put the results of several jobs together.

        Args:
            jobs: with some sentences each.
            order: for each of their sentences, one after the other, its place in the results.
        """
        back = np.argsort(order)
        tasks = [task.name for task in jobs[0].plan.tasks]
        return cls(
            embeddings=np.concatenate([job.embeddings for job in jobs])[back],
            logits={
                name: np.concatenate([job.logits[name] for job in jobs])[back]
                for name in tasks
                if name in jobs[0].logits
            },
            token_logits={
                name: [_rows(jobs, name)[place] for place in back]
                for name in tasks
                if name in jobs[0].token_logits
            },
        )

    def by_name(self) -> Iterator[tuple[str, Sequence[FloatArray]]]:
        """For each sentence an array, of the embedding and of each task; see `Probes.results`."""
        yield "embedding", list(self.embeddings)
        for name, logits in self.logits.items():
            yield f"task {name}", list(logits)
        for name, by_sentence in self.token_logits.items():
            yield f"task {name}", by_sentence


class SemanticGate:
    """Tries versions out."""

    def __init__(self, queue: BatchQueue) -> None:
        """Try versions through a queue."""
        self._queue = queue
        # The last results of each version that is still there: the live one need not run again.
        self._known: WeakKeyDictionary[LiveModel, tuple[tuple[str, ...], _Results]] = (
            WeakKeyDictionary()
        )

    async def check(
        self, new: LiveModel, stated: Probes | None, live: LiveModel, limits: DriftLimits
    ) -> GateReport:
        """Run the probes through a version, and through the live one.

        Args:
            new: the version.
            stated: what it should answer.
            live: what answers now.
            limits: how far the two may be from each other.

        Raises:
            PushRefusedError: naming the check that failed.
        """
        deviation = None
        if stated is not None:
            deviation = _deviation(new, stated, await self._results(new, stated.sentences))
        sentences = limits.sentences or (stated.sentences if stated else PROBE_SENTENCES)
        found = await self._results(new, sentences)
        known = await self._results(live, sentences)
        report = GateReport(
            probes=len(sentences),
            deviation=deviation,
            min_cosine=_min_cosine(found.embeddings, known.embeddings),
            agreement=dict(_agreements(new, found, live, known)),
        )
        _check_drift(report, limits)
        return report

    async def _results(self, model: LiveModel, sentences: Sequence[str]) -> _Results:
        asked, results = self._known.get(model, ((), None))
        if results is None or asked != tuple(sentences):
            results = await self._run(model, sentences)
            self._known[model] = (tuple(sentences), results)
        return results

    async def _run(self, model: LiveModel, sentences: Sequence[str]) -> _Results:
        """All results of a model for some sentences, finite ones."""
        offsets = any(task.kind is TaskKind.TOKEN for task in model.config.tasks)
        tokenized = await asyncio.to_thread(model.tokenizer, sentences, offsets=offsets)
        plan = RequestPlan(
            tasks=model.config.tasks,
            embedding=EmbeddingPlan(
                inference_service_pb2.EMBEDDING_FORMAT_FLOAT32,
                normalize=False,
                dimensions=model.dimensions,
            ),
            logits=True,
            token_logits=True,
            truncate=True,
            service_class=ServiceClass.PROBE,
        )
        jobs: list[Job] = []
        order: list[int] = []
        lengths = [len(sentence.ids) for sentence in tokenized]
        for group in groups_by_length(lengths, _PASS_TOKENS):
            jobs.append(Job(model, plan, [tokenized[place] for place in group], 0.0))
            order += group
            await self._encode(jobs[-1])
        results = _Results.of(jobs, order)
        for name, rows in results.by_name():
            if not all(bool(np.isfinite(row).all()) for row in rows):
                raise PushRefusedError("trial", f"{name} of a probe is not finite")
        return results

    async def _encode(self, job: Job) -> None:
        try:
            self._queue.put(job)
            await job.wait()
        except asyncio.CancelledError:
            self._queue.discard(job)
            raise
        except Exception as error:
            self._queue.discard(job)
            raise PushRefusedError("trial", f"a batch of probes failed: {error!r}"[:300]) from error


def _rows(jobs: Sequence[Job], task: str) -> list[FloatArray]:
    return [row for job in jobs for row in job.token_logits[task]]


def _deviation(model: LiveModel, stated: Probes, results: _Results) -> float:
    tolerance = _TOLERANCES.get(model.engine.precision, _OTHER_TOLERANCE)
    expected, largest = stated.results, 0.0
    for name, rows in results.by_name():
        if name not in expected or len(expected[name]) != len(rows):
            raise PushRefusedError("probes", f"the version states nothing for {name}")
        scale = max([1e-6, *(float(np.abs(row).max()) for row in expected[name] if row.size)])
        for sentence, row, wanted in zip(stated.sentences, rows, expected[name], strict=True):
            if row.shape != wanted.shape and row.size + wanted.size:
                raise PushRefusedError(
                    "probes",
                    f"{name} of {sentence[:40]!r} is of shape {row.shape}, not {wanted.shape}",
                )
            apart = float(np.abs(row - wanted).max(initial=0.0)) / scale
            if apart > tolerance:
                raise PushRefusedError(
                    "probes",
                    f"{name} of {sentence[:40]!r} is {apart:.2g} (relative) from what the version "
                    f"states; {tolerance:g} is allowed",
                )
            largest = max(largest, apart)
    return largest


def _min_cosine(new: NDArray[Any], live: NDArray[Any]) -> float | None:
    if new.shape != live.shape:
        return None
    # Squares of large numbers are beyond float32.
    new, live = new.astype(np.float64), live.astype(np.float64)
    lengths = np.linalg.norm(new, axis=1) * np.linalg.norm(live, axis=1)
    return float(((new * live).sum(axis=1) / np.maximum(lengths, 1e-12)).min())


def _agreements(
    new: LiveModel, found: _Results, live: LiveModel, known: _Results
) -> Iterator[tuple[str, float]]:
    live_tasks = {task.name: task for task in live.config.tasks}
    for task in new.config.tasks:
        other = live_tasks.get(task.name)
        if other is None or (other.kind, other.labels) != (task.kind, task.labels):
            continue
        pairs = zip(_labels(task, found), _labels(other, known), strict=True)
        same = [bool(np.array_equal(one, two)) for one, two in pairs]
        yield task.name, sum(same) / len(same)


def _labels(task: TaskConfig, results: _Results) -> Iterator[NDArray[Any]]:
    """What the answer to each sentence says, in a form that can be compared."""
    by_sentence = results.token_logits if task.kind is TaskKind.TOKEN else results.logits
    for logits in by_sentence[task.name]:
        yield decisions(task, logits)


def _check_drift(report: GateReport, limits: DriftLimits) -> None:
    if limits.min_cosine is not None:
        if report.min_cosine is None:
            raise PushRefusedError("drift", "the embeddings have another length than the live ones")
        if report.min_cosine < limits.min_cosine - _ROUNDING:
            raise PushRefusedError(
                "drift",
                f"the embedding of a probe has a cosine of {report.min_cosine:.4f} with the live "
                f"version's; at least {limits.min_cosine:g} is asked for",
            )
    if limits.min_agreement is not None:
        for task, share in report.agreement.items():
            if share < limits.min_agreement:
                raise PushRefusedError(
                    "drift",
                    f"{task}: {share:.0%} of the probes get the label that the live version gives; "
                    f"at least {limits.min_agreement:.0%} is asked for",
                )
