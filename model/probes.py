"""Probe sentences, and what a model answers to them where it was made.

They travel with a checkpoint. A worker runs them before it lets new weights answer anybody: other
results than stated mean that it does not compute what was trained.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from .config import TaskKind, describe_faults
from .errors import CheckpointError
from .manifest import at_most, check_keys
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
    "If the update fails, restart the device, hold the button for ten seconds, and try again "
    "with the cable that came with it.",
    "The old lighthouse keeper wrote a letter to the newspaper every week, and every week the "
    "newspaper printed it without changing a word.",
)

# A probe file is small beside the weights, whatever a manifest or a caller claims.
MAX_PROBES = 256

Sentence = Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
FloatArray = NDArray[np.float32]
# What float32 holds: any more would be infinite there, and nothing is far from infinity.
_LARGEST = float(np.finfo(np.float32).max)
_Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)]
# One fault is enough: each has a text of its own, and there may be millions of numbers.
_Row = Annotated[tuple[_Number, ...], FailFast()]
_Rows = Annotated[tuple[_Row, ...], FailFast()]
# As many tasks as a description may have.
_TASKS = at_most(64)


class Probes(BaseModel):
    """Sentences and a model's results for them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sentences: Annotated[tuple[Sentence, ...], FailFast()] = Field(
        min_length=1, max_length=MAX_PROBES
    )
    embeddings: _Rows
    """Not normalised, [sentences, dimensions]."""
    logits: Annotated[dict[str, _Rows], _TASKS]
    """Of each task that answers by sentence, [sentences, logits]."""
    token_logits: Annotated[dict[str, Annotated[tuple[_Rows, ...], FailFast()]], _TASKS] = {}
    """Of each task that answers by token, for each sentence [tokens, labels]."""

    @model_validator(mode="after")
    def _are_arrays(self) -> Self:
        for name, of_sentences in (
            ("embeddings", self.embeddings),
            *self.logits.items(),
            *self.token_logits.items(),
        ):
            if len(of_sentences) != len(self.sentences):
                raise ValueError(
                    f"{name} has {len(of_sentences)} items for {len(self.sentences)} sentences"
                )
        for name, rows in (
            ("embeddings", self.embeddings),
            *self.logits.items(),
            *((name, chain(*of_sentences)) for name, of_sentences in self.token_logits.items()),
        ):
            if len({len(row) for row in rows}) > 1:
                raise ValueError(f"{name} has rows of several lengths")
        return self

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Check a decoded JSON object.

        Raises:
            CheckpointError: it is not what `probes.json` holds.
        """
        check_keys(data, cls)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            faults = describe_faults(error)
            raise CheckpointError("; ".join(faults[:3])[:1000]) from error

    @classmethod
    def measure(
        cls, network: Network, tokenizer: Tokenizer, sentences: Sequence[str] = PROBE_SENTENCES
    ) -> Self:
        """Run sentences through a network, each alone, in evaluation mode.

        Raises:
            CheckpointError: a result is not finite, or there are too many sentences or too long
                ones.
        """
        # A twin: the network may be in the middle of its training.
        network = network.with_tensors(network.config, {}).eval()
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
        return cls.parse(
            {
                "sentences": tuple(sentences),
                "embeddings": tuple(_numbers(row) for row in embeddings),
                "logits": {
                    name: tuple(_numbers(row) for row in rows)
                    for name, rows in by_task.items()
                    if kinds[name] is not TaskKind.TOKEN
                },
                "token_logits": {
                    name: tuple(tuple(_numbers(token) for token in row) for row in rows)
                    for name, rows in by_task.items()
                    if kinds[name] is TaskKind.TOKEN
                },
            }
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
