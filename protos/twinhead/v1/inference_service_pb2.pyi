import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from twinhead.v1 import task_kind_pb2 as _task_kind_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServiceClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SERVICE_CLASS_UNSPECIFIED: _ClassVar[ServiceClass]
    SERVICE_CLASS_INTERACTIVE: _ClassVar[ServiceClass]
    SERVICE_CLASS_BULK: _ClassVar[ServiceClass]

class EmbeddingFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EMBEDDING_FORMAT_UNSPECIFIED: _ClassVar[EmbeddingFormat]
    EMBEDDING_FORMAT_NONE: _ClassVar[EmbeddingFormat]
    EMBEDDING_FORMAT_FLOAT32: _ClassVar[EmbeddingFormat]
    EMBEDDING_FORMAT_FLOAT16: _ClassVar[EmbeddingFormat]
    EMBEDDING_FORMAT_INT8: _ClassVar[EmbeddingFormat]
    EMBEDDING_FORMAT_BINARY: _ClassVar[EmbeddingFormat]

class Truncation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRUNCATION_UNSPECIFIED: _ClassVar[Truncation]
    TRUNCATION_END: _ClassVar[Truncation]
    TRUNCATION_NONE: _ClassVar[Truncation]

class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_TYPE_UNSPECIFIED: _ClassVar[DataType]
    DATA_TYPE_FLOAT32: _ClassVar[DataType]
    DATA_TYPE_FLOAT16: _ClassVar[DataType]
    DATA_TYPE_INT8: _ClassVar[DataType]
    DATA_TYPE_BIT: _ClassVar[DataType]

class SentenceCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SENTENCE_CODE_UNSPECIFIED: _ClassVar[SentenceCode]
    SENTENCE_CODE_OK: _ClassVar[SentenceCode]
    SENTENCE_CODE_EMPTY: _ClassVar[SentenceCode]
    SENTENCE_CODE_TOO_LONG: _ClassVar[SentenceCode]
    SENTENCE_CODE_INVALID: _ClassVar[SentenceCode]
SERVICE_CLASS_UNSPECIFIED: ServiceClass
SERVICE_CLASS_INTERACTIVE: ServiceClass
SERVICE_CLASS_BULK: ServiceClass
EMBEDDING_FORMAT_UNSPECIFIED: EmbeddingFormat
EMBEDDING_FORMAT_NONE: EmbeddingFormat
EMBEDDING_FORMAT_FLOAT32: EmbeddingFormat
EMBEDDING_FORMAT_FLOAT16: EmbeddingFormat
EMBEDDING_FORMAT_INT8: EmbeddingFormat
EMBEDDING_FORMAT_BINARY: EmbeddingFormat
TRUNCATION_UNSPECIFIED: Truncation
TRUNCATION_END: Truncation
TRUNCATION_NONE: Truncation
DATA_TYPE_UNSPECIFIED: DataType
DATA_TYPE_FLOAT32: DataType
DATA_TYPE_FLOAT16: DataType
DATA_TYPE_INT8: DataType
DATA_TYPE_BIT: DataType
SENTENCE_CODE_UNSPECIFIED: SentenceCode
SENTENCE_CODE_OK: SentenceCode
SENTENCE_CODE_EMPTY: SentenceCode
SENTENCE_CODE_TOO_LONG: SentenceCode
SENTENCE_CODE_INVALID: SentenceCode

class InferRequest(_message.Message):
    __slots__ = ("sentences", "outputs", "truncation", "model_version", "service_class", "repeatable")
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_CLASS_FIELD_NUMBER: _ClassVar[int]
    REPEATABLE_FIELD_NUMBER: _ClassVar[int]
    sentences: _containers.RepeatedScalarFieldContainer[str]
    outputs: OutputSelection
    truncation: Truncation
    model_version: str
    service_class: ServiceClass
    repeatable: bool
    def __init__(self, sentences: _Optional[_Iterable[str]] = ..., outputs: _Optional[_Union[OutputSelection, _Mapping]] = ..., truncation: _Optional[_Union[Truncation, str]] = ..., model_version: _Optional[str] = ..., service_class: _Optional[_Union[ServiceClass, str]] = ..., repeatable: _Optional[bool] = ...) -> None: ...

