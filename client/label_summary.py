"""What a labelling run did: counts as they grow, and the table at its end."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .results import (
    BinaryAnswer,
    InferResult,
    MultiLabelAnswer,
    SingleLabelAnswer,
    TaskAnswer,
    TokenAnswer,
)


class LabelSummary:
    """Counts over a run."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.rows = 0
        self.failed: Counter[str] = Counter()
        """Rows without an answer, by reason."""
        self.truncated = 0
        self.versions: Counter[str] = Counter()
        """Rows by the version that answered."""
        self.labels: dict[str, Counter[str]] = {task: Counter() for task in tasks}
        self._scores = {task: defaultdict[str, float](float) for task in tasks}
        self._started = time.monotonic()

    @property
    def labelled(self) -> int:
        """Rows with an answer."""
        return self.rows - self.failed.total()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def add(self, result: InferResult) -> None:
        """Count an answer."""
        self.rows += len(result)
        self.versions[result.model_version] += len(result)
        self.truncated += sum(status.truncated for status in result.statuses)
        self.failed.update(
            status.code.replace("_", " ") for status in result.statuses if not status.ok
        )
        for task, counts in self.labels.items():
            for label, score in _labels(result.tasks[task]):
                counts[label] += 1
                self._scores[task][label] += score

    def add_failure(self, rows: int, reason: str) -> None:
        """Count a batch without an answer."""
        self.rows += rows
        self.failed[reason] += rows

    def render(self, destination: str) -> RenderableType:
        """The table at the end of a run."""
        head = Text()
        head.append(f"{self.rows:,} rows", style="bold")
        rate = self.rows / max(self.seconds, 1e-9)
        head.append(f" in {self.seconds:.1f} s ({rate:,.0f} rows/s) written to {destination}")
        parts: list[RenderableType] = [head]
        if self.failed:
            reasons = ", ".join(
                f"{count:,} {reason}" for reason, count in self.failed.most_common()
            )
            parts.append(
                Text(f"{self.failed.total():,} rows have no label: {reasons}", style="yellow")
            )
        if self.truncated:
            parts.append(Text(f"{self.truncated:,} rows were longer than the model reads, and cut"))
        if len(self.versions) > 1:
            parts.append(
                Text(
                    "the model changed on the way: "
                    + ", ".join(
                        f"{count:,} rows by {name}" for name, count in self.versions.items()
                    ),
                    style="yellow",
                )
            )
        if self.labels and self.labelled:
            parts.append(self._label_table())
        return Group(*parts)

    def _label_table(self) -> Table:
        table = Table(caption=f"model version {', '.join(self.versions)}", caption_justify="left")
        table.add_column("task")
        table.add_column("label")
        table.add_column("rows", justify="right")
        table.add_column("share", justify="right")
        table.add_column("mean score", justify="right")
        for task, counts in self.labels.items():
            for index, (label, count) in enumerate(counts.most_common()):
                table.add_row(
                    "" if index else task,
                    Text(label),
                    f"{count:,}",
                    f"{count / counts.total():.1%}",
                    f"{self._scores[task][label] / count:.2f}",
                    end_section=index == len(counts) - 1,
                )
        return table


def _labels(answer: TaskAnswer) -> Iterator[tuple[str, float]]:
    """Each label that was given, with its score."""
    match answer:
        case SingleLabelAnswer() | BinaryAnswer():
            for label, score in zip(answer.labels, answer.scores.tolist(), strict=True):
                if label is not None:
                    yield label, score
        case MultiLabelAnswer():
            for labels, scores in zip(answer.labels, answer.scores, strict=True):
                yield from zip(labels, scores.tolist(), strict=True)
        case TokenAnswer():
            for entities in answer.entities:
                yield from ((entity.label, entity.score) for entity in entities)
        case _:
            pass
