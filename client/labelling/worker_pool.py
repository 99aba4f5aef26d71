"""Many requests to one or more workers: whoever is free takes the next."""

import collections
import heapq
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from twinhead.v1 import inference_service_pb2 as pb
from twinhead.v1.inference_service_pb2_grpc import InferenceServiceStub

from ..channel import Access
from ..client import Client
from ..errors import (
    InvalidRequestError,
    TwinheadError,
    VersionNotLiveError,
    WorkerFailedError,
    WorkerFullError,
    WorkerTimeoutError,
    WorkerUnavailableError,
    from_rpc_error,
    from_status,
)
from ..patience import RECONNECT_PAUSE_SECONDS
from ..requests import InferOptions, build_request
from ..results import ModelInfo
from .label_plan import LabelRequest

# What is on its way to a worker: so many seconds of its work. Enough to keep it busy, and little
# enough that one that is lost or slow holds up little.
_WINDOW_SECONDS = 2.0
_FIRST_WINDOW = 2
# Behind a name there may be many workers, and some may be new: streams find them when they begin.
# To begin anew costs a connection and a pause of one stream while the others go on.
_STREAM_SECONDS = 30.0
# When nothing else is left to send, what another stream has had for so long is sent again.
_OVERDUE_SECONDS = 5.0
# A request that a worker fails on is given to others, if there are any, before it is given up.
_TRIES = 3
# So often a worker may be lost with a request before that is taken for the reason. Those that were
# there by chance are sent again first, and answered.
_LOSSES = 5
# To say what it serves, which takes no time: else it comes later, or not.
_MODEL_SECONDS = 30.0
# The worker is away, and may be back soon.
_PASSING = (WorkerUnavailableError, WorkerFullError)


@dataclass(frozen=True)
class PoolAnswer:
    """What became of a request."""

    request: LabelRequest
    response: pb.InferResponse
    """The answer; empty when `error` is set."""
    error: TwinheadError | None = None
    """Why there is none: the workers failed on it."""


@dataclass(eq=False)
class _Sent:
    request: LabelRequest
    failures: int = 0
    losses: int = 0
    failed_on: set["_Stream"] = field(default_factory=set["_Stream"])
    stream: "_Stream | None" = None
    """The one that it was sent on last."""
    when: float = 0.0
    """When it was sent, or failed, by the monotonic clock."""


@dataclass(eq=False)
class _Stream:
    """One stream to one worker, opened anew whenever it ends."""

    target: str
    window: int
    """Requests that may be on their way."""
    unanswered: dict[str, _Sent] = field(default_factory=dict[str, _Sent])
    """By the id that they have on the wire."""
    generation: int = 0
    """How often it was opened or lost: what belongs to an earlier one is out of date."""
    failure: TwinheadError | None = None
    """Why it has no worker; None while it has one."""
    lost: float = 0.0
    """When it lost its worker, by the monotonic clock."""
    last_answer: float = 0.0
    seconds: float = 0.0
    """Between answers, smoothed."""
    channel: grpc.Channel | None = None
    """What it was opened on, and shares with others."""
    call: Any = None

    @property
    def is_lost_for_good(self) -> bool:
        """Whether it makes no sense to try again."""
        return self.failure is not None and not isinstance(self.failure, _PASSING)


