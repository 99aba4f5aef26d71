"""How report and model card say what a run's summary holds."""

import math
from collections.abc import Iterator, Sequence

from .recipe import Weighting
from .run_summary import DataSummary, RunSummary
from .summary_figures import in_order

SPLIT_TITLES = {
    "train": "training sample (seen)",
    "validation": "validation (unseen)",
    "test": "test (unseen)",
}
_FIGURE_TITLES = {
    "f1": "F1",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "weighted_f1": "weighted F1",
    "roc_auc": "ROC AUC",
    "ece": "ECE",
}


def figure_title(name: str) -> str:
    """A figure's name for people."""
    return _FIGURE_TITLES.get(name, name.replace("_", " "))


def figure_text(value: float | None) -> str:
    """Three decimals, or a dash for what is not there or not finite."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"


def short_count(count: int) -> str:
    """Such as 512, 1.2 k or 22.7 M."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return str(count)


def weighting_text(summary: RunSummary) -> str:
    """How the losses became one."""
    loss, tasks = summary.recipe.loss, [task.name for task in summary.config.tasks]
    match loss.weighting:
        case Weighting.SUM:
            return "plain sum"
        case Weighting.ALPHA:
            return f"{loss.alpha:g} · {tasks[0]} + {1 - loss.alpha:g} · {tasks[-1]}"
        case Weighting.FIXED:
            listed = ", ".join(f"{name} {loss.weights.get(name, 1.0):g}" for name in tasks)
            return f"fixed weights ({listed})"
        case Weighting.UNCERTAINTY:
            return "learned uncertainty (Kendall, Gal & Cipolla 2018)"


def data_warnings(data: Sequence[DataSummary]) -> Iterator[str]:
    """A sentence for each split with leaks or conflicts."""
    for one in in_order(data):
        place = f"{one.dataset}, {one.split}"
        if one.leaks:
            among = "training or validation rows" if one.split == "test" else "training rows"
            yield (
                f"{place}: {_of_rows(one.leaks, one.rows)} a text that is among the {among}, "
                "too. Figures on these rows look better than they are."
            )
        if one.conflicts:
            yield (
                f"{place}: {_of_rows(one.conflicts, one.rows)} the text of an earlier row and "
                "another label. At least one of the two labels is wrong."
            )


def _of_rows(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} rows {'has' if count == 1 else 'have'}"
