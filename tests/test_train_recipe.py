"""Whole runs in this process: what they leave, and what they leave alone."""

import json

import numpy as np
import pytest
import torch
import trained
from safetensors.numpy import load_file
from twinhead.model.checkpoint import Checkpoint
from twinhead.trainer import losses, training_run
from twinhead.trainer.errors import DataError, DivergedError, RecipeError, RunError
from twinhead.trainer.history import ValidationRecord
from twinhead.trainer.read_recipe import read_recipe
from twinhead.trainer.start_model import StartModel
from twinhead.trainer.train_recipe import Observer


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("first")
    recipe = trained.write_recipe(folder)
    summary = trained.train_here(recipe, folder / "run")
    return recipe, folder / "run", summary


def test_it_leaves_a_checkpoint_with_its_figures_a_card_and_a_report(first):
    _, output, summary = first
    checkpoint = Checkpoint.load(output / "checkpoint")
    assert checkpoint.version == summary.version
    assert checkpoint.provenance["best_step"] == summary.best_step
    assert checkpoint.metrics["mood"]["validation"]["rows"] == 24
    assert {found.split for found in summary.evaluations} == {"train", "validation"}
    for task in checkpoint.config.tasks:
        assert task.temperature == summary.temperatures[task.name]
    assert "topic" in (output / "checkpoint" / "README.md").read_text()
    assert summary.version in (output / "report.html").read_text()


@pytest.mark.parametrize(
    ("rules", "changed"),
    [
        (["encoder", "head:mood"], ["heads.topic"]),
        (["top:1", "head:topic"], ["layer.1", "mood"]),
        (["below:0"], ["layer.0", "layer.1", "topic", "mood"]),
    ],
)
@pytest.mark.parametrize("cache", ["true", "false"])
def test_what_is_frozen_is_the_same_to_the_bit(first, tmp_path, rules, changed, cache):
    recipe, output, _ = first
    trained.train_here(
        trained.onward(recipe, output / "checkpoint"),
        tmp_path / "run",
        f"freezing.freeze={json.dumps(rules)}",
        f"freezing.cache={cache}",
    )
    before = trained.tensors(output / "checkpoint")
    after = trained.tensors(tmp_path / "run" / "checkpoint")
    assert before.keys() == after.keys()
    differing = {name for name in before if not np.array_equal(before[name], after[name])}
    parts = [part.removeprefix("heads.") for part in changed]
    assert differing  # something was trained
    assert all(any(part in name for part in parts) for name in differing), differing
    assert all(any(part in name for name in differing) for part in parts), differing


def test_a_part_that_is_frozen_later_stays_as_it_was_then(first, tmp_path):
    recipe, output, _ = first
    stages = [
        "freezing.freeze=[]",
        'freezing.stages=[{epoch=1,freeze=["encoder"]}]',
        "training.select=mood",
    ]
    going_on = trained.onward(recipe, output / "checkpoint")
    # The first epoch is the same in both, as the rate is constant; then the encoder rests.
    constant = ["training.decay=constant", "training.warmup=0"]
    for epochs, name in ((2, "two"), (3, "three")):
        trained.train_here(
            going_on,
            tmp_path / name,
            *stages,
            *constant,
            f"training.epochs={epochs}",
            "training.head_learning_rate=0.00001",
        )
    two = load_file(tmp_path / "two" / "checkpoint" / "model.safetensors")
    three = load_file(tmp_path / "three" / "checkpoint" / "model.safetensors")
    assert all(np.array_equal(two[name], three[name]) for name in two)


def test_a_delta_holds_only_what_changed(first, tmp_path):
    recipe, output, _ = first
    going_on = trained.onward(recipe, output / "checkpoint")
    options = ['freezing.freeze=["encoder"]']
    trained.train_here(going_on, tmp_path / "delta", *options, delta=True)
    trained.train_here(going_on, tmp_path / "whole", *options)
    delta, whole = tmp_path / "delta" / "checkpoint", tmp_path / "whole" / "checkpoint"
    assert Checkpoint.load(delta).version == Checkpoint.load(whole).version
    assert not (delta / "model.safetensors").exists()
    assert set(load_file(delta / "delta.safetensors")) == {
        f"heads.{task}.output.{part}" for task in ("topic", "mood") for part in ("weight", "bias")
    }


