"""The blocking client."""

import time
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Self

import grpc
from twinhead.v1 import model_service_pb2
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub
from twinhead.v1.model_service_pb2_grpc import ModelServiceStub

from .channel import DEFAULT_TARGET, Access, Tls
from .errors import TwinheadError, WorkerFullError, WorkerUnavailableError, from_rpc_error
from .patience import RECONNECT_PAUSE_SECONDS, Patience
from .requests import InferOptions, build_request, request_metadata
from .results import InferResult, ModelInfo, read_model, read_result
from .stream_window import StreamWindow


class Client:
    """Calls a worker; safe to use from several threads.

    >>> with Client("localhost:50051") as client:
    ...     result = client.infer(["The match was a delight."])
    ...     result["topic"].labels, result.embeddings.shape
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        token: str = "",
        tls: Tls | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        """Connect to a worker when the first call is made.

        Args:
            target: `host:port`, or any name that gRPC resolves.
            token: for workers that ask for one.
            tls: for workers that have a certificate; None for plain text.
            timeout: seconds for a call, retries included; None waits for ever. Streams have none:
                they go on for as long as the worker's machine is there.

        Raises:
            FileError: a TLS file cannot be read, or is none.
            ValueError: a certificate without its key, or the other way round.
        """
        self.target = target
        self._timeout = timeout
        access = Access(token, tls)
        self._metadata = access.metadata
        self._channel = access.channel(target)
        # Whether a worker has answered: then it makes sense to wait for it when it is gone.
        self._reached = False
        self._inference: Any = InferenceServiceStub(self._channel)
        self._models: Any = ModelServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def model(self, *, timeout: float | None = None) -> ModelInfo:
        """Describe the live model.

        Raises:
            TwinheadError: the call failed.
        """
        request = model_service_pb2.GetModelRequest()
        try:
            response = self._models.GetModel(
                request, timeout=timeout or self._timeout, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error
        self._reached = True
        return read_model(response)

    def watch(self) -> Generator[ModelInfo]:
        """The live model at once, and again each time that another version goes live.

        Ends only by an error; close the generator to stop.

        Raises:
            TwinheadError: the stream failed, or the worker drains.
        """
        call = self._models.WatchModel(
            model_service_pb2.WatchModelRequest(), metadata=self._metadata
        )
        try:
            for response in call:
                yield read_model(response.model)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.target) from error
        finally:
            call.cancel()
        raise WorkerUnavailableError(f"{self.target} ended the stream")

    def infer(
        self,
        sentences: Sequence[str],
        options: InferOptions | None = None,
        *,
        timeout: float | None = None,
        reconnect_seconds: float = 60.0,
        request_id: str = "",
    ) -> InferResult:
        """Answer one batch of sentences.

        Args:
            sentences: at most as many as the model's limits say.
            options: what is wanted.
            timeout: seconds, retries included, if not the client's.
            reconnect_seconds: how long to go on trying when a worker that has answered before goes
                away, as when it is started anew.
            request_id: an id of your own, which is in the worker's log beside what it says of this
                call: up to 128 printable ASCII characters without spaces.

        Raises:
            TwinheadError: the call failed. A sentence that cannot be encoded is no failure: it
                has its own status in the result.
        """
        request = build_request(sentences, options or InferOptions())
        patience = Patience(timeout or self._timeout, reconnect_seconds if self._reached else 0.0)
        metadata = [*self._metadata, *request_metadata(request_id)]
        while True:
            try:
                response = self._inference.Infer(
                    request, timeout=patience.left(), metadata=metadata
                )
            except grpc.RpcError as error:
                failure = from_rpc_error(error, self.target)
                if not patience.waits_for(failure):
                    raise failure from error
                time.sleep(RECONNECT_PAUSE_SECONDS)
            else:
                self._reached = True
                return read_result(response)

    def infer_stream(
        self,
        batches: Iterable[Sequence[str]],
        options: InferOptions | None = None,
        *,
        in_flight: int = 8,
        reconnect_seconds: float = 60.0,
    ) -> Generator[InferResult | TwinheadError]:
        """Answer many batches on one stream, in their order.

        A batch that fails gives the error in place of its result, and the stream goes on. When
        the worker goes away, what is unanswered is sent again as soon as one is back.

        Args:
            batches: read as answers come, from another thread.
            options: for all of them.
            in_flight: batches sent and not yet given out; bounds memory, and keeps the worker busy.
            reconnect_seconds: how long to go on trying once the stream is lost.

        Raises:
            ValueError: `in_flight` is less than 1.
            TwinheadError: the stream failed for good.
            Exception: what `batches` raises, after the answers to the batches before it.
        """
        window = StreamWindow(batches, options or InferOptions(), in_flight, self.target)
        lost_since: float | None = None
        while True:
            call = self._inference.StreamInfer(window.requests(), metadata=self._metadata)
            try:
                for response in call:
                    self._reached = True
                    window.settle(response)
                    lost_since = None
                    yield from window.results()
                failure: TwinheadError = WorkerUnavailableError(f"{self.target} ended the stream")
            except grpc.RpcError as error:
                failure = from_rpc_error(error, self.target)
                failure.__cause__ = error
            finally:
                window.stop()
                call.cancel()
            window.look_ahead()
            if window.done:  # however the stream ended, every answer is there
                if window.failure is not None:
                    raise window.failure
                return
            now = time.monotonic()
            lost_since = now if lost_since is None else lost_since
            lasting = not isinstance(failure, (WorkerUnavailableError, WorkerFullError))
            if lasting or now - lost_since > reconnect_seconds:
                raise failure
            time.sleep(RECONNECT_PAUSE_SECONDS)
