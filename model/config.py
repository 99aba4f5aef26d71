"""The description of a model: what `twinhead.json` holds."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from .errors import ConfigError

# Task names become column names, tensor names and metric labels.
TaskName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class TaskKind(StrEnum):
    """What a task predicts, and how its logits are read."""

    SINGLE_LABEL = "single_label"


class Pooling(StrEnum):
    """How token vectors become one vector a sentence."""

    MEAN = "mean"


class HeadKind(StrEnum):
    """Architecture of a task head."""

    LINEAR = "linear"


T = TypeVar("T")


def _unique(items: tuple[T, ...], names: Sequence[str]) -> tuple[T, ...]:
    # A check of the field, not of the whole model: it runs although other fields have faults.
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{repeated[0]!r} stands there twice")
    return items


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskConfig(_Frozen):
    """One task of a model."""

    name: TaskName = Field(description="Name of the task, unique in the model.")
    kind: TaskKind = Field(default=TaskKind.SINGLE_LABEL, description="What the task predicts.")
    labels: tuple[LabelName, ...] = Field(
        min_length=2, max_length=10_000, description="Label names, in the order of the logits."
    )
    pooling: Pooling = Field(default=Pooling.MEAN, description="What the head reads.")
    head: HeadKind = Field(default=HeadKind.LINEAR, description="Architecture of the head.")

    @field_validator("labels")
    @classmethod
    def _labels_are_unique(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        return _unique(labels, labels)


class ModelConfig(_Frozen):
    """A whole model: encoder, embedding and tasks."""

    encoder: str = Field(min_length=1, description="Hugging Face name or folder of the encoder.")
    max_tokens: int = Field(
        default=256,
        ge=3,
        le=8192,
        description="Tokens of a sentence that are encoded, special tokens included. "
        "More reads further into long texts and costs time in proportion.",
    )
    normalize: bool = Field(default=True, description="Scale embeddings to unit length by default.")
    embedding_pooling: Pooling = Field(default=Pooling.MEAN, description="What the embedding is.")
    tasks: tuple[TaskConfig, ...] = Field(default=(), max_length=64, description="The task heads.")

    @field_validator("tasks")
    @classmethod
    def _task_names_are_unique(cls, tasks: tuple[TaskConfig, ...]) -> tuple[TaskConfig, ...]:
        return _unique(tasks, [task.name for task in tasks])

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Check a decoded JSON object.

        Raises:
            ConfigError: naming every fault at once. Repeated names are looked for in lists whose
                items have no other fault.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ConfigError("\n".join(describe_faults(error))) from error

    def task(self, name: str) -> TaskConfig:
        """Return the task called `name`.

        Raises:
            KeyError: when there is none.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(name)


def describe_faults(error: ValidationError) -> list[str]:
    """One line a fault: the key's path and what is wrong with it."""
    lines: list[str] = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        path = ".".join(str(part) for part in fault["loc"])
        lines.append(f"{path}: {fault['msg']}" if path else fault["msg"])
    return lines
