"""The Python client and the bulk labeller; imports no torch.

What is public is imported when it is first asked for: a health probe of a container needs next to
nothing of it, and is to be quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .admin_client import AdminClient, DriftLimits, GateReport, Push, VersionOffer
    from .async_client import AsyncClient
    from .channel import Tls
    from .client import Client
    from .errors import (
        AccessDeniedError,
        FileError,
        InvalidRequestError,
        OtherVersionLiveError,
        PushRefusedError,
        TwinheadError,
        UnansweredSentencesError,
        UnknownVersionError,
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
        VersionInfo,
        VersionList,
    )
    from .worker_status import Latencies, WorkerStatus

__all__ = [
    "AccessDeniedError",
    "AdminClient",
    "AsyncClient",
    "BinaryAnswer",
    "Client",
    "DriftLimits",
    "Entity",
    "FileError",
    "GateReport",
    "InferOptions",
    "InferResult",
    "InvalidRequestError",
    "Latencies",
    "ModelInfo",
    "MultiLabelAnswer",
    "OtherVersionLiveError",
    "Push",
    "PushRefusedError",
    "SentenceStatus",
    "SingleLabelAnswer",
    "TaskAnswer",
    "TaskInfo",
    "Timing",
    "Tls",
    "TokenAnswer",
    "TokenLogits",
    "TwinheadError",
    "UnansweredSentencesError",
    "UnknownVersionError",
    "VersionInfo",
    "VersionList",
    "VersionNotLiveError",
    "VersionOffer",
    "WorkerFailedError",
    "WorkerFullError",
    "WorkerStatus",
    "WorkerTimeoutError",
    "WorkerUnavailableError",
]

_MODULES = (
    "admin_client",
    "async_client",
    "channel",
    "client",
    "errors",
    "requests",
    "results",
    "worker_status",
)


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            found = vars(import_module(f".{module}", __name__)).get(name)
            if found is not None:
                globals()[name] = found  # next time without this
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
