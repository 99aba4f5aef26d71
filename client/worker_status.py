"""How a worker does, as its admin service tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from twinhead.v1 import model_admin_service_pb2 as pb


@dataclass(frozen=True)
class Latencies:
    """How long batches took, from read to answered."""

    at_most_seconds: Sequence[float]
    """Upper bounds of the buckets; one more bucket holds what took longer."""
    batches: Sequence[int]
    """Batches in each bucket."""

    def since(self, before: "Latencies | None") -> "Latencies":
        """Those that came after an earlier look."""
        if before is None or len(before.batches) != len(self.batches):
            return self
        pairs = zip(self.batches, before.batches, strict=True)
        return Latencies(self.at_most_seconds, [now - then for now, then in pairs])

    @property
    def count(self) -> int:
        """Batches in all."""
        return sum(self.batches)

    def quantile(self, share: float) -> float | None:
        """Seconds that a share of the batches took at most, within the width of a bucket.

        None without batches; infinity for what is beyond the last bound.
        """
        wanted, seen = share * self.count, 0
        if not self.count:
            return None
        for lower, upper, batches in zip(
            [0.0, *self.at_most_seconds],
            [*self.at_most_seconds, float("inf")],
            self.batches,
            strict=True,
        ):
            if batches and seen + batches >= wanted:
                if upper == float("inf"):
                    break
                return lower + (upper - lower) * (wanted - seen) / batches
            seen += batches
        return float("inf")


@dataclass(frozen=True)
class WorkerStatus:
    """What a worker holds at present, and what it has counted since it was started."""

    model_version: str
    ready: bool
    """Whether its model answers."""
    started: datetime
    release: str
    engine: str
    """With precision and device."""
    resident_bytes: int
    """Memory that it holds; 0 where that is not known."""
    calls: int
    """Inference calls and streams that are open."""
    queue_tokens: int
    """Tokens that wait for the encoder."""
    queue_limit_tokens: int
    sentences: int
    """Answered since the start, whatever their status."""
    tokens: int
    """Encoded since the start, padding excluded."""
    padded_tokens: int
    """Encoded since the start, padding included."""
    passes: int
    """Encoder passes since the start."""
    swaps: int
    """Versions that went live since the start, the first excluded."""
    failures: Mapping[str, int]
    """Errors that callers were told since the start, by reason."""
    latencies: Mapping[str, Latencies]
    """By class of service."""


def read_status(response: pb.GetStatusResponse) -> WorkerStatus:
    """A worker's answer as a `WorkerStatus`."""
    return WorkerStatus(
        model_version=response.model_version,
        ready=response.ready,
        started=response.started.ToDatetime(UTC),
        release=response.worker_release,
        engine=response.engine,
        resident_bytes=response.resident_bytes,
        calls=response.calls,
        queue_tokens=response.queue_tokens,
        queue_limit_tokens=response.queue_limit_tokens,
        sentences=response.sentences,
        tokens=response.tokens,
        padded_tokens=response.padded_tokens,
        passes=response.passes,
        swaps=response.swaps,
        failures=dict(sorted(response.failures.items())),  # a map has no order
        latencies={
            name: Latencies(tuple(each.at_most_seconds), tuple(each.batches))
            for name, each in sorted(response.latencies.items())
        },
    )
