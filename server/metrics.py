"""What is counted and timed, in Prometheus' terms."""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from twinhead.v1 import inference_service_pb2 as pb

from .errors import PushRefusedError, ServiceError
from .listen import ListenError

if TYPE_CHECKING:
    from .job import Job
    from .job_line import MicroBatch

# From a call of one sentence on an idle machine to what a client waits for at most.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of times."""
_SENTENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768)
_CODES = {
    value: name.removeprefix("SENTENCE_CODE_") for name, value in pb.SentenceCode.items() if value
}


class Metrics:
    """The worker's counters and times; what it holds at present is asked of it when it is read."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        """What is given out."""
        ProcessCollector(registry=self.registry)
        self._requests = self._counter(
            "requests", "Calls that have ended, by gRPC status.", "method", "code"
        )
        self._failures = self._counter(
            "failures",
            "Errors told to callers, in a status or in band on a stream, by their reason.",
            "method",
            "reason",
        )
        self._push_refusals = self._counter(
            "push_refusals", "Versions that were refused, by the check that they failed.", "check"
        )
        self._sentences = self._counter(
            "sentences", "Sentences that were answered, by what became of them.", "status"
        )
        self._truncated = self._counter(
            "truncated_sentences", "Sentences of which only the beginning was encoded."
        )
        self._request_seconds = self._histogram(
            "request_seconds",
            "From a batch that was read to its answer, by class of service.",
            SECONDS,
            "service_class",
        )
        self._tokenize_seconds = self._histogram(
            "tokenize_seconds", "Turning the text of a batch into tokens.", SECONDS
        )
        self._queue_seconds = self._histogram(
            "queue_seconds",
            "From queued to the start of the pass that took a batch's last sentence.",
            SECONDS,
        )
        self._encode_seconds = self._histogram(
            "encode_seconds", "Sum of the encoder passes that a batch took part in.", SECONDS
        )
        self._pass_seconds = self._histogram("pass_seconds", "One encoder pass.", SECONDS)
        self._pass_sentences = self._histogram(
            "pass_sentences", "Sentences of an encoder pass.", _SENTENCES
        )
        self._pass_tokens = self._histogram(
            "pass_tokens", "Tokens of an encoder pass, padding included.", _TOKENS
        )
        self._tokens = self._counter("tokens", "Tokens that were encoded, without padding.")
        self._padded_tokens = self._counter("padded_tokens", "Tokens encoded, with padding.")
        self._pass_failures = self._counter("pass_failures", "Encoder passes that failed.")

    def told(self, method: str, error: ServiceError) -> None:
        """Note an error that a caller is told."""
        self._failures.labels(method, error.reason).inc()
        if isinstance(error, PushRefusedError):
            self.refused(error)

    def refused(self, error: PushRefusedError) -> None:
        """Note a version that fails a check."""
        self._push_refusals.labels(error.check).inc()

    def called(self, method: str, code: str) -> None:
        """Note a call that has ended."""
        self._requests.labels(method, code).inc()
        if code in ("CANCELLED", "DEADLINE_EXCEEDED"):  # the caller's own doing: nothing is told
            self._failures.labels(method, code).inc()

    def answered(self, job: "Job", statuses: Sequence[pb.SentenceStatus], seconds: float) -> None:
        """Note a batch that has its answer."""
        self._request_seconds.labels(job.plan.service_class.value).observe(seconds)
        self._tokenize_seconds.observe(job.tokenize_seconds)
        self._queue_seconds.observe(job.queue_seconds)
        self._encode_seconds.observe(job.encode_seconds)
        for code, count in Tally(status.code for status in statuses).items():
            self._sentences.labels(_CODES[code]).inc(count)
        truncated = sum(status.truncated for status in statuses)
        if truncated:
            self._truncated.inc(truncated)

    def passed(self, batch: "MicroBatch", seconds: float) -> None:
        """Note an encoder pass."""
        self._pass_seconds.observe(seconds)
        self._pass_sentences.observe(len(batch.items))
        padded = batch.padded_tokens
        self._pass_tokens.observe(padded)
        self._tokens.inc(sum(item.length for item in batch.items))
        self._padded_tokens.inc(padded)

    def pass_failed(self) -> None:
        """Note an encoder pass that failed."""
        self._pass_failures.inc()

    def ask(self, present: Callable[[], Iterable[Metric]]) -> None:
        """Ask for figures of the present whenever the metrics are read."""
        self.registry.register(_Present(present))

    def samples(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """All that there is at present, by name and values of labels."""
        return {
            (sample.name, tuple(sample.labels.values())): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
        }

    def serve(self, host: str, port: int) -> tuple[int, Callable[[], None]]:
        """Answer Prometheus over HTTP, from a thread.

        Returns:
            The port, and what ends it.

        Raises:
            ListenError: the address is taken or not ours.
        """
        try:
            bare = host.removeprefix("[").removesuffix("]")
            server, _ = start_http_server(port, bare, self.registry)
        except OSError as error:
            raise ListenError(
                f"cannot give out metrics on {host}:{port}: {error.strerror}; choose another "
                "--metrics-port or --metrics-host"
            ) from error

        def stop() -> None:
            server.shutdown()
            server.server_close()

        return server.server_port, stop

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"twinhead_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"twinhead_{name}", text, labels, registry=self.registry, buckets=buckets)


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """A figure of the present."""
    return GaugeMetricFamily(f"twinhead_{name}", text, value=value)


def counter(name: str, text: str, value: float) -> CounterMetricFamily:
    """A count that is kept elsewhere."""
    return CounterMetricFamily(f"twinhead_{name}", text, value=value)


def info(name: str, text: str, labels: Mapping[str, str]) -> InfoMetricFamily:
    """What is said in words."""
    return InfoMetricFamily(f"twinhead_{name}", text, value=dict(labels))


class _Present(Collector):
    """Asks for figures of the present."""

    def __init__(self, present: Callable[[], Iterable[Metric]]) -> None:
        self._present = present

    def collect(self) -> Iterable[Metric]:
        return self._present()
