"""The log: a line for people, or a JSON object a line for programs."""

import json
import logging
import sys
import time
from typing import Any, Literal

from typing_extensions import override

from .errors import REQUEST_ID

# Lines about single calls: what a flood of bad calls may add to a log in a second.
_CALL_LINES = 20
CALL_LOGGER = "twinhead.server.gate"
# What a record has by itself; all else was given with `extra`.
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "request_id", "taskName"}


def set_up(log_format: Literal["human", "json"], level: str) -> None:
    """Write the log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Human())
    handler.addFilter(_with_request_id)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # What other libraries say at these levels is about their insides.
    for name in ("asyncio", "grpc", "fsspec", "urllib3", "filelock"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    calls = logging.getLogger(CALL_LOGGER)
    calls.filters.clear()
    calls.addFilter(Sparing(_CALL_LINES))


class Sparing(logging.Filter):
    """Lets so many lines through in a second, and says how many there were beside them."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._lines = lines
        self._second = 0
        self._passed = self._held = 0

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            held, self._held, self._passed, self._second = self._held, 0, 0, second
            if held:
                record.msg = f"{record.getMessage()} (and {held} more lines like it, not shown)"
                record.args = ()
        if self._passed >= self._lines and record.levelno < logging.ERROR:
            self._held += 1
            return False
        self._passed += 1
        return True


class _Human(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        request_id = getattr(record, "request_id", "")
        return f"{line} [{request_id}]" if request_id else line


class _Json(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := getattr(record, "request_id", ""):
            line["request_id"] = request_id
        line |= {
            key: value
            for key, value in vars(record).items()
            # Other libraries keep notes of their own in records, such as _ray_timestamp_ns.
            if key not in _OWN and not key.startswith("_")
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _with_request_id(record: logging.LogRecord) -> bool:
    record.request_id = REQUEST_ID.get()
    return True
