"""Probe sentences, and what a model answers to them where it was made.

They travel with a checkpoint. A worker runs them before it lets new weights answer anybody: other
results than stated mean that it does not compute what was trained.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from .config import TaskKind, describe_faults
from .errors import CheckpointError
from .network import Network
from .tokenizer import Tokenizer

# Of several lengths, subjects, moods and scripts, with names of people, places and numbers. They
# are part of what is compared between releases, so they are only ever added to.
PROBE_SENTENCES = (
    "Yes.",
    "What a wonderful evening, I would go again tomorrow!",
    "The room was dirty and nobody answered the phone.",
    "Shares of the carmaker fell by 4.2% after the quarterly report.",
    "The striker scored twice in the final minutes and won the cup for her club.",
    "Scientists in Geneva measured the particle's mass more precisely than ever before.",
    "The minister met her colleague from Brazil in Vienna on Monday.",
    "Cancel my subscription and send me an invoice for March, please.",
    "It is neither good nor bad; it does what it says on the box.",
    "Maria Keller moved from Oslo to Buenos Aires to work for a bank.",
    "ORDER 66-1193 WAS NOT DELIVERED!!!",
    "i dont get why ppl like this movie lol, the plot makes 0 sense",
    "Der Zug nach München fährt heute leider nicht.",
    "これは短い文です。",
    "If the update fails, restart the device, hold the button for ten seconds, and try the "
    "installation again with the cable that came with it; most problems go away after that.",
    "The old lighthouse keeper, who had not left the island for thirty years, wrote a letter to "
    "the newspaper every week, and every week the newspaper printed it without changing a word, "
    "so that his readers on the mainland knew more of the weather than of him.",
)

# A probe file is small beside the weights, whatever a manifest or a caller claims.
MAX_PROBES = 256

Sentence = Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
FloatArray = NDArray[np.float32]


class Probes(BaseModel):
    """Sentences and a model's results for them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sentences: tuple[Sentence, ...] = Field(min_length=1, max_length=MAX_PROBES)
    embeddings: tuple[tuple[float, ...], ...]
    """Not normalised, [sentences, dimensions]."""
    logits: dict[str, tuple[tuple[float, ...], ...]]
    """Of each task that answers by sentence, [sentences, logits]."""
    token_logits: dict[str, tuple[tuple[tuple[float, ...], ...], ...]] = {}
    """Of each task that answers by token, for each sentence [tokens, labels]."""

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Check a decoded JSON object.

        Raises:
            CheckpointError: it is not what `probes.json` holds.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            faults = describe_faults(error)
            raise CheckpointError("; ".join(faults[:3])[:1000]) from error

    @classmethod
    def measure(
        cls, network: Network, tokenizer: Tokenizer, sentences: Sequence[str] = PROBE_SENTENCES
    ) -> Self:
        """Run sentences through a network, each alone, in evaluation mode."""
        embeddings: list[FloatArray] = []
        by_task: dict[str, list[FloatArray]] = {task.name: [] for task in network.config.tasks}
        device = next(network.parameters(), torch.empty(0)).device
        with torch.inference_mode():
            for sentence in tokenizer(sentences):
                ids = torch.tensor([sentence.ids], device=device)
                output = network(ids, torch.ones_like(ids))
                embeddings.append(output.embeddings[0].cpu().numpy())
                for name, logits in output.logits.items():
                    by_task[name].append(logits[0].cpu().numpy())
        kinds = {task.name: task.kind for task in network.config.tasks}
        return cls(
            sentences=tuple(sentences),
            embeddings=tuple(_numbers(row) for row in embeddings),
            logits={
                name: tuple(_numbers(row) for row in rows)
                for name, rows in by_task.items()
                if kinds[name] is not TaskKind.TOKEN
            },
            token_logits={
                name: tuple(tuple(_numbers(token) for token in row) for row in rows)
                for name, rows in by_task.items()
                if kinds[name] is TaskKind.TOKEN
            },
        )

    @property
    def results(self) -> Mapping[str, Sequence[FloatArray]]:
        """For each sentence an array, under `embedding` and under each task as `task NAME`."""
        found: dict[str, list[FloatArray]] = {"embedding": _arrays(self.embeddings)}
        for name, rows in self.logits.items():
            found[f"task {name}"] = _arrays(rows)
        for name, sentences in self.token_logits.items():
            found[f"task {name}"] = _arrays(sentences)
        return found


def _numbers(row: FloatArray) -> tuple[float, ...]:
    # Seven digits are what float32 holds; more would only make the file longer.
    return tuple(float(f"{value:.7g}") for value in row)


def _arrays(rows: Sequence[Any]) -> list[FloatArray]:
    return [np.array(row, dtype=np.float32) for row in rows]
