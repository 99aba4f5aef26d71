"""The report of a run. `make_summary` here is what the tests of plots and model card use, too."""

import re
import tomllib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from twinhead.model.config import ModelConfig
from twinhead.trainer.history import History, Part, StageRecord, StepRecord, ValidationRecord
from twinhead.trainer.metrics import measure, measure_tokens
from twinhead.trainer.recipe import Recipe
from twinhead.trainer.report import recipe_text, top_confusions, write_report
from twinhead.trainer.run_summary import DataSummary, Evaluation, Mistake, RunSummary

SCRIPT = "<script>alert(1)</script>"
# Label names that mean something to HTML, Markdown, TeX, SVG or a terminal.
TOPICS = ("Sports", "a|b", SCRIPT, "__init__ `x`", "$5 & more\nlines", '"> <b onload=x>', "日本 🏅")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
STEPS = 240
RECIPE = {
    "model": {
        "encoder": "bert-base-uncased",
        "tasks": [
            {"name": "topic", "labels": TOPICS, "pooling": "cls_mean", "head": {"kind": "mlp"}},
            {"name": "urgent", "kind": "binary", "labels": ["no", "yes"], "thresholds": [0.4]},
            {"name": "flags", "kind": "multi_label", "labels": ["spam", "advert", "rude"]},
            {"name": "entities", "kind": "token", "labels": TAGS},
        ],
    },
    "data": [
        {
            "name": "reviews",
            "train": "/secret/place/reviews_train.jsonl",
            "test": ["/secret/place/reviews_test.jsonl"],
            "tasks": {"topic": {"column": "label", "map": {"x y": "Sports"}}, "urgent": "urgent"},
        },
        {
            "name": "news",
            "hub": "owner/news:plain",
            "train": "train",
            "words": "tokens",
            "tasks": {"entities": "tags", "topic": "topic", "flags": "flags"},
        },
    ],
    "loss": {"weighting": "uncertainty", "class_weights": {"topic": "balanced"}},
    "freezing": {"freeze": ["encoder"], "stages": [{"freeze": ["below:3"], "epoch": 1}]},
    "training": {"epochs": 3, "seed": 7},
}


def metrics_of(task, rows, sharpness, seed):
    """Real figures of made-up logits."""
    random = np.random.default_rng(seed)
    if task.kind == "token":
        targets = [random.integers(0, len(task.labels), 12) for _ in range(rows)]
        noise = [random.normal(size=(12, task.logits)) for _ in range(rows)]
        eye = np.eye(task.logits)
        return measure_tokens(
            task,
            [one + sharpness * eye[each] for one, each in zip(noise, targets, strict=True)],
            targets,
        )
    if task.kind == "single_label":
        # A power of it makes the first labels frequent and the last ones rare.
        targets = (random.random(rows) ** 2 * len(task.labels)).astype(np.int64)
        truth = np.eye(task.logits)[targets]
    else:
        shape = (rows,) if task.kind == "binary" else (rows, task.logits)
        targets = random.integers(0, 2, shape)
        truth = targets.reshape(rows, -1) - 0.5
    return measure(task, random.normal(size=truth.shape) + sharpness * truth, targets)


