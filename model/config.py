"""The description of a model: what `twinhead.json` holds."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from .errors import ConfigError

# Task names become column names, tensor names and metric labels.
TaskName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class TaskKind(StrEnum):
    """What a task predicts, and how its logits, divided by its temperature, are read."""

    SINGLE_LABEL = "single_label"
    """Exactly one label a sentence: softmax."""
    BINARY = "binary"
    """Yes or no: the sigmoid of one logit. The second of its two labels is "yes"."""
    MULTI_LABEL = "multi_label"
    """Any number of labels a sentence: sigmoids."""
    TOKEN = "token"  # noqa: S105 (no password)
    """One label a token: softmax. The labels are IOB2 tags."""


class Pooling(StrEnum):
    """How token vectors become one vector a sentence."""

    MEAN = "mean"
    """The mean over all tokens, padding excluded."""
    CLS = "cls"
    """The first token."""
    CLS_MEAN = "cls_mean"
    """Both: a head learns how to combine them, an embedding is their average."""
    MAX = "max"
    """The largest value of each dimension, padding excluded."""


class Activation(StrEnum):
    """What follows the hidden layer of an MLP head."""

    RELU = "relu"
    GELU = "gelu"
    TANH = "tanh"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LinearHead(_Frozen):
    """A linear layer."""

    kind: Literal["linear"] = "linear"
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Of the input, in training.")


class MlpHead(_Frozen):
    """A hidden layer and a linear one."""

    kind: Literal["mlp"] = "mlp"
    hidden_size: int | None = Field(
        default=None, ge=1, le=65_536, description="Width of the hidden layer; none: the encoder's."
    )
    activation: Activation = Field(default=Activation.GELU, description="Of the hidden layer.")
    dropout: float = Field(
        default=0.1, ge=0, lt=1, description="Of the input and the hidden layer, in training."
    )
    layer_norm: bool = Field(default=False, description="Normalise the hidden layer.")
    residual: bool = Field(
        default=False, description="Add the input to the hidden layer; needs the same width."
    )


HeadConfig = Annotated[LinearHead | MlpHead, Field(discriminator="kind")]


T = TypeVar("T")


def _unique(items: tuple[T, ...], names: Sequence[str]) -> tuple[T, ...]:
    # A check of the field, not of the whole model: it runs although other fields have faults.
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{repeated[0]!r} stands there twice")
    return items


class TaskConfig(_Frozen):
    """One task of a model."""

    name: TaskName = Field(description="Name of the task, unique in the model.")
    kind: TaskKind = Field(default=TaskKind.SINGLE_LABEL, description="What the task predicts.")
    labels: tuple[LabelName, ...] = Field(
        min_length=1, max_length=10_000, description="Label names, in the order of the logits."
    )
    pooling: Pooling = Field(
        default=Pooling.MEAN, description="What the head reads; of no effect for a token task."
    )
    normalize: bool = Field(default=False, description="Scale what the head reads to unit length.")
    head: HeadConfig = Field(default=LinearHead(), description="Architecture of the head.")
    thresholds: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        default=(),
        description="From which probability on a label is given: one for a binary task, one for "
        "each label of a multi-label task. None: 0.5.",
    )
    # The lower bound: in the contract it is a float32, where far less would be 0, and logits that
    # were divided by it would not be finite.
    temperature: float = Field(
        default=1.0,
        ge=1e-6,
        le=100,
        description="Divides the logits before softmax or sigmoid, so that scores are honest "
        "probabilities; fitted on validation rows by the trainer. Thresholds apply to these "
        "scores. Logits are answered as they are. 1: not calibrated.",
    )

    # Checks of single fields, not of the whole task: the faults of all fields are told together.
    @field_validator("labels")
    @classmethod
    def _labels_fit(cls, labels: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        kind, count = info.data.get("kind"), len(labels)
        if kind is TaskKind.BINARY and count != 2:
            raise ValueError(f"a binary task has two labels (no, yes), not {count}")
        if kind in (TaskKind.SINGLE_LABEL, TaskKind.TOKEN) and count < 2:
            raise ValueError(f"a {kind} task needs two labels or more")
        return _unique(labels, labels)

    @field_validator("pooling")
    @classmethod
    def _pooling_fits(cls, pooling: Pooling, info: ValidationInfo) -> Pooling:
        if info.data.get("kind") is TaskKind.TOKEN and pooling is not Pooling.MEAN:
            raise ValueError("a token task reads every token; it has no pooling")
        return pooling

    @field_validator("thresholds")
    @classmethod
    def _thresholds_fit(
        cls, thresholds: tuple[float, ...], info: ValidationInfo
    ) -> tuple[float, ...]:
        kind, labels = info.data.get("kind"), info.data.get("labels")
        if not thresholds or kind is None or labels is None:
            return thresholds
        wanted = {TaskKind.BINARY: 1, TaskKind.MULTI_LABEL: len(labels)}.get(kind, 0)
        if len(thresholds) != wanted:
            raise ValueError(f"a {kind} task has {wanted} thresholds, not {len(thresholds)}")
        return thresholds

    @property
    def logits(self) -> int:
        """Logits of one sentence, or of one token."""
        return 1 if self.kind is TaskKind.BINARY else len(self.labels)

    @property
    def effective_thresholds(self) -> tuple[float, ...]:
        """The thresholds, with the default in place; none for kinds that have none."""
        if self.kind is TaskKind.BINARY:
            return self.thresholds or (0.5,)
        if self.kind is TaskKind.MULTI_LABEL:
            return self.thresholds or (0.5,) * len(self.labels)
        return ()


class ModelConfig(_Frozen):
    """A whole model: encoder, embedding and tasks."""

    encoder: str = Field(min_length=1, description="Hugging Face name or folder of the encoder.")
    revision: str | None = Field(
        default=None,
        max_length=200,
        description="Commit or tag of an encoder that comes from the Hub.",
    )
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