class Endless(torch.autograd.Function):
    """Leaves a loss as it is, and makes its gradient infinite."""

    @staticmethod
    def forward(context, loss):
        return loss.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * float("inf")


@pytest.mark.parametrize("break_it", [lambda loss: loss * float("nan"), Endless.apply])
def test_a_step_that_is_not_finite_is_not_taken_and_its_rows_are_saved(
    tmp_path, monkeypatch, break_it
):
    recipe = trained.write_recipe(tmp_path)
    plain, calls = losses.TaskLoss.forward, []

    def broken(self, logits, targets):
        calls.append(1)
        loss = plain(self, logits, targets)
        return break_it(loss) if len(calls) > 30 else loss

    monkeypatch.setattr(losses.TaskLoss, "forward", broken)
    with pytest.raises(DivergedError, match=r"diverged-step-\d+\.jsonl"):
        trained.train_here(recipe, tmp_path / "run")
    (file,) = (tmp_path / "run").glob("diverged-step-*.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    known = (tmp_path / "topics.jsonl").read_text() + (tmp_path / "moods.jsonl").read_text()
    assert 0 < len(rows) <= 17
    assert all(row["text"] in known and row["labels"] for row in rows)
    assert all(":" in row["origin"] for row in rows)
    # What was saved before can be resumed: its weights are finite.
    for tensor in load_file(tmp_path / "run" / "state.safetensors").values():
        assert np.isfinite(tensor).all()


def test_folders_that_will_not_do_are_refused(first, tmp_path):
    recipe, output, _ = first
    with pytest.raises(RunError, match="--force"):
        trained.train_here(recipe, output)
    with pytest.raises(RunError, match="finished run"):
        trained.train_here(recipe, output, resume=True)
    with pytest.raises(RunError, match="nothing to resume"):
        trained.train_here(recipe, tmp_path / "new", resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        trained.train_here(recipe, tmp_path / "file")
    (tmp_path / "other" / "checkpoint").mkdir(parents=True)
    with pytest.raises(RunError, match="no checkpoint of Twinhead's"):
        trained.train_here(recipe, tmp_path / "other", force=True)
    with pytest.raises(RunError, match="would be replaced"):
        trained.train_here(
            trained.onward(recipe, output / "checkpoint"), output, force=True, delta=True
        )
    assert Checkpoint.load(output / "checkpoint")


def test_bad_rows_and_rules_are_told_before_anything_is_written(first, tmp_path):
    recipe, output, _ = first
    going_on = trained.onward(recipe, output / "checkpoint")
    for setting in ('freezing.freeze=["top:9"]', 'freezing.stages=[{freeze=["head:x"]}]'):
        with pytest.raises(RecipeError, match="freezing"):
            trained.train_here(going_on, tmp_path / "run", setting)
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "a", "topic": "animals"}\n{"text": "b", "topic": "plants"}\n')
    with pytest.raises(DataError, match=r"broken\.jsonl:2: topic has no label 'plants'"):
        trained.train_here(recipe, tmp_path / "run", f"data.topics.train={broken}")
    assert not (tmp_path / "run").exists()


def test_it_stops_early_when_nothing_becomes_better(tmp_path):
    recipe = trained.write_recipe(tmp_path)
    trained.train_here(
        recipe,
        tmp_path / "run",
        "training.epochs=50",
        "training.patience=3",
        "training.learning_rate=1e-9",
        "training.head_learning_rate=1e-9",
    )
    seen = trained.records(tmp_path / "run", "validation")
    assert [record["best"] for record in seen] == [True, False, False, False]


def test_a_stall_begins_the_next_stage_and_then_counts_anew(tmp_path):
    recipe = trained.write_recipe(tmp_path)
    summary = trained.train_here(
        recipe,
        tmp_path / "run",
        'freezing.freeze=["encoder"]',
        'freezing.stages=[{freeze=["top:1"]},{freeze=[]}]',
        "freezing.stalled_after=2",
        "training.epochs=50",
        "training.patience=2",
        "training.learning_rate=1e-9",
        "training.head_learning_rate=1e-9",
    )
    stages = [(stage.epoch, stage.reason) for stage in summary.history.stages]
    assert stages == [(0.0, "start"), (3.0, "validation stalled"), (5.0, "validation stalled")]
    assert summary.history.validations[-1].epoch == 7.0


def test_observers_are_told_everything(tmp_path):
    told = []

    class Watching(Observer):
        def data(self, summaries, notes):
            told.append(("data", [(s.dataset, s.split, s.rows) for s in summaries]))

        def steps(self, total, per_epoch, resumed_at):
            told.append(("steps", total, per_epoch, resumed_at))

        def record(self, record):
            told.append(("record", type(record).__name__))

        def close(self):
            told.append(("close",))

    trained.train_here(
        trained.write_recipe(tmp_path), tmp_path / "run", observers=lambda _: [Watching()]
    )
    assert told[0] == (
        "data",
        [
            ("topics", "train", 96),
            ("moods", "train", 48),
            ("topics", "validation", 24),
            ("moods", "validation", 24),
        ],
    )
    assert told[1] == ("steps", 27, 9, 0)
    assert told[2] == ("record", "StageRecord")
    assert told.count(("record", "ValidationRecord")) == 3
    assert told[-1] == ("close",)


def test_the_best_weights_come_back_whole_although_later_stages_trained_more(first, tmp_path):
    recipe, output, _ = first
    summary = trained.train_here(
        trained.onward(recipe, output / "checkpoint"),
        tmp_path / "run",
        'freezing.freeze=["encoder"]',
        "freezing.stages=[{epoch=1,freeze=[]}]",
        # So that no later validation is better than the first.
        "training.learning_rate=0.5",
        "training.head_learning_rate=1e-9",
        "training.decay=constant",
        "training.warmup=0",
    )
    before = load_file(output / "checkpoint" / "model.safetensors")
    after = load_file(tmp_path / "run" / "checkpoint" / "model.safetensors")
    assert summary.history.stages[-1].step >= summary.best_step > 0
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_batches_of_frozen_heads_alone_move_nothing(first, tmp_path):
    recipe, output, _ = first
    going_on = trained.onward(recipe, output / "checkpoint")
    frozen = ['freezing.freeze=["encoder","head:topic"]', "training.epochs=1"]
    alone = [*frozen, "data.moods.limit=1", "sampling.schedule=alternating"]
    summary = trained.train_here(going_on, tmp_path / "run", *alone)
    assert summary.history.steps[-1].step == 7  # six batches of topics, one of moods
    before = trained.tensors(output / "checkpoint")
    after = trained.tensors(tmp_path / "run" / "checkpoint")
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {"mood.output.weight", "mood.output.bias"}
    # The one step that taught something is all that Adam has moved.
    distance = np.abs(after["mood.output.bias"] - before["mood.output.bias"]).max()
    assert distance <= 1.01e-2  # one step of the rate


def test_losses_are_told_as_means_over_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, "_LOG_SECONDS", 1e9)  # one record, of the whole epoch
    recipe = trained.write_recipe(tmp_path)
    still = ["training.learning_rate=1e-9", "training.head_learning_rate=1e-9"]
    told = {}
    for accumulate in (1, 3):
        trained.train_here(
            recipe,
            tmp_path / str(accumulate),
            *still,
            "training.dropout=0",
            "training.epochs=1",
            f"sampling.accumulate={accumulate}",
        )
        (told[accumulate],) = trained.records(tmp_path / str(accumulate), "step")[-1:]
    validation = trained.records(tmp_path / "1", "validation")[0]["figures"]
    for task in ("topic", "mood"):
        assert told[3]["losses"][task] == pytest.approx(told[1]["losses"][task], rel=0.02)
        assert told[1]["losses"][task] == pytest.approx(validation[task]["loss"], rel=0.3)
    assert told[3]["loss"] == pytest.approx(sum(told[3]["losses"].values()), rel=0.05)