class OutputSelection(_message.Message):
    __slots__ = ("tasks", "skip_tasks", "embedding", "logits", "token_logits")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    SKIP_TASKS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    LOGITS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_LOGITS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedScalarFieldContainer[str]
    skip_tasks: bool
    embedding: EmbeddingOptions
    logits: bool
    token_logits: bool
    def __init__(self, tasks: _Optional[_Iterable[str]] = ..., skip_tasks: _Optional[bool] = ..., embedding: _Optional[_Union[EmbeddingOptions, _Mapping]] = ..., logits: _Optional[bool] = ..., token_logits: _Optional[bool] = ...) -> None: ...

class EmbeddingOptions(_message.Message):
    __slots__ = ("format", "normalize", "dimensions")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    NORMALIZE_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    format: EmbeddingFormat
    normalize: bool
    dimensions: int
    def __init__(self, format: _Optional[_Union[EmbeddingFormat, str]] = ..., normalize: _Optional[bool] = ..., dimensions: _Optional[int] = ...) -> None: ...

class InferResponse(_message.Message):
    __slots__ = ("model_version", "embeddings", "tasks", "statuses", "timing")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    embeddings: Tensor
    tasks: _containers.RepeatedCompositeFieldContainer[TaskResult]
    statuses: _containers.RepeatedCompositeFieldContainer[SentenceStatus]
    timing: Timing
    def __init__(self, model_version: _Optional[str] = ..., embeddings: _Optional[_Union[Tensor, _Mapping]] = ..., tasks: _Optional[_Iterable[_Union[TaskResult, _Mapping]]] = ..., statuses: _Optional[_Iterable[_Union[SentenceStatus, _Mapping]]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("shape", "dtype", "float32_values", "raw", "row_scales")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    FLOAT32_VALUES_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    ROW_SCALES_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedScalarFieldContainer[int]
    dtype: DataType
    float32_values: _containers.RepeatedScalarFieldContainer[float]
    raw: bytes
    row_scales: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, shape: _Optional[_Iterable[int]] = ..., dtype: _Optional[_Union[DataType, str]] = ..., float32_values: _Optional[_Iterable[float]] = ..., raw: _Optional[bytes] = ..., row_scales: _Optional[_Iterable[float]] = ...) -> None: ...

class TaskResult(_message.Message):
    __slots__ = ("name", "kind", "labels", "logits", "single_label", "binary", "multi_label", "token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LOGITS_FIELD_NUMBER: _ClassVar[int]
    SINGLE_LABEL_FIELD_NUMBER: _ClassVar[int]
    BINARY_FIELD_NUMBER: _ClassVar[int]
    MULTI_LABEL_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: _task_kind_pb2.TaskKind
    labels: _containers.RepeatedScalarFieldContainer[str]
    logits: Tensor
    single_label: SingleLabelAnswer
    binary: BinaryAnswer
    multi_label: MultiLabelAnswer
    token: TokenAnswer
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[_task_kind_pb2.TaskKind, str]] = ..., labels: _Optional[_Iterable[str]] = ..., logits: _Optional[_Union[Tensor, _Mapping]] = ..., single_label: _Optional[_Union[SingleLabelAnswer, _Mapping]] = ..., binary: _Optional[_Union[BinaryAnswer, _Mapping]] = ..., multi_label: _Optional[_Union[MultiLabelAnswer, _Mapping]] = ..., token: _Optional[_Union[TokenAnswer, _Mapping]] = ...) -> None: ...

