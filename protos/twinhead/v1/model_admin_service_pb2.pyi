import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class VersionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERSION_STATE_UNSPECIFIED: _ClassVar[VersionState]
    VERSION_STATE_LIVE: _ClassVar[VersionState]
    VERSION_STATE_PREVIOUS: _ClassVar[VersionState]
    VERSION_STATE_KEPT: _ClassVar[VersionState]
VERSION_STATE_UNSPECIFIED: VersionState
VERSION_STATE_LIVE: VersionState
VERSION_STATE_PREVIOUS: VersionState
VERSION_STATE_KEPT: VersionState

class PushWeightsRequest(_message.Message):
    __slots__ = ("offer", "chunk", "go_live")
    OFFER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    GO_LIVE_FIELD_NUMBER: _ClassVar[int]
    offer: VersionOffer
    chunk: BlobChunk
    go_live: GoLive
    def __init__(self, offer: _Optional[_Union[VersionOffer, _Mapping]] = ..., chunk: _Optional[_Union[BlobChunk, _Mapping]] = ..., go_live: _Optional[_Union[GoLive, _Mapping]] = ...) -> None: ...

class VersionOffer(_message.Message):
    __slots__ = ("files", "expected_live_version", "allow_new_tasks", "drift_limits")
    class FilesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    FILES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LIVE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ALLOW_NEW_TASKS_FIELD_NUMBER: _ClassVar[int]
    DRIFT_LIMITS_FIELD_NUMBER: _ClassVar[int]
    files: _containers.ScalarMap[str, bytes]
    expected_live_version: str
    allow_new_tasks: bool
    drift_limits: DriftLimits
    def __init__(self, files: _Optional[_Mapping[str, bytes]] = ..., expected_live_version: _Optional[str] = ..., allow_new_tasks: _Optional[bool] = ..., drift_limits: _Optional[_Union[DriftLimits, _Mapping]] = ...) -> None: ...

class DriftLimits(_message.Message):
    __slots__ = ("min_cosine", "min_agreement", "sentences")
    MIN_COSINE_FIELD_NUMBER: _ClassVar[int]
    MIN_AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    min_cosine: float
    min_agreement: float
    sentences: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, min_cosine: _Optional[float] = ..., min_agreement: _Optional[float] = ..., sentences: _Optional[_Iterable[str]] = ...) -> None: ...

class BlobChunk(_message.Message):
    __slots__ = ("sha256", "data", "last")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    data: bytes
    last: bool
    def __init__(self, sha256: _Optional[str] = ..., data: _Optional[bytes] = ..., last: _Optional[bool] = ...) -> None: ...

