"""A recipe: everything that decides what `twinhead train` does. The descriptions are its manual."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ..model.config import LabelName, ModelConfig, TaskConfig, TaskName

SPLITS = ("train", "validation", "test")

FREEZING_RULE = r"^(all|encoder|head:[a-z][a-z0-9_]*|below:[0-9]+|top:[0-9]+)$"

FreezingRule = Annotated[str, StringConstraints(pattern=FREEZING_RULE)]


class Schedule(StrEnum):
    """How the data sets share the steps."""

    SYNCHRONOUS = "synchronous"
    """Every step has rows of every data set."""
    ALTERNATING = "alternating"
    """Every batch has rows of one data set, drawn by its share."""


class Policy(StrEnum):
    """How data sets of unequal size share an epoch."""

    PROPORTIONAL = "proportional"
    """By size: every row is seen once."""
    EQUAL = "equal"
    """The same number of rows of each: small sets are seen again until the largest is through."""
    TEMPERATURE = "temperature"
    """By size to the power of 1 / temperature: between the two (Arivazhagan et al. 2019)."""


class Weighting(StrEnum):
    """How the losses of the tasks become one."""

    SUM = "sum"
    """Plain sum."""
    ALPHA = "alpha"
    """Two tasks: alpha times the first, 1 - alpha times the second."""
    FIXED = "fixed"
    """The weights of the recipe."""
    UNCERTAINTY = "uncertainty"
    """Learned homoscedastic uncertainty (Kendall, Gal & Cipolla 2018)."""


class Decay(StrEnum):
    """How the learning rate falls after the warm-up."""

    LINEAR = "linear"
    COSINE = "cosine"
    CONSTANT = "constant"


class Precision(StrEnum):
    """Number format of the computation; weights and their updates are always float32."""

    AUTO = "auto"
    """bf16 on a GPU that has it, else fp32."""
    FP32 = "fp32"
    BF16 = "bf16"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TaskRecipe(TaskConfig):
    """A task; its labels may be left to be found in the data."""

    labels: tuple[LabelName, ...] = Field(
        default=(),
        max_length=10_000,
        description="Label names, in the order of the logits. None: those of the training rows, "
        "before `limit` and with those that are set apart; sorted; for a token task `O` first.",
    )

    @field_validator("temperature")
    @classmethod
    def _is_fitted(cls, temperature: float) -> float:
        if temperature != 1.0:  # which is what a recipe that was written down says
            raise ValueError("is fitted on validation rows, and cannot be set")
        return temperature

    @field_validator("labels")
    @classmethod
    def _labels_fit(cls, labels: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        return super()._labels_fit(labels, info) if labels else labels


class ModelRecipe(ModelConfig):
    """The model to train: an encoder with new heads, or a checkpoint to train on."""

    encoder: str = Field(
        default="", description="Hugging Face name or folder of the encoder to begin with."
    )
    checkpoint: str | None = Field(
        default=None,
        min_length=1,
        description="Checkpoint folder to begin with, in place of an encoder: its encoder, heads "
        "and settings are taken over, and no other key may stand beside it.",
    )
    tasks: tuple[TaskRecipe, ...] = Field(  # pyright: ignore[reportIncompatibleVariableOverride] (frozen)
        default=(), max_length=64, description="The task heads."
    )

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if self.checkpoint is not None:
            if others := sorted(self.model_fields_set - {"checkpoint"}):
                raise ValueError(f"{others[0]} cannot be set beside checkpoint")
        elif not self.encoder:
            raise ValueError("encoder or checkpoint must be set")
        elif not self.tasks:
            raise ValueError("no task is set: add [[model.tasks]]")
        return self


class LabelColumn(_Section):
    """Where a data set has the labels of a task."""

    column: str = Field(
        min_length=1,
        description="Column with the label; for a token task a list of tags, one for each word; "
        "for a multi-label task a list of labels, or a text that `separator` cuts (an empty one "
        "means none of the labels).",
    )
    map: Mapping[str, str] = Field(
        default={},
        description="Values of the column to label names; values that are not in it stay as they "
        "are. To the empty name: the row has no label of this task. For a token task, tags or "
        "types of entities.",
    )
    separator: str = Field(
        default="|", min_length=1, description="Between the labels of a multi-label text."
    )
    choices: tuple[str, ...] = Field(
        default=(),
        description="Labels that could be given to these rows, where they are not all of a "
        "single-label task: loss and figures of these rows are among them alone, so that a set "
        "without neutral rows does not teach that nothing is neutral.",
    )

    @field_validator("choices")
    @classmethod
    def _are_several(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        if choices and (len(set(choices)) < len(choices) or len(choices) == 1):
            raise ValueError("must be two labels or more, each once")
        return choices

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: Any) -> Any:
        return {"column": data} if isinstance(data, str) else data


Files = tuple[Annotated[str, StringConstraints(min_length=1)], ...]


class DataRecipe(_Section):
    """One data set: rows with the labels of one task or of several."""

    name: TaskName = Field(description="Name of the data set, unique in the recipe.")
    train: Files = Field(
        default=(), description="JSONL, CSV or Parquet files (also gzipped); one or a list."
    )
    validation: Files = Field(
        default=(),
        description="Files to choose the best weights with. None: a share of the training rows.",
    )
    test: Files = Field(default=(), description="Files that are only measured, in the end.")
    hub: str | None = Field(
        default=None,
        min_length=1,
        description="Data set of the Hugging Face Hub in place of files: `name` or `name:config`; "
        "train, validation and test then name its splits.",
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Commit, tag or branch of the data set of the Hub. None: the newest.",
    )
    about: str = Field(
        default="",
        max_length=2000,
        description="Where the rows are from and on what terms, for the model card.",
    )
    text: str = Field(
        default="text", min_length=1, description="Column with the text. Not needed beside `words`."
    )
    words: str | None = Field(
        default=None,
        min_length=1,
        description="Column with the words that the tags of a token task stand for: a list, or a "
        "text cut at spaces. They are joined by spaces, whatever `text` holds.",
    )
    tasks: Mapping[TaskName, LabelColumn] = Field(
        min_length=1, description="Task names to the columns with their labels."
    )
    limit: int | None = Field(
        default=None, ge=1, description="Only so many training rows, drawn by the seed."
    )
    validation_share: float = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="About this share of the texts is set apart to validate with when there are no "
        "files for it; drawn by the seed. Rows of the same text stay on one side, also when they "
        "are of several data sets with the same share.",
    )

    @field_validator("train", "validation", "test", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        if not self.train:
            raise ValueError("train must be set")
        return self

    @model_validator(mode="after")
    def _revision_is_of_the_hub(self) -> Self:
        if self.revision is not None and self.hub is None:
            raise ValueError("revision is read only beside hub; files have none")
        return self


class SamplingRecipe(_Section):
    """What a step is made of."""

    schedule: Schedule = Field(
        default=Schedule.SYNCHRONOUS,
        description="synchronous: rows of every data set in each batch; alternating: of one.",
    )
    policy: Policy = Field(
        default=Policy.PROPORTIONAL,
        description="Shares of data sets of unequal size: proportional, equal or temperature.",
    )
    temperature: float = Field(
        default=2.0, ge=1, le=100, description="1 is proportional, a large number nearly equal."
    )
    batch_size: int = Field(
        default=32, ge=1, le=65_536, description="Rows of one batch, of all data sets together."
    )
    accumulate: int = Field(
        default=1, ge=1, le=1024, description="Batches whose gradients make one step."
    )


# Told apart by the type: else one fault would be told twice, once of each.
ClassWeights = Annotated[
    Annotated[Literal["balanced"], Tag("balanced")]
    | Annotated[Mapping[str, Annotated[float, Field(gt=0, le=1e6)]], Tag("by_label")],
    Discriminator(lambda value: "balanced" if isinstance(value, str) else "by_label"),
]


class LossRecipe(_Section):
    """The loss of each task, and how they become one."""

    weighting: Weighting = Field(
        default=Weighting.SUM, description="sum, alpha, fixed or uncertainty."
    )
    alpha: float = Field(default=0.5, ge=0, le=1, description="Weight of the first of two tasks.")
    weights: Mapping[TaskName, Annotated[float, Field(ge=0, le=1e6)]] = Field(
        default={}, description="With weighting = fixed: task names to weights; others have 1."
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Of single-label and token tasks."
    )
    class_weights: Mapping[TaskName, ClassWeights] = Field(
        default={},
        description="Task names to `balanced` (each label counts as much as any other) or to "
        "weights by label; labels that are not named have 1.",
    )
    keep_embeddings: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="Weight of a loss that keeps the embeddings where they were before training, "
        "so that they stay good for search: the mean of 1 - cosine over the rows of a step. 0: "
        "none.",
    )


class Stage(_Section):
    """A later state of gradual unfreezing (Howard & Ruder 2018)."""

    freeze: tuple[FreezingRule, ...] = Field(description="What is frozen from then on.")
    epoch: int | None = Field(
        default=None,
        ge=1,
        description="Begins after so many epochs, fewer than there are. None: when validation "
        "stalls; no later stage may then have an epoch.",
    )


class FreezingRecipe(_Section):
    """What is not trained."""

    freeze: tuple[FreezingRule, ...] = Field(
        default=(),
        description="all; encoder; head:<task>; below:<n>: embeddings and the n lowest layers; "
        "top:<n>: all of the encoder but the n highest layers.",
    )
    stages: tuple[Stage, ...] = Field(
        default=(), max_length=64, description="Later states, in their order."
    )
    stalled_after: int = Field(
        default=1, ge=1, description="Validations without a better score that make a stall."
    )
    cache: bool = Field(
        default=True,
        description="Compute what is below the lowest trained layer once and keep it on disk.",
    )
    cache_gigabytes: float = Field(
        default=20.0, gt=0, description="Disk for it; rows that do not fit are computed each time."
    )

    @property
    def rules(self) -> tuple[tuple[FreezingRule, ...], ...]:
        """What is frozen at first, and in each later stage."""
        return (self.freeze, *(stage.freeze for stage in self.stages))

    @field_validator("stages")
    @classmethod
    def _stages_are_in_order(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        epochs = [stage.epoch for stage in stages if stage.epoch is not None]
        if epochs != sorted(set(epochs)):
            raise ValueError("the stages are not in the order of their epochs")
        return stages


class TrainingRecipe(_Section):
    """The optimisation."""

    epochs: int = Field(default=3, ge=1, le=10_000, description="Passes over the training rows.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Decides all that is drawn.")
    learning_rate: float = Field(
        default=5e-5, gt=0, le=1, description="Of the encoder's highest layer."
    )
    head_learning_rate: float = Field(default=1e-3, gt=0, le=1, description="Of the heads.")
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Each layer has the learning rate of the one above times this.",
    )
    weight_decay: float = Field(
        default=0.01, ge=0, le=1, description="Of AdamW; never of norms and biases."
    )
    warmup: float = Field(
        default=0.1, ge=0, le=1, description="Share of the steps in which the rate rises."
    )
    decay: Decay = Field(default=Decay.LINEAR, description="After it: linear, cosine, constant.")
    dropout: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Of the encoder's layers, in training. None: as the encoder has it. 0 saves a "
        "fifth of the time on a CPU.",
    )
    clip_norm: float = Field(
        default=1.0, ge=0, description="Largest norm of the gradients; 0 does not clip."
    )
    precision: Precision = Field(default=Precision.AUTO, description="auto, fp32 or bf16.")
    validate_every: int | None = Field(
        default=None, ge=1, description="Steps between validations. None: an epoch."
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Stop after so many validations without a better score, once no stage of "
        "unfreezing is left. None: never.",
    )
    select: str = Field(
        default="mean",
        description="What the best weights are best at, on validation: `mean` of the tasks' main "
        "figures (accuracy, or F1 for token and multi-label tasks), or the name of one task.",
    )
    round_weights: bool = Field(
        default=False,
        description="Round what was trained to half precision in the end, but for tensors where "
        "that changes an answer for the validation rows: in a --delta it takes half the room.",
    )
    save_minutes: float = Field(
        default=5.0, ge=0, description="Minutes between saves of the state that --resume needs."
    )


class Recipe(_Section):
    """A whole recipe."""

    limitations: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description="Sentences for the model card: what is known against the model beside what "
        "is measured.",
    )
    model: ModelRecipe = Field(description="Encoder, pooling and heads.")
    data: tuple[DataRecipe, ...] = Field(min_length=1, max_length=256, description="The data sets.")
    sampling: SamplingRecipe = Field(default=SamplingRecipe(), description="What a step is.")
    loss: LossRecipe = Field(default=LossRecipe(), description="The losses.")
    freezing: FreezingRecipe = Field(default=FreezingRecipe(), description="What is not trained.")
    training: TrainingRecipe = Field(default=TrainingRecipe(), description="The optimisation.")