class WorkerPool:
    """Streams to all workers, fed from one line of requests.

    A worker that goes away gives back what it has not answered, and is tried again and again. Used
    by one thread; each stream has its own.
    """

    def __init__(
        self,
        targets: Sequence[str],
        access: Access,
        *,
        streams: int = 1,
        in_flight: int = 16,
        reconnect_seconds: float = 60.0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare; connects with `model` and `start`.

        Args:
            targets: addresses of workers.
            access: what lets the caller in.
            streams: to each of the addresses.
            in_flight: requests at most on their way on each stream.
            reconnect_seconds: how long to go on when no worker is left.
            tell: called with a line for the user when a worker is lost or found.
        """
        self._targets = tuple(dict.fromkeys(targets))
        self._access = access
        self._in_flight = in_flight
        self._reconnect_seconds = reconnect_seconds
        self._tell = tell
        self._options = InferOptions()
        # Guards all that follows, and what the streams hold.
        self._changed = threading.Condition()
        # For each target, those that its streams share, so that they take turns among the workers
        # behind a name; and when they were made.
        self._channels: dict[str, list[tuple[float, grpc.Channel]]] = {
            target: [] for target in self._targets
        }
        # By number, so that what is given back goes first: the output waits for it.
        self._line: list[tuple[int, _Sent]] = []
        self._unanswered: dict[int, _Sent] = {}
        self._answers: collections.deque[PoolAnswer] = collections.deque()
        self._failure: BaseException | None = None
        self._closed = False
        window = min(_FIRST_WINDOW, in_flight)
        self._streams = [_Stream(each, window) for each in self._targets for _ in range(streams)]
        self._threads = [
            threading.Thread(target=self._serve, args=(each,), name="label-stream", daemon=True)
            for each in self._streams
        ]

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def model(self) -> ModelInfo:
        """The model that all workers serve; those that do not answer now may come later.

        Raises:
            TwinheadError: no worker answers, or they serve different versions.
        """
        found: dict[str, ModelInfo] = {}
        failures: list[TwinheadError] = []

        def ask(target: str) -> None:
            try:
                with Client(target, token=self._access.token, tls=self._access.tls) as client:
                    found[target] = client.model(timeout=_MODEL_SECONDS)
            except TwinheadError as error:
                failures.append(error)

        # All at once: one that hangs holds the others up no longer than it must.
        threads = [
            threading.Thread(target=ask, args=(target,), name="label-model", daemon=True)
            for target in self._targets
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for failure in failures:
            if not isinstance(failure, (WorkerTimeoutError, *_PASSING)):
                raise failure
        if not found:
            raise failures[0]
        for failure in failures:
            self._tell(f"{failure}; going on without it until it comes")
        if len({model.version for model in found.values()}) > 1:
            served = ", ".join(f"{target}: {found[target].version}" for target in sorted(found))
            raise VersionNotLiveError(
                f"the workers serve different versions ({served}); push the same one to all"
            )
        return next(iter(found.values()))

    def start(self, options: InferOptions) -> None:
        """Begin to answer requests, all with the same options."""
        self._options = options
        for stream in self._streams:
            self._channel(stream)  # so that a TLS file that is no good is told here
        for thread in self._threads:
            thread.start()

    def put(self, request: LabelRequest) -> None:
        """Let a request be sent."""
        sent = _Sent(request)
        with self._changed:
            self._unanswered[request.number] = sent
            self._enqueue(sent)
            self._changed.notify_all()

    @property
    def window(self) -> int:
        """Requests that may be on their way, on all streams."""
        with self._changed:
            return sum(stream.window for stream in self._streams)

    @property
    def hungry(self) -> bool:
        """Whether the streams could soon do with more requests."""
        return len(self._line) < self.window

    @property
    def unanswered(self) -> int:
        """Requests whose answers are still to be taken."""
        with self._changed:
            return len(self._unanswered) + len(self._answers)

    def take(self) -> PoolAnswer:
        """Wait for the next answer; they come in any order.

        Raises:
            TwinheadError: no worker can go on.
        """
        with self._changed:
            while not self._answers:
                self._check_patience()
                self._changed.wait(0.5)
            return self._answers.popleft()

    def close(self) -> None:
        """End all streams."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            calls = [stream.call for stream in self._streams if stream.call is not None]
        for call in calls:
            call.cancel()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        for channels in self._channels.values():
            for _, channel in channels:
                channel.close()

    def _check_patience(self) -> None:
        """Give up when there is no worker, and has not been for too long."""
        now = time.monotonic()
        if self._failure is None and all(
            stream.is_lost_for_good
            or (stream.failure is not None and now - stream.lost > self._reconnect_seconds)
            for stream in self._streams
        ):
            # What is for good tells more.
            stream = max(self._streams, key=lambda stream: stream.is_lost_for_good)
            self._failure = stream.failure
        if self._failure is not None:
            raise self._failure

    def _give(self, sent: _Sent, response: pb.InferResponse, error: TwinheadError | None) -> None:
        del self._unanswered[sent.request.number]
        self._answers.append(PoolAnswer(sent.request, response, error))

    def _enqueue(self, sent: _Sent) -> None:
        if all(sent is not waiting for _, waiting in self._line):
            heapq.heappush(self._line, (sent.request.number, sent))

    # What follows runs in the threads of the streams.

    def _serve(self, stream: _Stream) -> None:
        """Keep a stream open."""
        try:
            while not self._closed and not stream.is_lost_for_good:
                method = InferenceServiceStub(self._channel(stream)).StreamInfer
                failure = self._read(stream, method)
                if failure is not None and not self._closed:
                    self._note_lost(stream, failure)
        except BaseException as error:  # a defect: it is for the caller to see
            self._stop(error)

    def _channel(self, stream: _Stream) -> grpc.Channel:
        """The channel that new streams to a target share; a new one looks its name up again."""
        with self._changed:
            channels = self._channels[stream.target]
            now = time.monotonic()
            if not self._closed and (not channels or now - channels[-1][0] > _STREAM_SECONDS):
                channels.append((now, self._access.channel(stream.target, spread=True)))
            stream.channel = channels[-1][1]
            used = {each.channel for each in self._streams}  # also by one that hangs for long
            for entry in channels[:-1]:
                if entry[1] not in used:
                    channels.remove(entry)
                    entry[1].close()
            return stream.channel

    def _read(self, stream: _Stream, method: Any) -> TwinheadError | None:
        """Open a stream and read it to its end; returns why it was lost, if it was."""
        with self._changed:
            if self._closed:
                return None
            stream.generation += 1
            stream.last_answer = time.monotonic()
            requests = self._requests(stream, stream.generation)
            stream.call = method(requests, metadata=self._access.metadata)
        try:
            for response in stream.call:
                self._settle(stream, response)
            if not stream.unanswered:
                return None
            return WorkerUnavailableError(f"{stream.target} ended the stream")
        except grpc.RpcError as error:
            return from_rpc_error(error, stream.target)
        except TwinheadError as error:
            return error
        finally:
            stream.call.cancel()
            with self._changed:
                stream.generation += 1
                for sent in stream.unanswered.values():
                    # Of a worker that answered others before it was lost with this one.
                    sent.losses += stream.failure is None
                    if sent.request.number not in self._unanswered:
                        continue
                    if sent.losses < _LOSSES:
                        self._enqueue(sent)
                    else:
                        error = WorkerFailedError(f"workers were lost with it {_LOSSES} times")
                        self._give(sent, pb.InferResponse(), error)
                stream.unanswered.clear()
                self._changed.notify_all()

    def _requests(self, stream: _Stream, generation: int) -> Iterator[pb.StreamInferRequest]:
        """What is sent on a stream, until it is lost or old."""
        end = time.monotonic() + _STREAM_SECONDS
        while (sent := self._next(stream, generation, end)) is not None:
            yield pb.StreamInferRequest(
                batch_id=str(sent.request.number),
                request=build_request(sent.request.texts, self._options),
            )

    def _next(self, stream: _Stream, generation: int, end: float) -> _Sent | None:
        with self._changed:
            while not self._closed and stream.generation == generation and time.monotonic() < end:
                if len(stream.unanswered) < stream.window:
                    sent = self._pop(stream) or self._overdue(stream)
                    if sent is not None:
                        sent.stream, sent.when = stream, time.monotonic()
                        stream.unanswered[str(sent.request.number)] = sent
                        return sent
                self._changed.wait(1.0)
            return None

    def _pop(self, stream: _Stream) -> _Sent | None:
        """What is first in the line for a stream."""
        left: list[tuple[int, _Sent]] = []
        found = None
        while self._line and found is None:
            number, sent = heapq.heappop(self._line)
            if number not in self._unanswered:  # it was answered elsewhere
                continue
            if self._is_for_others(sent, stream):
                left.append((number, sent))
            else:
                found = sent
        for entry in left:
            heapq.heappush(self._line, entry)
        return found

    def _is_for_others(self, sent: _Sent, stream: _Stream) -> bool:
        """Whether a stream leaves what has failed on it to another; not for long, if that hangs."""
        return (
            stream in sent.failed_on
            and time.monotonic() - sent.when < _OVERDUE_SECONDS
            and any(
                other.failure is None and other not in sent.failed_on for other in self._streams
            )
        )

    def _overdue(self, stream: _Stream) -> _Sent | None:
        """What another stream has had for too long; the first answer counts."""
        patience = max(_OVERDUE_SECONDS, 3 * _WINDOW_SECONDS, 3 * stream.seconds)
        overdue = time.monotonic() - patience
        return next(
            (
                sent
                for sent in self._unanswered.values()
                if sent.stream is not stream
                and sent.when < overdue
                and str(sent.request.number) not in stream.unanswered
            ),
            None,
        )

    def _settle(self, stream: _Stream, response: pb.StreamInferResponse) -> None:
        """Take an answer.

        Raises:
            TwinheadError: the worker can answer none.
        """
        error = None
        if response.WhichOneof("result") == "error":
            error = from_status(response.error, stream.target)
            if isinstance(error, InvalidRequestError):
                self._stop(error)  # it would be the same for every request
            if isinstance(error, (InvalidRequestError, VersionNotLiveError, *_PASSING)):
                raise error
        with self._changed:
            sent = stream.unanswered.pop(response.batch_id, None)
            self._widen(stream)
            if stream.failure is not None:
                self._tell(f"{stream.target} is back")
                stream.failure = None
            if sent is not None and sent.request.number in self._unanswered:
                if error is None:
                    error = _wrong_answer(sent.request, response.response, stream.target)
                sent.failures += error is not None
                if error is not None and sent.failures < min(_TRIES, len(self._streams)):
                    sent.failed_on.add(stream)
                    sent.when = time.monotonic()
                    self._enqueue(sent)
                else:
                    self._give(sent, response.response, error)
            self._changed.notify_all()

    def _widen(self, stream: _Stream) -> None:
        """Fit the window of a stream to its worker's pace."""
        now = time.monotonic()
        seconds, stream.last_answer = now - stream.last_answer, now
        stream.seconds = 0.8 * stream.seconds + 0.2 * seconds if stream.seconds else seconds
        wanted = math.ceil(_WINDOW_SECONDS / max(stream.seconds, 1e-6))
        # One more with each answer: a pace that was seen for a moment says little.
        most = min(stream.window + 1, self._in_flight)
        stream.window = min(max(wanted, _FIRST_WINDOW), most)

    def _note_lost(self, stream: _Stream, failure: TwinheadError) -> None:
        with self._changed:
            if stream.failure is None:
                stream.lost = time.monotonic()
                if any(each.failure is None for each in self._streams if each is not stream):
                    self._tell(f"{failure}; others go on")
                elif isinstance(failure, _PASSING):  # else it ends the run, which is told
                    self._tell(f"{failure}; trying again")
            stream.failure = failure
            self._changed.notify_all()
            if not stream.is_lost_for_good:
                self._changed.wait_for(lambda: self._closed, RECONNECT_PAUSE_SECONDS)

    def _stop(self, error: BaseException) -> None:
        with self._changed:
            if self._failure is None:
                self._failure = error
            self._changed.notify_all()


def _wrong_answer(
    request: LabelRequest, response: pb.InferResponse, target: str
) -> TwinheadError | None:
    """What is wrong with an answer that is not to these sentences."""
    sentences, answers = len(request.texts), len(response.statuses)
    if sentences == answers:
        return None
    return WorkerFailedError(f"{target} sent {answers} answers to {sentences} sentences")
