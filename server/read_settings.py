"""The worker's settings from four places: options, variables, a file, defaults; in this order."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .settings import WorkerSettings

PREFIX = "TWINHEAD_"
CONFIG = "TWINHEAD_CONFIG"
_FIELDS = WorkerSettings.model_fields
# What other commands read.
_OTHERS = ("TWINHEAD_WORKER", "TWINHEAD_ADMIN", "TWINHEAD_CLIENT_")
# What Kubernetes sets in every container for a service of the name twinhead: TWINHEAD_PORT among
# it, with an address for its value.
_SERVICE_LINK = re.compile(r"TWINHEAD_(.+_)?(SERVICE_HOST|SERVICE_PORT.*|PORT_\d+_.*)")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://.*")
_MAX_FILE_BYTES = 1 << 20


class SettingsError(Exception):
    """Settings that cannot be used; the text says which, from where, and why."""


@dataclass(frozen=True)
class ReadSettings:
    """Settings, and where each is from."""

    settings: WorkerSettings
    sources: Mapping[str, str]
    """For each that is not a default, the option, variable or file that says it."""

    def as_toml(self) -> str:
        """A file that gives the same settings, and tells where each is from."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        for name, value in self.settings.model_dump().items():
            source = "".join(
                each if each.isprintable() else "?" for each in self.sources.get(name, "default")
            )
            if value is None:  # TOML has nothing for that
                yield f"# {name} is not set  # {source}"
            else:
                # What JSON writes of these is TOML, too, but for one character and one number.
                text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
                text = "inf" if text == "Infinity" else text
                yield f"{name} = {text}  # {source}"


def read_settings(
    options: Mapping[str, Any], config: Path | None, environment: Mapping[str, str] = os.environ
) -> ReadSettings:
    """Put settings together.

    Args:
        options: those given on the command line.
        config: TOML file with further ones; None takes the one that `TWINHEAD_CONFIG` names.
        environment: variables, of which those count that are called TWINHEAD_ and a setting.

    Raises:
        SettingsError: naming everything that is wrong.
    """
    if config is None and environment.get(CONFIG):
        config = Path(environment[CONFIG])
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    faults: list[str] = []
    if config is not None:
        for name, value in _read_file(config).items():
            source = f"{name} in {config}"
            if name in _FIELDS:
                values[name], sources[name] = value, source
            else:
                faults.append(f"{source}: there is no such setting{_meant(name)}")
    for variable, value in sorted(environment.items()):
        if not variable.startswith(PREFIX) or _is_not_ours(variable, value):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in _FIELDS and variable == variable.upper():
            values[name], sources[name] = value, variable
        else:
            faults.append(f"{variable}: there is no such setting{_meant(name, variable=True)}")
    for name, value in options.items():
        values[name], sources[name] = value, f"--{name.replace('_', '-')}"
    try:
        settings = WorkerSettings(**values)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            name = str(fault["loc"][0])
            # A variable may hold what is nobody's business; what it is called suffices.
            faults.append(f"{sources.get(name, name)}: {fault['msg']}")
        raise SettingsError("\n".join(faults)) from error
    if faults:
        raise SettingsError("\n".join(faults))
    return ReadSettings(settings, sources)


def _read_file(config: Path) -> dict[str, Any]:
    try:
        with config.open("rb") as stream:
            data = stream.read(_MAX_FILE_BYTES + 1)
        if len(data) > _MAX_FILE_BYTES:
            raise SettingsError(f"{config} is larger than 1 MiB, which is no settings file")
        return tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{config} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{config} is not TOML: {error}") from error


def _is_not_ours(variable: str, value: str) -> bool:
    return (
        variable == CONFIG
        or variable in _OTHERS
        or variable.startswith(_OTHERS[-1])
        or _SERVICE_LINK.fullmatch(variable) is not None
        or _SERVICE_ADDRESS.fullmatch(value) is not None
    )


def _meant(name: str, *, variable: bool = False) -> str:
    close = difflib.get_close_matches(name.replace("-", "_"), _FIELDS, n=1)
    if not close:
        return ""
    return f"; did you mean {PREFIX + close[0].upper() if variable else close[0]}?"
