"""`twinhead evaluate` in a process of its own."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from evaluated import NO_WORDS, checkpoint

SENTENCES = (
    ("The keeper saved a late penalty and the home crowd sang.", "Sports", "great"),
    ("Shares in the ferry company fell after a weak forecast.", "Business", "bad"),
    ("The minister left the summit by helicopter.", "World", "unclear"),
    ("A probe has sent its first pictures of the icy moon.", "Sci/Tech", "great"),
    ("What a dreadful hotel: cold soup and a rude porter.", "", "bad"),
)
MAPS = ("--map", "sentiment:great=positive", "--map", "bad=negative", "--map", "unclear=")
COLUMNS = ("--text", "body", "--task", "topic=topic", "--task", "sentiment=mood")


@pytest.fixture
def folder(tmp_path) -> Path:
    rows = [{"body": text, "topic": topic, "mood": mood} for text, topic, mood in SENTENCES]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def evaluate(run_twinhead) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return run_twinhead("evaluate", *arguments)

    return run


def test_a_checkpoint_and_a_worker_have_the_same_figures(folder, evaluate, starter_worker):
    local = evaluate("starter", "rows.jsonl", *COLUMNS, *MAPS, "--json", "local.json")
    assert (local.returncode, local.stderr) == (0, "")
    head, _, columns, *lines = local.stdout.splitlines()
    assert head.startswith("starter, version ")
    assert head.endswith(", 5 rows")
    assert columns.split()[:3] == ["task", "data", "rows"]
    assert [line.split()[:3] for line in lines] == [
        ["sentiment", "rows.jsonl", "4"],
        ["topic", "rows.jsonl", "4"],
    ]
    served = evaluate(
        "--worker", starter_worker.target, "rows.jsonl", *COLUMNS, *MAPS, "--json", "-"
    )
    assert served.returncode == 0
    assert served.stderr.splitlines()[2:] == local.stdout.splitlines()[2:]

    here, there = json.loads((folder / "local.json").read_text()), json.loads(served.stdout)
    assert here["model_version"] == there["model_version"]
    assert (here["model"], there["model"]) == ("starter", starter_worker.target)
    for one, other in zip(here["evaluations"], there["evaluations"], strict=True):
        assert one["task"] == other["task"]
        assert one["figures"] == pytest.approx(other["figures"], abs=1e-6)
        assert one["confusion"] == other["confusion"]


def test_a_recipe_details_and_rows_without_answer(folder, evaluate):
    checkpoint(folder).save(folder / "saved")
    words = [["Ann", "run"], ["the", "bay"], [NO_WORDS]]
    tags = [["B-PER", "O"], ["O", "B-LOC"], ["O"]]
    for name, chosen in (("train", slice(2)), ("validation", slice(2)), ("test", slice(3))):
        (folder / f"{name}.jsonl").write_text(
            "".join(
                json.dumps({"words": each, "tags": of}) + "\n"
                for each, of in zip(words[chosen], tags[chosen], strict=True)
            )
        )
    (folder / "names.toml").write_text(
        '[model]\nencoder = "encoder"\n[[model.tasks]]\nname = "names"\nkind = "token"\n'
        '[[data]]\nname = "news"\ntrain = "train.jsonl"\nvalidation = "validation.jsonl"\n'
        'test = "test.jsonl"\nwords = "words"\ntasks = { names = "tags" }\n'
    )
    done = evaluate("saved", "names.toml", "--details")
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines() == [
        "1 row has no answer, and no part in the figures:",
        "  nothing of the sentence can be read by the model (control characters only?): "
        "test.jsonl:3",
    ]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[1] for line in lines if line[:1] == ["names"] and len(line) > 3] == [
        "validation",
        "test",
    ]
    assert [line[0] for line in lines if line[:1] in (["PER"], ["LOC"]) and len(line) == 5] == [
        "PER",
        "LOC",
    ] * 2
    only = evaluate("saved", "names.toml", "--split", "train")
    assert only.returncode == 0, only.stderr
    assert "seen" in only.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rows.jsonl",), "CHECKPOINT and DATA, or --worker and DATA are needed; 1 arguments"),
        (("--worker", "localhost:1", "starter", "rows.jsonl"), "--worker and DATA are needed"),
        (("starter", "rows.jsonl", "--split", "test"), "--split is for recipes"),
        (("starter", "minilm_synchronous", "--task", "a=b"), "--task is for files"),
        (("starter", "rows.jsonl", "--task", "topic"), "'topic' is not of the form NAME=COLUMN"),
    ],
)
def test_wrong_usage(folder, evaluate, arguments, message):
    done = evaluate(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "rows.jsonl"), "nowhere"),
        (("--worker", "localhost:1", "rows.jsonl"), "no worker answers at localhost:1"),
        (("starter", "rows.jsonl"), "rows.jsonl has no column 'text'; it has body, topic, mood"),
        (
            ("starter", "rows.jsonl", "--text", "body", "--task", "sentiment=mood"),
            "rows.jsonl:1: sentiment has no label 'great'; it has negative, neutral, positive",
        ),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(folder, evaluate, arguments, message):
    done = evaluate(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
