"""The engine that the settings ask for."""

import csv
import importlib.util
import logging
import os
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...model.checkpoint import Checkpoint
from ..settings import WorkerSettings
from .engine import Engine, EngineError
from .torch_engine import TorchEngine, choose_device

if TYPE_CHECKING:
    from .int8 import Int8

logger = logging.getLogger(__name__)

# By default at most; each has its own buffers, and some work under Python's lock.
_STREAMS = 8


def choose_engine(settings: WorkerSettings, checkpoint: Checkpoint) -> Engine:
    """Make an engine that runs a checkpoint, the fastest one unless the settings name one.

    Raises:
        EngineError: what is asked for is not to be had here, or cannot run it.
    """
    device = choose_device(settings.device)
    if settings.engine == "openvino" or settings.precision != "float32":
        _check_openvino(settings, device)
        return _openvino(settings, checkpoint)
    if settings.engine == "auto" and device == "cpu" and _has_openvino():
        try:
            return _openvino(settings, checkpoint)
        except EngineError as error:
            logger.info("taking torch: %s", error)
    return TorchEngine(checkpoint.network, device, **_shares(settings))


def _openvino(settings: WorkerSettings, checkpoint: Checkpoint) -> Engine:
    from .openvino_engine import OpenVinoEngine, has_bfloat16

    if settings.precision == "bfloat16" and not has_bfloat16():
        raise EngineError("--precision bfloat16: this processor has no instructions for it")
    return OpenVinoEngine(
        checkpoint,
        precision=settings.precision,
        int8=_int8(settings, checkpoint) if settings.precision == "int8" else None,
        **_shares(settings),
    )


def _shares(settings: WorkerSettings) -> dict[str, Any]:
    threads = settings.threads or usable_threads()
    return {"threads": threads, "streams": min(settings.streams or _STREAMS, threads)}


def usable_threads() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # not on Linux


def _int8(settings: WorkerSettings, checkpoint: Checkpoint) -> "Int8":
    from .int8 import Int8

    options: dict[str, Any] = {
        "cache": _cache(settings),
        "min_cosine": settings.int8_min_cosine,
        "min_agreement": settings.int8_min_agreement,
    }
    if settings.calibration:
        return Int8.calibrated_by(Path(settings.calibration), **options)
    with (files("twinhead.examples") / "sentences.csv").open(encoding="utf-8") as rows:
        examples = [row["text"] for row in csv.DictReader(rows)]
    probes = checkpoint.probes.sentences if checkpoint.probes is not None else ()
    return Int8(sentences=[*probes, *examples], **options)


def _cache(settings: WorkerSettings) -> Path:
    if settings.engine_cache:
        return Path(settings.engine_cache)
    if settings.state:
        return Path(settings.state) / "engines"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "twinhead" / "engines"


def _check_openvino(settings: WorkerSettings, device: str) -> None:
    wanted = f"--precision {settings.precision}"
    if settings.engine == "torch":
        raise EngineError(f"{wanted} needs --engine openvino (or auto)")
    if settings.engine == "openvino":
        wanted = "--engine openvino"
    if device != "cpu":
        raise EngineError(f"{wanted} runs on the CPU, not on {device}")
    if not _has_openvino():
        raise EngineError(
            f"{wanted} needs the package openvino: "
            "pip install -c constraints.txt 'twinhead[openvino]'"
        )


def _has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None