def make_history(tasks, steps=STEPS):
    random = np.random.default_rng(3)
    history = History()
    names = ["embeddings", *(f"layer {number}" for number in range(6))]
    for number, (step, lowest) in enumerate(((0, 7), (steps // 3, 4), (2 * steps // 3, 0))):
        parts = [
            Part(name, 23_800_000 if row == 0 else 7_100_000, row >= lowest)
            for row, name in enumerate(names)
        ]
        parts += [Part(f"head {name}", 600 * (number + 3), True) for name in tasks]
        rules = (("encoder",), ("below:3",), ())[number]
        reason = ("start", "epoch 1", "validation stalled")[number]
        history.add(StageRecord(step, 3 * step / steps, reason, rules, tuple(parts)))
    for step in range(1, steps + 1):
        fall = np.exp(-3 * step / steps)
        losses = {name: float(fall + 0.2 + random.normal() * 0.1) for name in tasks}
        weights = {name: 1 + 0.3 * index * (1 - fall) for index, name in enumerate(tasks)}
        rate = 5e-5 * min(step / 24, (steps - step) / (0.9 * steps))
        epoch = 3 * step / steps
        history.add(StepRecord(step, epoch, sum(losses.values()), losses, weights, rate, 900.0))
        if step % (steps // 12) == 0:
            figures = {
                name: {
                    "accuracy": 0.9 - fall / 2,
                    "f1": 0.9 - fall / 2,
                    "macro_f1": 0.85 - fall / 2,
                }
                | {"loss": float(fall + 0.3)}
                for name in tasks
            }
            history.add(ValidationRecord(step, epoch, float(step), 0.9 - fall / 2, True, figures))
    return history


def make_summary(topics=TOPICS):
    """A run of four tasks of all kinds, three stages and two data sets; names are hostile."""
    recipe = Recipe.model_validate(RECIPE)
    data = recipe.model.model_dump(exclude={"checkpoint"})
    data["tasks"][0]["labels"] = topics
    config = ModelConfig.model_validate(data)
    evaluations, numbers = [], iter(range(100))
    for task in config.tasks:
        for split, rows, sharpness in (
            ("train", 600, 5),
            ("validation", 300, 3),
            ("test", 200, 2.8),
        ):
            for dataset in (None, "reviews", "news"):
                size = rows if dataset is None else rows // 2
                found = metrics_of(task, size, sharpness, next(numbers))
                evaluations.append(Evaluation(split, dataset, found))
    counts = {label: 200 // (index + 1) for index, label in enumerate(topics)}
    labels = {"topic": counts, "urgent": {"no": 500, "yes": 120}, "entities": {"PER": 40}}
    mistakes = tuple(
        Mistake(
            f"reviews.csv:{line}", f"{SCRIPT} secret sentence {line} " + "very " * line, *pair, 0.99
        )
        for line, pair in ((3, ("a|b", SCRIPT)), (400, ("Sports", "日本 🏅")))
    )
    return RunSummary(
        title=f"Four tasks & {SCRIPT}",
        recipe=recipe,
        config=config,
        version="0123456789abcdef",
        history=make_history([task.name for task in config.tasks]),
        data=(
            DataSummary("reviews", "train", 1620, labels, 30, 2, 0),
            DataSummary("reviews", "test", 200, labels, 0, 0, 17),
            DataSummary("news", "train", 1200, {"topic": counts}, 0, 0, 0),
            DataSummary("news", "validation", 120, {"flags": {"spam": 4}}, 0, 0, 0),
        ),
        evaluations=tuple(evaluations),
        mistakes={"topic": mistakes, "entities": ()},
        temperatures={"topic": 1.37, "urgent": 1.0, "flags": 0.8},
        uncalibrated_ece={"topic": 0.0812, "flags": 0.031},
        best_step=160,
        seconds=754.2,
        cache="The frozen part was computed once for 2,820 rows (0.4 GB) and read 3 times.",
        environment={"twinhead": "0.1.0", "torch": "2.13", "device": "cpu <&>"},
    )


def empty_summary():
    """As little as a run can tell."""
    full = make_summary()
    task = full.config.tasks[0]
    history = History(
        validations=[ValidationRecord(1, 0.1, 1.0, 0.5, True, {"topic": {"loss": 1.0}})]
    )
    return replace(
        full,
        config=full.config.model_copy(update={"tasks": (task,)}),
        history=history,
        data=(),
        evaluations=(Evaluation("validation", None, metrics_of(task, 5, 3.0, 0)),),
        mistakes={},
        temperatures={},
        uncalibrated_ece={},
        cache="",
        environment={},
    )


class Page(HTMLParser):
    """What a page shows and asks for; fails on tags that do not close in their order."""

    VOID = ("meta", "br", "link", "img")

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.ids, self.tables = [], [], [], []
        self.rows, self.cell, self.open = [], None, []
        self.texts = {}
        self.section = None
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        if tag == "section":
            self.section = found["id"]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = ""

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None
        if tag == "table":
            self.tables.append(self.rows)
            self.rows = []

    def handle_data(self, data):
        self.texts[self.section] = self.texts.get(self.section, "") + data
        if self.cell is not None:
            self.cell += data


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
    assert "17 of 200 rows have a text that is among the training rows" in page.texts[None]
    assert "2 of 1,620 rows have the text of an earlier row" in page.texts[None]
    assert "validation stalled" in page.texts["freezing"]
    assert "66.4 M" in page.texts["freezing"]
    assert "cpu <&>" in page.texts["environment"]
    assert "ECE was 0.081 before" in page.texts["task-topic"]
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
    (metrics,) = [
        one.metrics
        for one in make_summary().evaluations
        if (one.split, one.dataset, one.metrics.task) == ("validation", None, "topic")
    ]
    worst = top_confusions(metrics)[0]
    row, column = (TOPICS.index(one) for one in (worst.expected, worst.answered))
    assert worst.count == max(metrics.confusion[a][b] for a in range(7) for b in range(7) if a != b)
    assert worst.count == metrics.confusion[row][column]
    assert worst.share == worst.count / sum(metrics.confusion[row])
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


def test_the_recipe_can_be_read_again(full):
    _, page = full
    recipe = make_summary().recipe
    shown = tomllib.loads(recipe_text(recipe))
    assert Recipe.model_validate(shown) == recipe
    assert recipe_text(recipe) in page.texts["recipe"]
    trained_on = recipe.model_copy(update={"model": type(recipe.model)(checkpoint="some/folder")})
    assert Recipe.model_validate(tomllib.loads(recipe_text(trained_on))) == trained_on
