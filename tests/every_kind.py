"""A model with a task of each kind: the starter, and beside its heads three that are random.

python tests/every_kind.py FOLDER     write it as a checkpoint
"""

import sys
from pathlib import Path

from small_bert import randomize
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import TaskConfig, TaskKind
from twinhead.model.network import Network
from twinhead.model.starter import checkpoint_folder

RANDOM_TASKS = (
    TaskConfig(name="urgent", kind=TaskKind.BINARY, labels=("no", "yes")),
    TaskConfig(name="flags", kind=TaskKind.MULTI_LABEL, labels=("spam", "advert", "rude")),
    TaskConfig(
        name="entities", kind=TaskKind.TOKEN, labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    ),
)


def every_kind() -> Checkpoint:
    """A checkpoint that is always the same."""
    starter = Checkpoint.load(checkpoint_folder("starter"))
    config = starter.config.model_copy(update={"tasks": (*starter.config.tasks, *RANDOM_TASKS)})
    network = Network(config, starter.network.encoder, starter.network.dimensions)
    randomize(network.heads, 5)
    for task in starter.config.tasks:
        network.heads[task.name].load_state_dict(starter.network.heads[task.name].state_dict())
    return Checkpoint.create(network, starter.tokenizer)


if __name__ == "__main__":
    every_kind().save(Path(sys.argv[1]))
