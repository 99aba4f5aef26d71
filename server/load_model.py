"""A checkpoint on disk to a model that answers."""

import logging
import time
from pathlib import Path

from ..model.checkpoint import Checkpoint, read_version
from ..model.errors import ModelError
from ..model.starter import checkpoint_folder
from ..model.version_parts import load_version
from .engines.choose_engine import choose_engine
from .live_model import LiveModel
from .settings import WorkerSettings
from .version_store import Pointers, StoreError, VersionStore

logger = logging.getLogger(__name__)


def load_model(settings: WorkerSettings, store: VersionStore | None = None) -> LiveModel:
    """Load, verify and warm a model; takes seconds.

    Args:
        settings: say which model.
        store: versions that were kept. The last live one is loaded in place of the settings'
            model, unless that is another one than it was then. Is told which is live now.

    Raises:
        ModelError: the checkpoint or its encoder cannot be used, or `store` not be written.
        EngineError: the engine or device is not to be had, or cannot run the model.
    """
    started = time.monotonic()
    checkpoint = _choose(settings, store)
    engine = choose_engine(settings, checkpoint)
    model = LiveModel.of(checkpoint, engine)
    warm(model)
    logger.info(
        "loaded model %s, version %s, into engine %s (%s, %s, passes at once: %d) in %.1f s",
        settings.model,
        model.version,
        engine.name,
        engine.precision,
        engine.device,
        engine.streams,
        time.monotonic() - started,
    )
    return model


def _choose(settings: WorkerSettings, store: VersionStore | None) -> Checkpoint:
    folder = checkpoint_folder(settings.model)
    if store is None:
        return Checkpoint.load(folder)
    configured = read_version(folder)
    known = store.pointers()
    if known is not None and known.configured != configured:
        logger.info("--model is another than before: serving it, and not %s", known.live)
    if known is None or known.configured != configured:
        checkpoint, previous = Checkpoint.load(folder), known.live if known else ""
        if known and previous == checkpoint.version:  # it had been pushed, and is live already
            previous = known.previous
    else:
        checkpoint, previous = _last_live(store, known, folder)
    pointers = Pointers(live=checkpoint.version, previous=previous, configured=configured)
    try:
        store.point(pointers)
    except OSError as error:
        raise StoreError(f"{store.folder} cannot be written: {error.strerror}") from error
    return checkpoint


def _last_live(store: VersionStore, known: Pointers, configured: Path) -> tuple[Checkpoint, str]:
    """The version that was live, or else the one before it; and which was live before that."""
    for version, previous in ((known.live, known.previous), (known.previous, "")):
        if version == known.configured:
            return Checkpoint.load(configured), previous
        if version and (checkpoint := _kept(store, version)):
            return checkpoint, previous
    return Checkpoint.load(configured), ""


def _kept(store: VersionStore, version: str) -> Checkpoint | None:
    """A kept version; None, and a word in the log, if it is not whole."""
    try:
        checkpoint = load_version(store.parts(version), store.staging_folder)
    except OSError as error:  # it may pass, and the version may be whole
        raise StoreError(f"version {version} in {store.folder}: {error.strerror}") from error
    except ModelError as error:
        logger.error("version %s was live, but cannot be loaded: %s", version, error)
        store.remove_damaged(version)
        return None
    logger.info("version %s was live when the worker stopped, and is again", version)
    return checkpoint


def warm(model: LiveModel) -> None:
    """Run a real pass: readiness then means that the model answers, and first calls are quick."""
    # One short pass and a full one: libraries set themselves up by size. The ids are of real words.
    (sentence,) = model.tokenizer(
        ["The quick brown fox jumps over the lazy dog near the river bank."]
    )
    tasks = [task.name for task in model.config.tasks]
    for count in (1, 64):
        model.engine.encode([sentence.ids] * count, tasks)
