"""The network that training begins with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..model.checkpoint import Checkpoint
from ..model.config import ModelConfig, TaskConfig
from ..model.encoder import Encoder, find_encoder
from ..model.network import Network
from ..model.tokenizer import Tokenizer
from .errors import RecipeError
from .recipe import DataRecipe, ModelRecipe, Recipe


@dataclass(frozen=True)
class StartModel:
    """A checkpoint, or an encoder that waits for its heads."""

    recipe: ModelRecipe
    checkpoint: Checkpoint | None
    tasks: Sequence[TaskConfig]
    """The tasks; those without labels take what the data has."""

    @classmethod
    def find(cls, recipe: Recipe) -> "StartModel":
        """Load the checkpoint of a recipe, if it names one.

        Its tasks keep the temperature that they have there only where no data set has their labels.

        Raises:
            CheckpointError: it cannot be read.
            EncoderNotFoundError: it names an encoder that is not at hand.
        """
        model = recipe.model
        if model.checkpoint is None:
            return cls(model, None, model.tasks)
        checkpoint = Checkpoint.load(Path(model.checkpoint))
        labelled = {name for source in recipe.data for name in source.tasks}
        # What was fitted to the old weights says nothing of the new ones; without rows there is
        # nothing better.
        tasks = [
            task.model_copy(update={"temperature": 1.0}) if task.name in labelled else task
            for task in checkpoint.config.tasks
        ]
        return cls(model, checkpoint, tasks)

    def check(self, data: Sequence[DataRecipe]) -> None:
        """Check the data sets' tasks, for recipes that were not read from a file.

        Raises:
            RecipeError: a data set has labels of a task that the model does not have.
        """
        names = {task.name for task in self.tasks}
        for source in data:
            for name in source.tasks:
                if name not in names:
                    raise RecipeError(
                        f"data set {source.name}: the checkpoint has no task {name}, only "
                        f"{', '.join(sorted(names))}"
                    )

    def reload(self) -> Checkpoint | None:
        """The checkpoint as it is on the disk; its weights in memory have been trained on."""
        return (
            None
            if self.recipe.checkpoint is None
            else Checkpoint.load(Path(self.recipe.checkpoint))
        )

    def build(self, tasks: Sequence[TaskConfig], seed: int) -> tuple[Network, Tokenizer]:
        """Make the network; heads that no checkpoint brings are initialised by the seed.

        Raises:
            EncoderNotFoundError: the encoder cannot be read.
        """
        if self.checkpoint is not None:
            network = self.checkpoint.network
            config = network.config.model_copy(update={"tasks": tuple(tasks)})
            return with_config(network, config), self.checkpoint.tokenizer
        stated = self.recipe.model_dump(include=set(ModelConfig.model_fields) - {"tasks"})
        config = ModelConfig.parse({**stated, "tasks": [task.model_dump() for task in tasks]})
        folder = find_encoder(config.encoder, config.revision)
        encoder = Encoder.load(folder)
        tokenizer = Tokenizer.load(folder, config.max_tokens)
        torch.manual_seed(seed)
        return Network(config, encoder, encoder.dimensions), tokenizer


def with_config(network: Network, config: ModelConfig) -> Network:
    """The same weights under a config that differs in what is no weight, such as temperatures."""
    renewed = Network(config, network.encoder, network.dimensions)
    renewed.heads.load_state_dict(network.heads.state_dict())
    return renewed


def calibrated(network: Network, temperatures: Mapping[str, float]) -> Network:
    """The same network, with the temperatures of its tasks set."""
    tasks = tuple(
        task.model_copy(update={"temperature": temperatures[task.name]})
        for task in network.config.tasks
    )
    return with_config(network, network.config.model_copy(update={"tasks": tasks}))
