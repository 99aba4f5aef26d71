"""The recipes that come along: each trains to the end, and its model is served."""

import json

import pytest
import trained
from conftest import ROOT
from small_encoders import write_encoder
from twinhead.client import Client
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import Pooling, TaskKind
from twinhead.server.load_model import load_model
from twinhead.trainer.read_recipe import RECIPES, read_recipe
from twinhead.trainer.recipe import Schedule, Weighting

# Families of the published encoders; the tiny ones have fewer layers, so freezing is said anew.
TINY = {
    "bert_mean_alpha": ("bert", ['freezing.freeze=["top:1"]']),
    "bert_cls_ner": ("bert", ['freezing.stages=[{freeze=["top:1"]}]', "training.epochs=6"]),
    "distilbert_alternating": (
        "distilbert",
        ['freezing.stages=[{epoch=1,freeze=["top:1"]},{epoch=2,freeze=[]}]'],
    ),
    "bert_cls_mean_binary": ("roberta", ['freezing.stages=[{epoch=2,freeze=["top:1"]}]']),
}


def test_there_are_the_published_ones_and_the_starter():
    assert {file.stem for file in RECIPES.glob("*.toml")} == {
        *TINY,
        "minilm_synchronous",
        "starter",
        "two_labels",
    }


@pytest.mark.parametrize("name", TINY)
def test_a_recipe_trains_and_serves_on_a_tiny_encoder(tmp_path, start_debug_worker, name):
    family, settings = TINY[name]
    encoder = write_encoder(tmp_path / "encoder", family)
    summary = trained.train_here(
        RECIPES / f"{name}.toml",
        tmp_path / "run",
        f"model.encoder={encoder}",
        "model.max_tokens=48",
        *settings,
    )
    checkpoint = Checkpoint.load(tmp_path / "run" / "checkpoint")
    assert checkpoint.version == summary.version
    assert all(found.metrics.rows for found in summary.evaluations if found.split == "validation")
    worker = start_debug_worker(
        load=load_model, model=str(tmp_path / "run" / "checkpoint"), device="cpu"
    )
    with Client(worker.target) as client:
        result = client.infer(["Rosa Lindqvist moved to Oslo for a new job."])
    assert set(result.tasks) == {task.name for task in checkpoint.config.tasks}


def test_the_minilm_recipe_learns_its_sentences(tmp_path):
    summary = trained.train_here(
        RECIPES / "minilm_synchronous.toml", tmp_path / "run", "training.epochs=3"
    )
    found = {
        evaluation.metrics.task: evaluation.metrics.figures["accuracy"]
        for evaluation in summary.evaluations
        if evaluation.split == "validation"
    }
    # 24 and 18 rows; chance is a quarter and a third.
    assert found["topic"] > 0.7
    assert found["sentiment"] > 0.6
    assert "embeddings and 4 layers" in summary.cache


def test_the_recipes_say_what_the_published_systems_did(tmp_path):
    tiny = f"model.encoder={write_encoder(tmp_path / 'encoder', 'bert')}"
    plain = ["freezing.freeze=[]", "freezing.stages=[]", "model.max_tokens=48"]

    def read(name, *settings):
        return read_recipe(RECIPES / f"{name}.toml", None, [tiny, *plain, *settings])

    alpha = read("bert_mean_alpha")
    assert (alpha.loss.weighting, alpha.loss.alpha) == (Weighting.ALPHA, 0.5)
    assert [set(source.tasks) for source in alpha.data] == [{"topic", "sentiment"}]
    minilm = read("minilm_synchronous")
    assert minilm.sampling.schedule is Schedule.SYNCHRONOUS
    assert [set(source.tasks) for source in minilm.data] == [{"topic"}, {"sentiment"}]
    entities = read("bert_cls_ner").model.tasks
    assert (entities[0].pooling, entities[1].kind) == (Pooling.CLS, TaskKind.TOKEN)
    assert read("distilbert_alternating").sampling.schedule is Schedule.ALTERNATING
    binary = read("bert_cls_mean_binary").model.tasks
    assert {task.pooling for task in binary} == {Pooling.CLS_MEAN}
    assert binary[1].kind is TaskKind.BINARY
    assert all(task.head.kind == "mlp" for task in binary)


def test_no_sentence_stands_in_two_files():
    seen = {}
    for file in sorted((RECIPES / "sentences").glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            text = row["text"] if "text" in row else " ".join(row["tokens"])
            assert text not in seen, (file.name, seen[text])
            seen[text] = file.name
    assert len(seen) > 500
    assert (ROOT / "trainer/recipes/README.md").is_file()