class SingleLabelAnswer(_message.Message):
    __slots__ = ("label_indices", "scores")
    LABEL_INDICES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    label_indices: _containers.RepeatedScalarFieldContainer[int]
    scores: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, label_indices: _Optional[_Iterable[int]] = ..., scores: _Optional[_Iterable[float]] = ...) -> None: ...

class BinaryAnswer(_message.Message):
    __slots__ = ("probabilities", "label_indices")
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    LABEL_INDICES_FIELD_NUMBER: _ClassVar[int]
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    label_indices: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, probabilities: _Optional[_Iterable[float]] = ..., label_indices: _Optional[_Iterable[int]] = ...) -> None: ...

class MultiLabelAnswer(_message.Message):
    __slots__ = ("sentences",)
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    sentences: _containers.RepeatedCompositeFieldContainer[LabelSet]
    def __init__(self, sentences: _Optional[_Iterable[_Union[LabelSet, _Mapping]]] = ...) -> None: ...

class LabelSet(_message.Message):
    __slots__ = ("label_indices", "scores")
    LABEL_INDICES_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    label_indices: _containers.RepeatedScalarFieldContainer[int]
    scores: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, label_indices: _Optional[_Iterable[int]] = ..., scores: _Optional[_Iterable[float]] = ...) -> None: ...

class TokenAnswer(_message.Message):
    __slots__ = ("sentences", "logits")
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    LOGITS_FIELD_NUMBER: _ClassVar[int]
    sentences: _containers.RepeatedCompositeFieldContainer[EntityList]
    logits: TokenLogits
    def __init__(self, sentences: _Optional[_Iterable[_Union[EntityList, _Mapping]]] = ..., logits: _Optional[_Union[TokenLogits, _Mapping]] = ...) -> None: ...

class EntityList(_message.Message):
    __slots__ = ("entities",)
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    def __init__(self, entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("label", "start", "end", "score")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    label: str
    start: int
    end: int
    score: float
    def __init__(self, label: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., score: _Optional[float] = ...) -> None: ...

class TokenLogits(_message.Message):
    __slots__ = ("token_counts", "values", "starts", "ends")
    TOKEN_COUNTS_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    token_counts: _containers.RepeatedScalarFieldContainer[int]
    values: Tensor
    starts: _containers.RepeatedScalarFieldContainer[int]
    ends: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, token_counts: _Optional[_Iterable[int]] = ..., values: _Optional[_Union[Tensor, _Mapping]] = ..., starts: _Optional[_Iterable[int]] = ..., ends: _Optional[_Iterable[int]] = ...) -> None: ...

class SentenceStatus(_message.Message):
    __slots__ = ("code", "message", "truncated", "tokens", "tokens_used")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_USED_FIELD_NUMBER: _ClassVar[int]
    code: SentenceCode
    message: str
    truncated: bool
    tokens: int
    tokens_used: int
    def __init__(self, code: _Optional[_Union[SentenceCode, str]] = ..., message: _Optional[str] = ..., truncated: _Optional[bool] = ..., tokens: _Optional[int] = ..., tokens_used: _Optional[int] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("tokenize", "queue", "encode")
    TOKENIZE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    ENCODE_FIELD_NUMBER: _ClassVar[int]
    tokenize: _duration_pb2.Duration
    queue: _duration_pb2.Duration
    encode: _duration_pb2.Duration
    def __init__(self, tokenize: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., queue: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., encode: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StreamInferRequest(_message.Message):
    __slots__ = ("batch_id", "request")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    request: InferRequest
    def __init__(self, batch_id: _Optional[str] = ..., request: _Optional[_Union[InferRequest, _Mapping]] = ...) -> None: ...

class StreamInferResponse(_message.Message):
    __slots__ = ("batch_id", "response", "error")
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    batch_id: str
    response: InferResponse
    error: _status_pb2.Status
    def __init__(self, batch_id: _Optional[str] = ..., response: _Optional[_Union[InferResponse, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...
