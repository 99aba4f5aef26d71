"""Figures on a terminal."""

import io

import pytest
from rich.console import Console
from small_summary import make_summary
from twinhead.trainer.figures_table import figures_table, main_figures


def shown(evaluations, width=80):
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(figures_table(evaluations))
    return stream.getvalue()


def test_a_row_for_each_evaluation():
    evaluations = make_summary().evaluations
    # On any width; narrower, a column of every kind's figures would be cut.
    lines = shown(evaluations, 200).splitlines()
    heading = "task data rows accuracy exact micro F1 precision recall F1 macro F1 ECE"
    assert " ".join(lines[0].split()) == heading
    assert len(lines) == 1 + len(evaluations)
    assert [line.split()[0] for line in lines[1::9]] == ["entities", "flags", "topic", "urgent"]
    topic = next(one for one in evaluations if (one.metrics.task, one.split) == ("topic", "train"))
    figures = [topic.metrics.figures[name] for name in ("accuracy", "macro_f1", "ece")]
    assert lines[19].split() == ["topic", "seen", "600", *(f"{one:.4f}" for one in figures)]
    assert lines[20].startswith(f"topic{' ' * 5}  reviews")


def test_figures_of_one_kind_fit_a_terminal():
    evaluations = [one for one in make_summary().evaluations if one.metrics.task == "topic"]
    table = shown(evaluations)
    assert "…" not in table
    assert len(table.splitlines()) == 1 + len(evaluations)
    assert "exact" not in table


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        ({"loss": 1, "accuracy": 0.5, "macro_f1": 0.25}, "accuracy 0.5000, macro F1 0.2500"),
        ({"exact_match": 0.5, "micro_f1": 0.1, "macro_f1": 0.2}, "macro F1 0.2000, exact 0.5000"),
        ({"accuracy": 0.9, "f1": 0.5, "macro_f1": 0.2}, "F1 0.5000, macro F1 0.2000"),
    ],
)
def test_the_main_figures(figures, text):
    assert main_figures(figures) == text
