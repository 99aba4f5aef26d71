"""The report of a run: a page that shows what the summary tells, and nothing else."""

import re
from dataclasses import replace

import pytest
from html_page import Page
from small_summary import SCRIPT, empty_summary, evaluation_of, make_history, make_summary
from twinhead.trainer.history import History
from twinhead.trainer.recipe_text import recipe_text
from twinhead.trainer.report import write_report


def page_of(summary, tmp_path):
    write_report(summary, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return page_of(make_summary(), tmp_path_factory.mktemp("report"))


def test_the_page_asks_for_nothing_else(full):
    text, page = full
    assert not {"script", "link", "iframe", "object", "img", "base", "form"} & set(page.tags)
    asking = [
        (tag, value)
        for tag, name, value in page.attributes
        if name in ("src", "href", "xlink:href", "action", "data")
    ]
    assert asking
    assert all(value.startswith(("#", "data:image/png;base64,")) for _, value in asking)
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    assert "@import" not in text
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    policy = {name: value for tag, name, value in page.attributes if tag == "meta"}
    assert policy["content"].startswith("default-src 'none';")


def test_hostile_texts_are_text(full):
    text, page = full
    assert "<script" not in text
    assert "<b onload" not in text
    confused = {cell for table in page.tables for row in table for cell in row}
    assert {"a|b", SCRIPT, '"> <b onload=x>', "$5 & more lines", "日本 🏅"} <= confused
    assert page.texts[None].count(f"Four tasks & {SCRIPT}") == 2


def test_ids_are_unique_and_found(full):
    text, page = full
    assert len(page.ids) == len(set(page.ids))
    targets = {
        value[1:] for _, name, value in page.attributes if name.endswith("href") and value[0] == "#"
    }
    targets |= set(re.findall(r"url\(#([^)]*)\)", text))
    assert len(targets) > 20
    assert targets <= set(page.ids)


def test_every_section_is_there(full):
    _, page = full
    tasks = ["task-topic", "task-urgent", "task-flags", "task-entities"]
    wanted = ["figures", "training", "freezing", *tasks, "data", "recipe", "environment"]
    assert [one for one in page.texts if one] == wanted
    assert "12 min 34 s" in page.texts[None]
    assert "0123456789abcdef" in page.texts[None]
    assert (
        "17 of 200 rows have a text that is among the training or validation rows"
        in page.texts[None]
    )
    assert "2 of 1,620 rows have the text of an earlier row" in page.texts[None]
    assert "validation stalled" in page.texts["freezing"]
    assert "66.4 M" in page.texts["freezing"]
    assert "cpu <&>" in page.texts["environment"]
    assert "Labels do not exclude one another" in page.texts["task-flags"]
    assert "None." in page.texts["task-entities"]


def test_figures_are_those_of_the_summary(full):
    summary = make_summary()
    _, page = full
    table = next(table for table in page.tables if table[0][:3] == ["rows", "count", "accuracy"])
    assert [row[0] for row in table[1:4]] == [
        "training sample (seen)",
        "news, train",
        "reviews, train",
    ]
    shown = {row[0]: row[2] for row in table[1:]}
    for one in summary.evaluations:
        if one.metrics.task == "topic" and one.dataset is None:
            (row,) = [
                name
                for name in shown
                if name.startswith(
                    ("training", "validation", "test")[
                        ("train", "validation", "test").index(one.split)
                    ]
                )
            ]
            assert shown[row] == f"{one.metrics.figures['accuracy']:.3f}"


def test_the_confusion_matrix_has_its_numbers(full):
    _, page = full
    metrics = evaluation_of(make_summary(), "validation", "topic").metrics
    words = page.texts["task-topic"].split()
    for number in {cell for counts in metrics.confusion for cell in counts if cell > 9}:
        assert str(number) in words


def test_mistakes_are_cut(full):
    _, page = full
    (table,) = [table for table in page.tables if table[0][0] == "text"]
    assert table[1] == [
        f"{SCRIPT} secret sentence 3 very very very",
        "a|b",
        SCRIPT,
        "0.990",
        "reviews.csv:3",
    ]
    assert len(table[2][0]) <= 600
    assert table[2][0].endswith("…")


def test_the_same_run_gives_the_same_bytes(tmp_path, full):
    assert page_of(make_summary(), tmp_path)[0] == full[0]


def test_a_run_with_next_to_nothing(tmp_path):
    text, page = page_of(empty_summary(), tmp_path)
    assert "Look at the data" not in text
    assert "None were collected." in page.texts["task-topic"]
    assert "Nothing was recorded." in page.texts["freezing"]
    assert "nothing recorded" in page.texts["training"]
    bare = replace(empty_summary(), evaluations=(), history=History())
    _, page = page_of(bare, tmp_path)
    assert page.texts["task-topic"].count("Nothing was measured.") == 1
    _, page = page_of(replace(bare, config=bare.config.model_copy(update={"tasks": ()})), tmp_path)
    assert "recipe" in page.texts


def test_many_labels_and_steps_stay_small(tmp_path):
    names = tuple(f"intent {number}" for number in range(150))
    summary = make_summary(names)
    summary = replace(summary, history=make_history(["topic"], 12_000))
    text, page = page_of(summary, tmp_path)
    assert len(text) < 1_000_000
    assert "number of the label expected" in page.texts["task-topic"]
    table = next(table for table in page.tables if table[0][:2] == ["number", "label"])
    assert [row[:2] for row in table[1:]] == [[str(i + 1), name] for i, name in enumerate(names)]


def test_half_a_surrogate_pair_can_be_written(tmp_path):
    summary = make_summary(("a", "b\x00\u202e"))
    text, page = page_of(replace(summary, title="\ud83d"), tmp_path)
    assert "\x00" not in text
    assert "\u202e" not in text
    assert "b\ufffd\ufffd" in page.texts["task-topic"]


def test_calibration_is_told_before_and_after(full):
    _, page = full
    summary = make_summary()
    for task in ("topic", "flags", "entities"):
        before = summary.uncalibrated[task].figures["ece"]
        after = evaluation_of(summary, "validation", task).metrics.figures["ece"]
        assert f"{before:.3f}" != f"{after:.3f}"
        shown = page.texts[f"task-{task}"]
        assert f"Temperature {summary.temperatures[task]:.3f}, fitted" in shown
        assert f"Before temperature scaling (grey, hollow): ECE {before:.3f}." in shown
        assert f"After (blue, filled): ECE {after:.3f}." in shown
        assert {"before", "after"} <= set(shown.split())


def test_a_temperature_of_one_has_no_before(full):
    _, page = full
    shown = page.texts["task-urgent"]
    ece = evaluation_of(make_summary(), "validation", "urgent").metrics.figures["ece"]
    assert "Temperature 1: scores are as the network gives them." in shown
    assert f"ECE {ece:.3f}." in shown
    assert "Before temperature scaling" not in shown
    assert "before" not in shown.split()


def test_before_and_after_are_of_the_same_rows(tmp_path):
    # Without validation rows the details are of test rows, of which there is no before.
    summary = make_summary()
    kept = tuple(one for one in summary.evaluations if one.split != "validation")
    _, page = page_of(replace(summary, evaluations=kept), tmp_path)
    assert "All of this is about test (unseen)" in page.texts["task-topic"]
    assert "Before temperature scaling" not in page.texts["task-topic"]


def test_the_recipe_is_in_it(full):
    _, page = full
    assert recipe_text(make_summary().recipe) in page.texts["recipe"]