def test_a_checkpoint_goes_on_with_rows_of_some_of_its_tasks(first, tmp_path):
    """The other head gets no gradient, and its bits stay."""
    recipe, output, _ = first
    going_on = trained.onward(recipe, output / "checkpoint")
    text = going_on.read_text()
    start = text.index('[[data]]\nname = "topics"')
    end = text.index('[[data]]\nname = "moods"')
    moods_only = going_on.with_name("moods_only.toml")
    moods_only.write_text(text[:start] + text[end:])
    trained.train_here(moods_only, tmp_path / "run", 'freezing.freeze=["encoder"]')
    before = trained.tensors(output / "checkpoint")
    after = trained.tensors(tmp_path / "run" / "checkpoint")
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed
    assert all("mood" in name for name in changed), changed


def test_of_an_encoder_every_task_needs_training_rows(tmp_path):
    recipe = trained.write_recipe(tmp_path)
    moods = tmp_path / "moods.jsonl"
    moods.write_text('{"text": "a", "mood": "good", "topic": null}\n')
    with pytest.raises(DataError, match="no training row has a label of topic"):
        trained.train_here(
            recipe, tmp_path / "run", f"data.topics.train={moods}", 'data.topics.tasks.mood="mood"'
        )


def embeddings(network, tokenizer, texts):
    """The embedding of each text."""
    found = []
    for sentence in tokenizer(texts):
        ids = torch.tensor([sentence.ids])
        with torch.no_grad():
            found.append(network(ids, torch.ones_like(ids), ()).embeddings[0])
    return torch.stack(found)


