"""The blocking client."""

from collections.abc import AsyncIterable, Generator, Iterable
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from .blocking_transport import BlockingTransport, iterate, run
from .calls import Calls
from .channel import DEFAULT_TARGET, Access, Tls
from .embedding_rows import Unanswered
from .errors import TwinheadError
from .requests import InferOptions
from .results import InferResult, ModelInfo

T = TypeVar("T")


class Client:
    """Calls a worker; safe to use from several threads.

    >>> with Client("localhost:50051") as client:
    ...     result = client.infer(["The match was a delight."])
    ...     result["topic"].labels, result.embeddings.shape

    Sentences may be a list, a tuple, a numpy array, a pandas Series, an Arrow array, or anything
    else with one dimension that gives strings. All calls but `infer_stream` raise what goes wrong
    at the worker as a `TwinheadError`, whose subclasses say what it is.
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
        access = Access(token, tls)
        self._transport = BlockingTransport(target, access)
        self._calls = Calls(target, self._transport, access.metadata, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def model(self, *, timeout: float | None = None, reconnect_seconds: float = 60.0) -> ModelInfo:
        """Describe the live model.

        Args:
            timeout: see `infer`.
            reconnect_seconds: see `infer`.

        Raises:
            TwinheadError: the call failed.
        """
        return run(self._calls.model(timeout=timeout, reconnect_seconds=reconnect_seconds))

    def watch(self) -> Generator[ModelInfo]:
        """The live model at once, and again each time that another version goes live.

        Ends only by an error; close the generator to stop.

        Raises:
            TwinheadError: the stream failed, or the worker drains.
        """
        return iterate(self._calls.watch())

    def infer(
        self,
        sentences: Iterable[str],
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
            TypeError: a sentence is no string; the error names its row.
            ValueError: an option that there is not.
        """
        return run(
            self._calls.infer(
                sentences,
                options,
                timeout=timeout,
                reconnect_seconds=reconnect_seconds,
                request_id=request_id,
            )
        )

    def infer_stream(
        self,
        batches: Iterable[Iterable[str]],
        options: InferOptions | None = None,
        *,
        in_flight: int = 8,
        reconnect_seconds: float = 60.0,
    ) -> Generator[InferResult | TwinheadError]:
        """Answer many batches on one stream, in their order.

        A batch that fails gives the error in place of its result, and the stream goes on. When
        the worker goes away, what is unanswered is sent again as soon as one is back.

        Args:
            batches: read as answers come, in another thread.
            options: for all of them.
            in_flight: batches sent and not yet given out; bounds memory, and keeps the worker busy.
            reconnect_seconds: how long to go on trying once the stream is lost.

        Raises:
            ValueError: `in_flight` is less than 1.
            TwinheadError: the stream failed for good.
            Exception: what `batches` raises, after the answers to the batches before it.
        """
        return iterate(
            self._calls.infer_stream(
                _plain(batches), options, in_flight=in_flight, reconnect_seconds=reconnect_seconds
            )
        )

    def infer_many(
        self,
        sentences: Iterable[str],
        options: InferOptions | None = None,
        *,
        batch_size: int = 64,
        in_flight: int = 8,
        reconnect_seconds: float = 60.0,
    ) -> Generator[InferResult]:
        """Answer any number of sentences, which may never end, in their order.

        Args:
            sentences: read as answers come, in another thread: at most `batch_size * in_flight`
                of them before their answers are given out.
            options: for all of them.
            batch_size: sentences of each result but the last, which may have fewer. A source that
                gives a sentence now and then is better off with 1: a batch is sent when it is full.
            in_flight: batches sent and not yet given out.
            reconnect_seconds: how long to go on trying when the worker goes away.

        Raises:
            ValueError: `batch_size` or `in_flight` is less than 1.
            TwinheadError: a batch, or the stream, failed for good.
            TypeError: a sentence is no string; the error names its row.
            Exception: what `sentences` raises, after the answers to the batches before it.
        """
        return iterate(
            self._calls.infer_many(
                _plain(sentences),
                options,
                batch_size=batch_size,
                in_flight=in_flight,
                reconnect_seconds=reconnect_seconds,
            )
        )

    def embed(
        self,
        sentences: Iterable[str],
        *,
        normalize: bool | None = None,
        dimensions: int | None = None,
        truncate: bool = True,
        unanswered: Unanswered = "error",
        model_version: str | None = None,
        batch_size: int = 64,
    ) -> NDArray[np.float32]:
        """The embeddings of any number of sentences, [sentences, dimensions].

        All of them are of one version of the model, also when another goes live meanwhile.

        Args:
            sentences: none of them give an array of shape [0, dimensions].
            normalize: scale embeddings to unit length; None for the model's default.
            dimensions: keep so many of the embeddings; None for all.
            truncate: cut over-long sentences; otherwise they have no answer.
            unanswered: what becomes of sentences without an answer, such as empty ones: `error`
                raises, `zeros` gives rows of zeros.
            model_version: the version that must answer; None for the live one.
            batch_size: more sentences than these go in batches on a stream, which has no timeout.

        Raises:
            UnansweredSentencesError: sentences have no answer; the error names their rows, as far
                as they are known by then, and why.
            TwinheadError: a call failed.
            TypeError: a sentence is no string; the error names its row.
        """
        return run(
            self._calls.embed(
                sentences,
                normalize=normalize,
                dimensions=dimensions,
                truncate=truncate,
                unanswered=unanswered,
                model_version=model_version,
                batch_size=batch_size,
            )
        )


def _plain(items: Iterable[T]) -> Iterable[T]:
    if isinstance(items, AsyncIterable):
        raise TypeError("an asynchronous iterable is for AsyncClient; Client takes a plain one")
    return items
