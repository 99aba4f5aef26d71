"""The thread that runs the model: take, encode with all heads, settle."""

import logging
import threading
import time
from collections import defaultdict

from .batch_queue import BatchQueue, MicroBatch
from .job import Job

logger = logging.getLogger(__name__)


class BatchRunner:
    """Runs micro-batches one after the other until the queue is closed and empty."""

    def __init__(self, queue: BatchQueue, token_budget: int) -> None:
        """Prepare to run micro-batches of `token_budget` padded tokens."""
        self._queue = queue
        self._token_budget = token_budget
        self._thread = threading.Thread(target=self._run, name="batch-runner", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, `timeout` seconds at most."""
        self._thread.join(max(timeout, 0.0))

    def _run(self) -> None:
        while (batch := self._queue.take(self._token_budget)) is not None:
            self._run_batch(batch)

    def _run_batch(self, batch: MicroBatch) -> None:
        jobs = _rows_by_job(batch)
        for job in jobs:
            job.started()
        started = time.monotonic()
        try:
            output = batch.model.engine.encode(
                [item.ids for item in batch.items],
                {task.name for job in jobs for task in job.plan.tasks},
            )
            seconds = time.monotonic() - started
            for job, (rows, places) in jobs.items():
                job.settle(rows, output, places, seconds)
        except Exception as error:
            logger.error("an encoder pass of %d sentences failed: %r", len(batch.items), error)
            if len(jobs) == 1:
                next(iter(jobs)).fail(error)
                return
            # One caller's sentence may be the reason: each runs alone, and fails alone.
            for job in jobs:
                self._run_batch(
                    MicroBatch(batch.model, [item for item in batch.items if item.job is job])
                )
        else:
            self._queue.measured(sum(item.length for item in batch.items), seconds)


def _rows_by_job(batch: MicroBatch) -> dict[Job, tuple[list[int], list[int]]]:
    """For each job: its rows, and their places in the batch."""
    jobs: dict[Job, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for place, item in enumerate(batch.items):
        rows, places = jobs[item.job]
        rows.append(item.row)
        places.append(place)
    return jobs
