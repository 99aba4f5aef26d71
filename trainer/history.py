"""What happened in a run, step by step: one JSON object a line, so that a kill loses none."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StepRecord:
    """The mean of the steps since the record before."""

    step: int
    """Steps done."""
    epoch: float
    """Epochs done."""
    loss: float
    """Weighted sum of the losses."""
    losses: Mapping[str, float]
    """Mean loss of each task that had rows, not weighted."""
    weights: Mapping[str, float]
    """Weight of each of these losses."""
    learning_rate: float
    """Of the encoder's highest layer."""
    rows_per_second: float


@dataclass(frozen=True)
class ValidationRecord:
    """One look at the validation rows."""

    step: int
    epoch: float
    seconds: float
    """Since the training began, validation included; earlier parts of a resumed run count."""
    score: float
    """What the best weights are chosen by."""
    best: bool
    """Whether it is the best so far."""
    figures: Mapping[str, Mapping[str, float]]
    """Task name to its figures, such as `accuracy`, `macro_f1` and `loss`."""


@dataclass(frozen=True)
class Part:
    """One part of the network."""

    name: str
    """Such as `embeddings`, `layer 3`, `head topic`."""
    parameters: int
    trained: bool


@dataclass(frozen=True)
class StageRecord:
    """What is frozen from here on."""

    step: int
    epoch: float
    reason: str
    """Such as `start`, `epoch 2`, `validation stalled`."""
    rules: tuple[str, ...]
    """As in the recipe."""
    parts: tuple[Part, ...]
    """All parts, from the embeddings up: the same ones in the same order in each stage of a run."""


Record = StepRecord | ValidationRecord | StageRecord
_KINDS: dict[str, type[Any]] = {
    "step": StepRecord,
    "validation": ValidationRecord,
    "stage": StageRecord,
}


@dataclass
class History:
    """All records of a run, in memory and in a file."""

    file: Path | None = None
    """Where records are appended; None keeps them in memory only."""
    steps: list[StepRecord] = field(default_factory=list[StepRecord])
    validations: list[ValidationRecord] = field(default_factory=list[ValidationRecord])
    stages: list[StageRecord] = field(default_factory=list[StageRecord])

    def add(self, record: Record) -> None:
        """Keep a record, and write it down."""
        self._keep(record)
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(_line_of(record))

    @classmethod
    def read(cls, file: Path, until_step: int, stages: int) -> "History":
        """The records of a run as they were when it was saved; what came later is dropped.

        Args:
            file: the records; is written anew, without the later ones.
            until_step: steps that were done.
            stages: stages that had begun; the next may begin at this very step.
        """
        history = cls()
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    data = json.loads(line)
                except ValueError:  # the line that a kill cut off
                    break
                kind = _KINDS[data.pop("record")]
                if kind is StageRecord:
                    data["parts"] = tuple(Part(**part) for part in data["parts"])
                    data["rules"] = tuple(data["rules"])
                if data["step"] <= until_step:
                    history._keep(kind(**data))
        del history.stages[stages:]
        file.write_text("".join(_line_of(record) for record in history._in_order()), "utf-8")
        history.file = file
        return history

    def _keep(self, record: Record) -> None:
        match record:
            case StepRecord():
                self.steps.append(record)
            case ValidationRecord():
                self.validations.append(record)
            case StageRecord():
                self.stages.append(record)

    def _in_order(self) -> list[Record]:
        # Within a step: it is done, then validated, and then the next stage begins.
        order = [StepRecord, ValidationRecord, StageRecord]
        records: list[Record] = [*self.steps, *self.validations, *self.stages]
        return sorted(records, key=lambda record: (record.step, order.index(type(record))))


def _line_of(record: Record) -> str:
    kind = next(name for name, known in _KINDS.items() if known is type(record))
    return json.dumps({"record": kind, **asdict(record)}) + "\n"  # ASCII: cut anywhere, it decodes
