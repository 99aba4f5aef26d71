"""The batches of a stream that are without an answer, and the order to give answers out in."""

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from twinhead.v1 import inference_service_pb2 as pb

from .errors import TwinheadError, from_status
from .requests import InferOptions, build_request
from .results import InferResult, read_result
from .transport import Mailbox

StreamResult = InferResult | TwinheadError


class StreamWindow:
    """A bounded number of unanswered batches; survives the stream that they were sent on.

    One feeds it with the caller's batches, while another settles them with answers.
    """

    def __init__(
        self,
        options: InferOptions,
        in_flight: int,
        target: str,
        mailbox: Callable[[], Mailbox[Any]],
    ) -> None:
        """Prepare for batches, at most `in_flight` of them unanswered.

        Raises:
            ValueError: `in_flight` is less than 1.
        """
        if in_flight < 1:
            raise ValueError("in_flight must be 1 or more")
        self._options = options
        self._target = target
        self._mailbox = mailbox
        # A batch counts until it is given out, answered or not: results behind a slow one must not
        # pile up.
        self._room = mailbox()
        for _ in range(in_flight):
            self._room.put(None)
        self._stopped = False
        # Held while what is without an answer and what is to be sent change together.
        self._lock = threading.Lock()
        self._unanswered: dict[int, pb.StreamInferRequest] = {}
        self._outbox = mailbox()
        self._exhausted = False
        self._results: dict[int, StreamResult] = {}
        self._next_result = 0
        self.failure: BaseException | None = None
        """What the caller's batches raised; those before it are answered all the same."""

    async def feed(self, batches: AsyncIterator[Iterable[str]]) -> None:
        """Take batches while there is room, until there are no more."""
        number = 0
        while await self._has_room():
            try:
                request = build_request(await anext(batches), self._options)
            except BaseException as error:
                if not isinstance(error, StopAsyncIteration):
                    self.failure = error
                with self._lock:
                    self._exhausted = True
                    self._outbox.put(None)
                return
            numbered = pb.StreamInferRequest(batch_id=str(number), request=request)
            with self._lock:
                self._unanswered[number] = numbered
                self._outbox.put(numbered)
            number += 1

    def stop(self) -> None:
        """Take no more batches."""
        self._stopped = True
        self._room.put(None)

    def outbox(self) -> Mailbox[pb.StreamInferRequest | None]:
        """The requests of a new stream: what is unanswered, what is fed, and None at the end."""
        with self._lock:
            self._outbox = self._mailbox()
            for request in self._unanswered.values():
                self._outbox.put(request)
            if self._exhausted:
                self._outbox.put(None)
            return self._outbox

    async def lacks_answers(self) -> bool:
        """Wait until there is a batch without an answer, or there are no more; whether there is."""
        outbox = self.outbox()
        if not self._unanswered and not self._exhausted:
            await outbox.get()
        return bool(self._unanswered)

    def settle(self, response: pb.StreamInferResponse) -> None:
        """Take an answer."""
        number = int(response.batch_id)
        with self._lock:
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
            self._next_result += 1
            self._room.put(None)
            yield result

    async def _has_room(self) -> bool:
        """Wait for room for another batch; whether it is still wanted."""
        await self._room.get()
        return not self._stopped
