"""What a labelling run did: counts as they grow, and the table at its end."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..results import TaskInfo


class LabelSummary:
    """Counts over a run."""

    def __init__(self, tasks: Sequence[TaskInfo], prefix: str = "") -> None:
        """Begin; `prefix` stands before the names of the new columns."""
        self._tasks = tasks
        self._prefix = prefix
        self.rows = 0
        self.failed: Counter[str] = Counter()
        """Rows without an answer, by reason."""
        self.before = 0
        """Rows whose answers an earlier run had; rows a second are those of the others."""
        self.truncated = 0
        self.versions: Counter[str] = Counter()
        """Rows by the version that answered."""
        self.labels: dict[str, Counter[str]] = {task.name: Counter() for task in tasks}
        self._scores = {task.name: defaultdict[str, float](float) for task in tasks}
        self._started = time.monotonic()

    @property
    def labelled(self) -> int:
        """Rows with an answer."""
        return self.rows - self.failed.total()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def add(self, columns: Mapping[str, pa.Array], reasons: pa.Array) -> None:
        """Count rows.

        Args:
            columns: the new columns as `LabelColumns` names them.
            reasons: for each row why it has no answer; null where it has one.
        """
        self.rows += len(reasons)
        self.failed.update(_counts(reasons))
        self.versions.update(_counts(columns[self._prefix + "model_version"]))
        truncated = columns[self._prefix + "truncated"]
        self.truncated += truncated.true_count
        for task in self._tasks:
            labels, scores = _given(task, self._prefix, columns)
            encoded = labels.dictionary_encode()
            indices = encoded.indices.to_numpy()
            names = encoded.dictionary.to_pylist()
            counts = np.bincount(indices, minlength=len(names)).tolist()
            sums = np.bincount(indices, scores, minlength=len(names)).tolist()
            for name, count, total in zip(names, counts, sums, strict=True):
                self.labels[task.name][name] += count
                self._scores[task.name][name] += total

    def render(self, destination: str) -> RenderableType:
        """The table at the end of a run."""
        head = Text()
        head.append(f"{self.rows:,} rows", style="bold")
        rate = (self.rows - self.before) / max(self.seconds, 1e-9)
        before = f", {self.before:,} answered by an earlier run" if self.before else ""
        head.append(
            f" in {self.seconds:.1f} s ({rate:,.0f} rows/s{before}) written to {destination}"
        )
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
                    "" if index else Text(task),
                    Text(label),
                    f"{count:,}",
                    f"{count / counts.total():.1%}",
                    f"{self._scores[task][label] / count:.2f}",
                    end_section=index == len(counts) - 1,
                )
        return table


def _counts(column: pa.Array) -> dict[str, int]:
    found = column.drop_null().value_counts()
    return dict(
        zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True)
    )


def _given(
    task: TaskInfo, prefix: str, columns: Mapping[str, pa.Array]
) -> tuple[pa.Array, NDArray[np.float32]]:
    """Each label that was given, and its score."""
    column = columns[prefix + task.name]
    match task.kind:
        case "single_label":
            scores = columns[f"{prefix}{task.name}_score"]
        case "binary":
            yes = columns[f"{prefix}{task.name}_probability"].drop_null().to_numpy()
            labels = column.drop_null()
            given = labels.to_numpy(zero_copy_only=False) == task.label_names[1]
            return labels, np.where(given, yes, 1 - yes)
        case "multi_label":
            column, scores = column.flatten(), columns[f"{prefix}{task.name}_scores"].flatten()
        case _:
            entities = column.flatten()
            column, scores = entities.field("label"), entities.field("score")
    return column.drop_null(), scores.drop_null().to_numpy()
