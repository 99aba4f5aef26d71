"""Traces of calls, in OpenTelemetry's terms: the call, and what its batches waited for.

The gRPC instrumentation of OpenTelemetry wants answers of a stream to be yielded, and ours are
written; so the call's own span is made here, by the same conventions.
"""

import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

if TYPE_CHECKING:
    from .job import Job

# Codes that are no fault of the worker's: of the status table, what a caller did.
_CALLERS_FAULT = {
    "OK",
    "CANCELLED",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "FAILED_PRECONDITION",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "ABORTED",
}


class Traces:
    """Sends spans to where the variables of OpenTelemetry say (OTEL_EXPORTER_OTLP_ENDPOINT, ...).

    Sending is done by a thread and never waited for; what cannot be sent is dropped.
    """

    def __init__(self) -> None:
        own = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "twinhead"}
        self._provider = TracerProvider(resource=Resource.create(own))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("twinhead")

    @contextmanager
    def call(
        self, method: str, metadata: Mapping[str, str | bytes], request_id: str
    ) -> Generator[Callable[[str], None]]:
        """The span of a call, under the span that its caller names; gives who is told its code."""
        texts = {key: value for key, value in metadata.items() if isinstance(value, str)}
        service, _, name = method.lstrip("/").partition("/")
        with self._tracer.start_as_current_span(
            f"{service}/{name}",
            extract(texts),
            kind=SpanKind.SERVER,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": name,
                "twinhead.request_id": request_id,
            },
            record_exception=False,
            set_status_on_exception=False,
        ) as span:

            def ended(code: str) -> None:
                span.set_attribute("rpc.grpc.status_code", grpc.StatusCode[code].value[0])
                if code not in _CALLERS_FAULT:
                    span.set_status(Status(StatusCode.ERROR, code))

            yield ended

    def answered(self, job: "Job") -> None:
        """Spans of a batch that is answered, under the call's: tokenize, queue, encode."""
        now = time.time_ns()
        queued = now - _nanoseconds(time.monotonic() - job.queued)
        encoding = queued + _nanoseconds(job.queue_seconds)
        about = {
            "twinhead.model_version": job.model.version,
            "twinhead.sentences": len(job.sentences),
            "twinhead.tokens": job.tokens,
            "twinhead.service_class": job.plan.service_class.value,
        }
        for name, start, end in (
            ("tokenize", queued - _nanoseconds(job.tokenize_seconds), queued),
            ("queue", queued, encoding),
            ("encode", encoding, now),
        ):
            span = self._tracer.start_span(name, start_time=start, attributes=about)
            if name == "encode":
                span.set_attribute("twinhead.pass_seconds", job.encode_seconds)
            span.end(end)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
