"""The Python client and the bulk labeller; imports no torch."""

from .async_client import AsyncClient
from .client import Client
from .errors import (
    FileError,
    InvalidRequestError,
    TwinheadError,
    VersionNotLiveError,
    WorkerFailedError,
    WorkerFullError,
    WorkerTimeoutError,
    WorkerUnavailableError,
)
from .requests import InferOptions
from .results import (
    BinaryAnswer,
    Entity,
    InferResult,
    ModelInfo,
    MultiLabelAnswer,
    SentenceStatus,
    SingleLabelAnswer,
    TaskAnswer,
    TaskInfo,
    Timing,
    TokenAnswer,
    TokenLogits,
)

__all__ = [
    "AsyncClient",
    "BinaryAnswer",
    "Client",
    "Entity",
    "FileError",
    "InferOptions",
    "InferResult",
    "InvalidRequestError",
    "ModelInfo",
    "MultiLabelAnswer",
    "SentenceStatus",
    "SingleLabelAnswer",
    "TaskAnswer",
    "TaskInfo",
    "Timing",
    "TokenAnswer",
    "TokenLogits",
    "TwinheadError",
    "VersionNotLiveError",
    "WorkerFailedError",
    "WorkerFullError",
    "WorkerTimeoutError",
    "WorkerUnavailableError",
]
