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
from .results import InferResult, ModelInfo, SentenceStatus, TaskAnswer, TaskInfo, Timing

__all__ = [
    "AsyncClient",
    "Client",
    "FileError",
    "InferOptions",
    "InferResult",
    "InvalidRequestError",
    "ModelInfo",
    "SentenceStatus",
    "TaskAnswer",
    "TaskInfo",
    "Timing",
    "TwinheadError",
    "VersionNotLiveError",
    "WorkerFailedError",
    "WorkerFullError",
    "WorkerTimeoutError",
    "WorkerUnavailableError",
]
