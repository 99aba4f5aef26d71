"""Summaries of runs that never were, for the tests of report, plots and model card."""

from dataclasses import replace

import numpy as np
from twinhead.model.config import ModelConfig
from twinhead.trainer.history import History, Part, StageRecord, StepRecord, ValidationRecord
from twinhead.trainer.metrics import measure
from twinhead.trainer.recipe import Recipe
from twinhead.trainer.run_summary import DataSummary, Evaluation, Mistake, RunSummary
from twinhead.trainer.token_metrics import measure_tokens

SCRIPT = "<script>alert(1)</script>"
# Label names that mean something to HTML, Markdown, TeX, SVG or a terminal.
TOPICS = ("Sports", "a|b", SCRIPT, "__init__ `x`", "$5 & more\nlines", '"> <b onload=x>', "日本 🏅")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
STEPS = 240
TEMPERATURES = {"topic": 1.37, "urgent": 1.0, "flags": 0.8, "entities": 0.6}
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


def metrics_of(task, rows, sharpness, seed, temperature=1.0):
    """Real figures of made-up logits, which are the same for the same seed."""
    random = np.random.default_rng(seed)
    if task.kind == "token":
        targets = [random.integers(0, len(task.labels), 12) for _ in range(rows)]
        noise = [random.normal(size=(12, task.logits)) for _ in range(rows)]
        eye = np.eye(task.logits)
        return measure_tokens(
            task,
            [one + sharpness * eye[each] for one, each in zip(noise, targets, strict=True)],
            targets,
            temperature=temperature,
        )
    if task.kind == "single_label":
        # A power of it makes the first labels frequent and the last ones rare.
        targets = (random.random(rows) ** 2 * len(task.labels)).astype(np.int64)
        truth = np.eye(task.logits)[targets]
    else:
        shape = (rows,) if task.kind == "binary" else (rows, task.logits)
        targets = random.integers(0, 2, shape)
        truth = targets.reshape(rows, -1) - 0.5
    logits = random.normal(size=truth.shape) + sharpness * truth
    return measure(task, logits, targets, temperature=temperature)


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
                    "f1" if name == "entities" else "accuracy": 0.9 - fall / 2,
                    "macro_f1": 0.85 - fall / 2,
                    "loss": float(fall + 0.3),
                }
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
    evaluations, uncalibrated, seed = [], {}, 0
    for task in config.tasks:
        for split, rows, sharpness in (
            ("train", 600, 5),
            ("validation", 300, 3),
            ("test", 200, 2.8),
        ):
            for dataset in (None, "reviews", "news"):
                size = rows if dataset is None else rows // 2
                temperature = TEMPERATURES[task.name]
                found = metrics_of(task, size, sharpness, seed, temperature)
                evaluations.append(Evaluation(split, dataset, found))
                if split == "validation" and dataset is None:
                    uncalibrated[task.name] = metrics_of(task, size, sharpness, seed)
                seed += 1
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
        temperatures=TEMPERATURES,
        uncalibrated=uncalibrated,
        best_step=160,
        seconds=754.2,
        cache="The frozen part was computed once for 2,820 rows (0.4 GB) and read 3 times.",
        kept_embeddings=0.987,
        rounded=("embeddings", "layer 0"),
        environment={"twinhead": "0.1.0", "torch": "2.13", "device": "cpu <&>"},
    )


def evaluation_of(summary, split, task):
    """The evaluation of one task on a split's rows of all data sets."""
    (found,) = [
        one
        for one in summary.evaluations
        if (one.split, one.dataset, one.metrics.task) == (split, None, task)
    ]
    return found


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
        uncalibrated={},
        cache="",
        kept_embeddings=None,
        rounded=(),
        environment={},
    )