class GoLive(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PushWeightsResponse(_message.Message):
    __slots__ = ("wanted", "received", "staged", "live")
    WANTED_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    STAGED_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    wanted: BlobsWanted
    received: BlobsReceived
    staged: VersionStaged
    live: VersionLive
    def __init__(self, wanted: _Optional[_Union[BlobsWanted, _Mapping]] = ..., received: _Optional[_Union[BlobsReceived, _Mapping]] = ..., staged: _Optional[_Union[VersionStaged, _Mapping]] = ..., live: _Optional[_Union[VersionLive, _Mapping]] = ...) -> None: ...

class BlobsWanted(_message.Message):
    __slots__ = ("model_version", "sha256", "live_version")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    LIVE_VERSION_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    sha256: _containers.RepeatedScalarFieldContainer[str]
    live_version: str
    def __init__(self, model_version: _Optional[str] = ..., sha256: _Optional[_Iterable[str]] = ..., live_version: _Optional[str] = ...) -> None: ...

class BlobsReceived(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class VersionStaged(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: GateReport
    def __init__(self, report: _Optional[_Union[GateReport, _Mapping]] = ...) -> None: ...

class GateReport(_message.Message):
    __slots__ = ("probes", "deviation", "min_cosine", "agreement")
    class AgreementEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PROBES_FIELD_NUMBER: _ClassVar[int]
    DEVIATION_FIELD_NUMBER: _ClassVar[int]
    MIN_COSINE_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    probes: int
    deviation: float
    min_cosine: float
    agreement: _containers.ScalarMap[str, float]
    def __init__(self, probes: _Optional[int] = ..., deviation: _Optional[float] = ..., min_cosine: _Optional[float] = ..., agreement: _Optional[_Mapping[str, float]] = ...) -> None: ...

class VersionLive(_message.Message):
    __slots__ = ("previous_version", "lasting")
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    LASTING_FIELD_NUMBER: _ClassVar[int]
    previous_version: str
    lasting: bool
    def __init__(self, previous_version: _Optional[str] = ..., lasting: _Optional[bool] = ...) -> None: ...

class ListVersionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListVersionsResponse(_message.Message):
    __slots__ = ("versions", "lasting", "started", "worker_release", "engine")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    LASTING_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    WORKER_RELEASE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[VersionInfo]
    lasting: bool
    started: _timestamp_pb2.Timestamp
    worker_release: str
    engine: str
    def __init__(self, versions: _Optional[_Iterable[_Union[VersionInfo, _Mapping]]] = ..., lasting: _Optional[bool] = ..., started: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., worker_release: _Optional[str] = ..., engine: _Optional[str] = ...) -> None: ...

class VersionInfo(_message.Message):
    __slots__ = ("model_version", "state", "received", "tasks", "bytes", "provenance_json")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_JSON_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    state: VersionState
    received: _timestamp_pb2.Timestamp
    tasks: _containers.RepeatedScalarFieldContainer[str]
    bytes: int
    provenance_json: str
    def __init__(self, model_version: _Optional[str] = ..., state: _Optional[_Union[VersionState, str]] = ..., received: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tasks: _Optional[_Iterable[str]] = ..., bytes: _Optional[int] = ..., provenance_json: _Optional[str] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("model_version", "ready", "started", "worker_release", "engine", "resident_bytes", "calls", "queue_tokens", "queue_limit_tokens", "sentences", "tokens", "padded_tokens", "passes", "swaps", "failures", "latencies")
    class FailuresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class LatenciesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Latencies
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Latencies, _Mapping]] = ...) -> None: ...
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    WORKER_RELEASE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_LIMIT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PADDED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    SWAPS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    LATENCIES_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    ready: bool
    started: _timestamp_pb2.Timestamp
    worker_release: str
    engine: str
    resident_bytes: int
    calls: int
    queue_tokens: int
    queue_limit_tokens: int
    sentences: int
    tokens: int
    padded_tokens: int
    passes: int
    swaps: int
    failures: _containers.ScalarMap[str, int]
    latencies: _containers.MessageMap[str, Latencies]
    def __init__(self, model_version: _Optional[str] = ..., ready: _Optional[bool] = ..., started: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., worker_release: _Optional[str] = ..., engine: _Optional[str] = ..., resident_bytes: _Optional[int] = ..., calls: _Optional[int] = ..., queue_tokens: _Optional[int] = ..., queue_limit_tokens: _Optional[int] = ..., sentences: _Optional[int] = ..., tokens: _Optional[int] = ..., padded_tokens: _Optional[int] = ..., passes: _Optional[int] = ..., swaps: _Optional[int] = ..., failures: _Optional[_Mapping[str, int]] = ..., latencies: _Optional[_Mapping[str, Latencies]] = ...) -> None: ...

class Latencies(_message.Message):
    __slots__ = ("at_most_seconds", "batches")
    AT_MOST_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    at_most_seconds: _containers.RepeatedScalarFieldContainer[float]
    batches: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, at_most_seconds: _Optional[_Iterable[float]] = ..., batches: _Optional[_Iterable[int]] = ...) -> None: ...

class ActivateVersionRequest(_message.Message):
    __slots__ = ("model_version", "expected_live_version")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_LIVE_VERSION_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    expected_live_version: str
    def __init__(self, model_version: _Optional[str] = ..., expected_live_version: _Optional[str] = ...) -> None: ...

class ActivateVersionResponse(_message.Message):
    __slots__ = ("model_version", "previous_version")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    previous_version: str
    def __init__(self, model_version: _Optional[str] = ..., previous_version: _Optional[str] = ...) -> None: ...