@pytest.mark.parametrize(
    "freezing",
    ["freeze=[]", 'freeze=["top:1"]', 'freeze=["encoder"]\nstages=[{epoch=1,freeze=["top:1"]}]'],
)
def test_embeddings_are_kept_where_they_were_and_it_says_how_far_they_moved(tmp_path, freezing):
    recipe = trained.write_recipe(tmp_path, extra=f"\n[freezing]\n{freezing}\n")
    encoder = StartModel.find(read_recipe(recipe, None, []))
    before, tokenizer = encoder.build(encoder.tasks, 0)
    texts = [
        json.loads(line)["text"]
        for name in ("topics", "moods")
        for line in (tmp_path / f"{name}_validation.jsonl").read_text().splitlines()
    ]
    kept = []
    for weight in (1e-9, 50):
        output = tmp_path / f"run-{weight}"
        summary = trained.train_here(
            recipe,
            output,
            f"loss.keep_embeddings={weight}",
            # In the end alone, so that the best weights are the last.
            "training.validate_every=1000",
        )
        after = Checkpoint.load(output / "checkpoint").network
        moved = torch.cosine_similarity(
            embeddings(before.eval(), tokenizer, texts), embeddings(after, tokenizer, texts)
        )
        assert summary.kept_embeddings == pytest.approx(moved.mean().item(), abs=1e-4)
        losses_seen = [record.losses for record in summary.history.steps]
        assert any("embedding drift" in seen for seen in losses_seen)
        assert not list(output.glob("*.npy"))
        kept.append(summary.kept_embeddings)
    assert 1 - kept[1] < (1 - kept[0]) / 2


def test_where_embeddings_were_must_be_known_to_go_on(tmp_path, monkeypatch):
    recipe = trained.write_recipe(tmp_path)
    settings = ("loss.keep_embeddings=5", "training.validate_every=1")
    whole = trained.train_here(recipe, tmp_path / "whole", *settings)

    class Ended(Exception):
        pass

    class Ending(Observer):
        def record(self, record):
            if isinstance(record, ValidationRecord) and record.step == 8:
                raise Ended

    with pytest.raises(Ended):
        trained.train_here(recipe, tmp_path / "run", *settings, observers=lambda _: [Ending()])
    (train, validation) = sorted((tmp_path / "run").glob("embeddings-before-*.npy"))
    aside = train.rename(tmp_path / "aside.npy")
    with pytest.raises(RunError, match="is gone"):
        trained.train_here(recipe, tmp_path / "run", *settings, resume=True)
    aside.rename(train)
    summary = trained.train_here(recipe, tmp_path / "run", *settings, resume=True)
    assert summary.version == whole.version
    assert not validation.exists()


def test_rounded_weights_change_no_answer_and_take_half_the_room(first, tmp_path):
    recipe, _, exact = first
    summary = trained.train_here(
        recipe, tmp_path / "run", "training.round_weights=true", delta=True
    )
    assert exact.rounded == ()
    assert "layer 2" in summary.rounded
    for split in ("train", "validation"):
        found = [e.metrics.figures["accuracy"] for e in summary.evaluations if e.split == split]
        wanted = [e.metrics.figures["accuracy"] for e in exact.evaluations if e.split == split]
        assert found == pytest.approx(wanted, abs=0.02 if split == "train" else 0)
    checkpoint = Checkpoint.load(tmp_path / "run" / "checkpoint")
    assert checkpoint.version == summary.version != exact.version
    stored = load_file(tmp_path / "run" / "checkpoint" / "delta.safetensors")
    halves = [name for name, tensor in stored.items() if tensor.dtype == np.float16]
    assert any("layer.1." in name for name in halves)
