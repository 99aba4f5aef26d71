"""What callers of `tei.v1` are told that callers of our own contract never are."""

from typing import Any, NoReturn

import grpc

from .errors import Context, ServiceError


def refusing(what: str) -> Any:
    """A method, of whatever type, that is not offered; it reads nothing of a stream."""

    async def refuse(_service: object, _request: object, _context: Context) -> NoReturn:
        text = f"this worker offers no {what}, whatever its model"
        raise _refusal(grpc.StatusCode.UNIMPLEMENTED, "NOT_OFFERED", text)

    return refuse


def unfit_model(text: str) -> ServiceError:
    """A method that needs a model, or a task, of another kind than there is."""
    return _refusal(grpc.StatusCode.FAILED_PRECONDITION, "UNFIT_MODEL", text)


def _refusal(code: grpc.StatusCode, reason: str, text: str) -> ServiceError:
    error = ServiceError(text)
    error.code, error.reason = code, reason
    return error
