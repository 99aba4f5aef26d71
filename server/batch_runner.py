"""The threads that run the model: take, encode with all heads, settle."""

import logging
import threading
import time
from collections import defaultdict
from dataclasses import replace

from .batch_queue import BatchQueue
from .job import Job
from .job_line import MicroBatch
from .metrics import Metrics

logger = logging.getLogger(__name__)


class BatchRunner:
    """Runs micro-batches until the queue is closed and empty."""

    def __init__(
        self, queue: BatchQueue, metrics: Metrics, token_budget: int, streams: int = 1
    ) -> None:
        """Prepare to run micro-batches of `token_budget` padded tokens, `streams` at once."""
        self._queue = queue
        self._metrics = metrics
        self._token_budget = token_budget
        self._started: dict[int, float] = {}
        self.last_success = time.monotonic()
        """When the last pass ended that gave results, by the monotonic clock."""
        self._threads = [
            threading.Thread(target=self._run, name=f"batch-runner-{number}", daemon=True)
            for number in range(streams)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def running_seconds(self) -> float:
        """How long the longest pass of those that run has been running; 0 when none runs."""
        started = list(self._started.values())  # threads change it meanwhile
        return time.monotonic() - min(started) if started else 0.0

    def join(self, timeout: float) -> None:
        """Wait for the threads to end, `timeout` seconds at most."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def _run(self) -> None:
        while (batch := self._queue.take(self._token_budget)) is not None:
            started = time.monotonic()
            try:
                self._run_batch(batch)
            finally:
                self._started.pop(threading.get_ident(), None)
                self._queue.finished(batch, time.monotonic() - started)

    def _run_batch(self, batch: MicroBatch) -> None:
        jobs = _rows_by_job(batch)
        for job in jobs:
            job.started()
        started = self._started[threading.get_ident()] = time.monotonic()
        try:
            output = batch.model.engine.encode(
                [item.ids for item in batch.items],
                {task.name for job in jobs for task in job.plan.tasks},
                alone=batch.alone,
            )
            self.last_success = time.monotonic()
            seconds = self.last_success - started
            self._metrics.passed(batch, seconds)
            for job, (rows, places) in jobs.items():
                job.settle(rows, output, places, seconds)
        except Exception as error:
            self._metrics.pass_failed()
            logger.error("an encoder pass of %d sentences failed: %r", len(batch.items), error)
            if len(jobs) == 1:
                next(iter(jobs)).fail(error)
                return
            # One caller's sentence may be the reason: each runs alone, and fails alone.
            for job in jobs:
                self._run_batch(
                    replace(batch, items=[item for item in batch.items if item.job is job])
                )


def _rows_by_job(batch: MicroBatch) -> dict[Job, tuple[list[int], list[int]]]:
    """For each job: its rows, and their places in the batch."""
    jobs: dict[Job, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for place, item in enumerate(batch.items):
        rows, places = jobs[item.job]
        rows.append(item.row)
        places.append(place)
    return jobs
