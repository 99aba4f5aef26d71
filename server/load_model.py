"""A checkpoint on disk to a model that answers."""

import logging
import time

from ..model.checkpoint import Checkpoint
from ..model.starter import checkpoint_folder
from .live_model import LiveModel
from .settings import WorkerSettings
from .torch_engine import TorchEngine, choose_device, set_threads

logger = logging.getLogger(__name__)


def load_model(settings: WorkerSettings) -> LiveModel:
    """Load, verify and warm the model of the settings; takes seconds.

    Raises:
        ModelError: the checkpoint or its encoder cannot be used.
        ValueError: the device is not there.
    """
    started = time.monotonic()
    device = choose_device(settings.device)
    threads = set_threads(settings.threads)
    checkpoint = Checkpoint.load(checkpoint_folder(settings.model))
    model = LiveModel(
        version=checkpoint.version,
        config=checkpoint.config,
        dimensions=checkpoint.network.dimensions,
        tokenizer=checkpoint.tokenizer,
        engine=TorchEngine(checkpoint.network, device),
    )
    warm(model)
    logger.info(
        "loaded model %s, version %s, on %s with %d threads in %.1f s",
        settings.model,
        model.version,
        device,
        threads,
        time.monotonic() - started,
    )
    return model


def warm(model: LiveModel) -> None:
    """Run a real pass: readiness then means that the model answers, and first calls are quick."""
    # One short pass and a full one: libraries set themselves up by size. The ids are of real words.
    (sentence,) = model.tokenizer(
        ["The quick brown fox jumps over the lazy dog near the river bank."]
    )
    tasks = [task.name for task in model.config.tasks]
    for count in (1, 64):
        model.engine.encode([sentence.ids] * count, tasks)
