"""The batches of a stream that are without an answer, and the order to give answers out in."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from twinhead.v1 import inference_service_pb2 as pb

from .errors import TwinheadError, from_status
from .requests import InferOptions, build_request
from .results import InferResult, read_result

StreamResult = InferResult | TwinheadError


class StreamWindow:
    """A bounded number of unanswered batches; survives the stream that they were sent on.

    Requests are pulled by the thread that writes the stream; answers are settled by the one that
    reads it.
    """

    def __init__(
        self,
        batches: Iterable[Sequence[str]],
        options: InferOptions,
        in_flight: int,
        target: str,
    ) -> None:
        """Prepare to send `batches`, at most `in_flight` of them unanswered.

        Raises:
            ValueError: `in_flight` is less than 1.
        """
        if in_flight < 1:
            raise ValueError("in_flight must be 1 or more")
        self._batches = iter(batches)
        self._options = options
        self._in_flight = in_flight
        self._target = target
        self._changed = threading.Condition()
        # Held while the caller's iterator runs, which may take long and only one thread may do.
        self._pulling = threading.Lock()
        self._unanswered: dict[int, pb.StreamInferRequest] = {}
        self._to_send: deque[int] = deque()
        self._results: dict[int, StreamResult] = {}
        self._next_id = 0
        self._next_result = 0
        self._exhausted = False
        self._generation = 0
        self._failure: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether every batch is answered and given out."""
        with self._changed:
            return self._exhausted and not self._unanswered and not self._results

    @property
    def failure(self) -> BaseException | None:
        """What the caller's iterator raised; the batches before it are answered all the same."""
        return self._failure

    def requests(self) -> Iterator[pb.StreamInferRequest]:
        """Start a new stream: what is unanswered first, then what the caller's iterator gives."""
        with self._changed:
            self._generation += 1
            self._to_send = deque(self._unanswered)
            generation = self._generation
        return self._requests(generation)

    def stop(self) -> None:
        """End the requests of the current stream."""
        with self._changed:
            self._generation += 1
            self._changed.notify_all()

    def look_ahead(self) -> None:
        """When all is answered, look for another batch; else `done` cannot be known."""
        with self._changed:
            needless = bool(self._unanswered) or self._exhausted
        if not needless:
            self._pull()

    def settle(self, response: pb.StreamInferResponse) -> None:
        """Take an answer."""
        with self._changed:
            number = int(response.batch_id)
            if self._unanswered.pop(number, None) is None:
                return  # answered before, on a stream that broke afterwards
        if response.WhichOneof("result") == "error":
            self._results[number] = from_status(response.error, self._target)
        else:
            self._results[number] = read_result(response.response)

    def results(self) -> Iterator[StreamResult]:
        """Give out answers in the order of the batches, as far as they are there."""
        while self._next_result in self._results:
            result = self._results.pop(self._next_result)
            with self._changed:
                self._next_result += 1
                self._changed.notify_all()
            yield result

    def _requests(self, generation: int) -> Iterator[pb.StreamInferRequest]:
        while True:
            with self._changed:
                # The window counts batches that are not given out yet, answered or not: results
                # behind a slow one must not pile up.
                while (
                    generation == self._generation
                    and not self._to_send
                    and not self._exhausted
                    and self._next_id - self._next_result >= self._in_flight
                ):
                    self._changed.wait()
                if generation != self._generation:
                    return
                if self._to_send:
                    request = self._unanswered.get(self._to_send.popleft())
                elif self._exhausted:
                    return
                else:
                    request = None
            if request is not None:
                yield request
            else:
                self._pull()

    def _pull(self) -> None:
        with self._pulling:
            if self._exhausted or self._next_id - self._next_result >= self._in_flight:
                return
            try:
                request = build_request(next(self._batches), self._options)
            except BaseException as error:
                with self._changed:
                    self._exhausted = True
                    if not isinstance(error, StopIteration):
                        self._failure = error
                return
            with self._changed:
                number = self._next_id
                self._next_id += 1
                self._unanswered[number] = pb.StreamInferRequest(
                    batch_id=str(number), request=request
                )
                self._to_send.append(number)
