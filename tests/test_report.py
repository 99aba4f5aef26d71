"""The report of a run: a page that shows what the summary tells, and nothing else."""

import re
from dataclasses import replace

import pytest
from browser import document_of, pixels_of, screenshot_of
from html_page import Page, check_closed
from small_summary import SCRIPT, empty_summary, evaluation_of, make_history, make_summary
from twinhead.trainer.history import History, ValidationRecord
from twinhead.trainer.recipe_text import recipe_text
from twinhead.trainer.report import write_report
from twinhead.trainer.summary_figures import baseline


def page_of(summary, tmp_path):
    write_report(summary, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def full(folder):
    return page_of(make_summary(), folder)


def test_the_page_asks_for_nothing_and_has_no_script(full):
    text, page = full
    check_closed(text, page)
    assert "script-src" not in text


def test_hostile_texts_are_text(full):
    text, page = full
    assert "<script" not in text
    assert "<b onload" not in text
    confused = {cell for table in page.tables for row in table for cell in row}
    assert {"a|b", SCRIPT, '"> <b onload=x>', "$5 & more lines", "日本 🏅"} <= confused
    assert page.texts[None].count(f"Four tasks & {SCRIPT}") == 2


def test_every_section_is_there(full):
    _, page = full
    tasks = ["task-topic", "task-urgent", "task-flags", "task-entities"]
    wanted = ["figures", "training", *tasks, "freezing", "data", "recipe", "environment"]
    assert [one for one in page.texts if one] == wanted
    head = re.sub(r"\s+", " ", page.texts[None])
    for told in (
        "12 min 34 s",
        "0123456789abcdef",
        "17 of 200 rows have a text that is among the training or validation rows",
        "2 of 1,620 rows have the text of an earlier row",
    ):
        assert told in head
    assert "validation stalled" in page.texts["freezing"]
    assert "66.4 M" in page.texts["freezing"]
    assert "cpu <&>" in page.texts["environment"]


def test_the_cards_have_the_main_figure_and_what_to_hold_it_against(full):
    text, page = full
    metrics = evaluation_of(make_summary(), "test", "topic").metrics
    card = re.search('<div class="card">.*?</ul></div>', text)[0]
    shown = Page(card).texts[None]
    assert f"{metrics.figures['accuracy']:.3f} accuracy" in shown
    assert "test (unseen)200 rows" in shown
    assert "95 % interval0." in shown
    assert f"most frequent label (the line){baseline(metrics):.3f}" in shown
    assert f"calibration error (ECE){metrics.figures['ece']:.3f}" in shown
    assert f'class="beside" x="{100 * baseline(metrics):.2f}%"' in card
    assert text.count('<div class="card">') == 4
    assert page.texts[None].count("most frequent label") == 2  # of the tasks with an accuracy


def test_a_run_that_did_not_improve_is_told(full, tmp_path):
    assert "no better than" not in full[0]
    summary = make_summary()
    first = ValidationRecord(0, 0.0, 0.0, 99.0, False, {})
    history = replace(summary.history, validations=[first, *summary.history.validations])
    assert "no better than" in page_of(replace(summary, history=history), tmp_path)[0]


def test_the_same_run_gives_the_same_bytes(tmp_path, full):
    assert page_of(make_summary(), tmp_path)[0] == full[0]


def test_a_run_with_next_to_nothing(tmp_path):
    text, page = page_of(empty_summary(), tmp_path)
    assert '<div class="alarm"' not in text
    assert "None were collected." in page.texts["task-topic"]
    assert "Nothing was recorded." in page.texts["freezing"]
    assert "Nothing was recorded." in page.texts["training"]
    bare = replace(empty_summary(), evaluations=(), history=History())
    _, page = page_of(bare, tmp_path)
    assert page.texts["task-topic"].count("Nothing was measured.") == 1
    _, page = page_of(replace(bare, config=bare.config.model_copy(update={"tasks": ()})), tmp_path)
    assert "recipe" in page.texts


def test_hostile_texts_do_nothing_in_a_browser(full, folder):
    document, state = document_of(folder / "report.html", folder)
    assert state == {}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in document
    assert "<script" not in document


def test_many_labels_and_steps_stay_small(tmp_path):
    names = tuple(f"intent {number}" for number in range(150))
    summary = make_summary(names)
    text, _ = page_of(replace(summary, history=make_history(["topic"], 12_000)), tmp_path)
    assert len(text) < 400_000


def test_half_a_surrogate_pair_can_be_written(tmp_path):
    summary = make_summary(("a", "b\x00\u202e"))
    text, page = page_of(replace(summary, title="\ud83d"), tmp_path)
    assert "\x00" not in text
    assert "\u202e" not in text
    assert "b\ufffd\ufffd" in page.texts["task-topic"]


def test_the_recipe_is_in_it(full):
    _, page = full
    assert recipe_text(make_summary().recipe) in page.texts["recipe"]


@pytest.mark.parametrize(
    ("dark", "paper", "colour"),
    [
        (False, (0xFF, 0xFF, 0xFF), (0x00, 0x72, 0xB2)),
        (True, (0x14, 0x19, 0x1E), (0x4A, 0x9F, 0xE0)),
    ],
)
def test_it_is_seen(full, folder, dark, paper, colour):
    pixels = pixels_of(screenshot_of(folder / "report.html", folder, dark=dark))
    assert tuple(pixels[2, 2]) == paper
    assert (abs(pixels - colour).max(axis=2) < 6).sum() > 1000  # the bars of the cards
