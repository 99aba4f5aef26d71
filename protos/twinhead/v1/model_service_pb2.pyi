from twinhead.v1 import task_kind_pb2 as _task_kind_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchModelResponse(_message.Message):
    __slots__ = ("model", "previous_version")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    model: GetModelResponse
    previous_version: str
    def __init__(self, model: _Optional[_Union[GetModelResponse, _Mapping]] = ..., previous_version: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model_version", "encoder", "tasks", "embedding_dimensions", "normalize", "limits", "engine", "precision", "device", "worker_release")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    NORMALIZE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    WORKER_RELEASE_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    encoder: str
    tasks: _containers.RepeatedCompositeFieldContainer[TaskInfo]
    embedding_dimensions: int
    normalize: bool
    limits: ModelLimits
    engine: str
    precision: str
    device: str
    worker_release: str
    def __init__(self, model_version: _Optional[str] = ..., encoder: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[TaskInfo, _Mapping]]] = ..., embedding_dimensions: _Optional[int] = ..., normalize: _Optional[bool] = ..., limits: _Optional[_Union[ModelLimits, _Mapping]] = ..., engine: _Optional[str] = ..., precision: _Optional[str] = ..., device: _Optional[str] = ..., worker_release: _Optional[str] = ...) -> None: ...

class TaskInfo(_message.Message):
    __slots__ = ("name", "kind", "labels", "thresholds", "temperature")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: _task_kind_pb2.TaskKind
    labels: _containers.RepeatedScalarFieldContainer[str]
    thresholds: _containers.RepeatedScalarFieldContainer[float]
    temperature: float
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[_task_kind_pb2.TaskKind, str]] = ..., labels: _Optional[_Iterable[str]] = ..., thresholds: _Optional[_Iterable[float]] = ..., temperature: _Optional[float] = ...) -> None: ...

class ModelLimits(_message.Message):
    __slots__ = ("sentences_per_request", "request_bytes", "tokens_per_sentence", "characters_per_sentence")
    SENTENCES_PER_REQUEST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_SENTENCE_FIELD_NUMBER: _ClassVar[int]
    CHARACTERS_PER_SENTENCE_FIELD_NUMBER: _ClassVar[int]
    sentences_per_request: int
    request_bytes: int
    tokens_per_sentence: int
    characters_per_sentence: int
    def __init__(self, sentences_per_request: _Optional[int] = ..., request_bytes: _Optional[int] = ..., tokens_per_sentence: _Optional[int] = ..., characters_per_sentence: _Optional[int] = ...) -> None: ...
