"""GetModel tells what is served."""

from importlib.metadata import version

from twinhead.client import Client
from twinhead.model.checkpoint import Checkpoint
from twinhead.server.load_model import checkpoint_folder


def test_the_starter_model_is_described(starter_client):
    model = starter_client.model()
    assert model.version == Checkpoint.load(checkpoint_folder("starter")).version
    assert model.encoder == "all-MiniLM-L6-v2"
    assert {name: task.label_names for name, task in model.tasks.items()} == {
        "topic": ("World", "Sports", "Business", "Sci/Tech"),
        "sentiment": ("negative", "neutral", "positive"),
    }
    assert {task.kind for task in model.tasks.values()} == {"single_label"}
    assert all(1 < task.temperature < 3 for task in model.tasks.values())  # it was calibrated
    assert (model.embedding_dimensions, model.normalize) == (384, True)
    assert (model.engine, model.precision) == ("openvino", "float32")
    assert model.tokens_per_sentence == 256
    assert model.worker_release == version("twinhead")


def test_limits_are_those_of_the_settings(start_debug_worker):
    worker = start_debug_worker(
        sentences_per_request=7, request_bytes=2048, characters_per_sentence=99
    )
    with Client(worker.target) as client:
        model = client.model()
    assert model.sentences_per_request == 7
    assert model.request_bytes == 2048
    assert model.characters_per_sentence == 99
