"""`twinhead import` in a process of its own."""

import json

import pytest
from original_models import (
    LABELS,
    dump_setfit_head,
    write_classifier,
    write_sentence_transformer,
)
from twinhead.model.checkpoint import Checkpoint


def test_a_classifier_becomes_a_checkpoint(run_twinhead, tmp_path):
    write_classifier(tmp_path / "original", "roberta", labels=LABELS)
    done = run_twinhead("import", "original", "-o", "made", "--task", "place")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    checkpoint = Checkpoint.load(tmp_path / "made")
    assert [task.name for task in checkpoint.config.tasks] == ["place"]
    for said in (
        f"made, version {checkpoint.version}",
        "original: 32 dimensions, up to 64 tokens",
        "place: single_label, 3 labels: sea, land, sky",
        "twinhead serve --model made",
    ):
        assert said in done.stdout
    assert str(tmp_path) not in (tmp_path / "made" / "twinhead.json").read_text()


def test_a_long_list_of_labels_is_shortened(run_twinhead, tmp_path):
    write_sentence_transformer(tmp_path / "m")
    dump_setfit_head(tmp_path / "m" / "model_head.pkl", 40)
    (tmp_path / "m" / "config_setfit.json").write_text(
        json.dumps({"labels": [f"[l{index}]" for index in range(40)]})
    )
    done = run_twinhead("import", "m", "--output", "made")
    assert done.returncode == 0, done.stderr
    assert "label: single_label, 40 labels: [l0], [l1], " in done.stdout
    assert "[l11] and 28 more" in done.stdout


def test_a_model_without_tasks(run_twinhead, tmp_path):
    write_sentence_transformer(tmp_path / "m")
    done = run_twinhead("import", "m", "-o", "made")
    assert done.returncode == 0, done.stderr
    assert "none: it gives embeddings only" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing", "-o", "made"], 1, "nothing is not a folder"),
        (["m", "-o", "full"], 1, "full exists already and is not an empty folder"),
        (["m", "-o", "made", "--task", "A task"], 1, "String should match pattern"),
        (["m"], 2, "Missing option '-o'"),
    ],
)
def test_what_is_wrong_is_one_clear_line(run_twinhead, tmp_path, arguments, code, said):
    write_classifier(tmp_path / "m", "bert")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    before = sorted(tmp_path.iterdir())
    done = run_twinhead("import", *arguments)
    assert done.returncode == code
    assert said in done.stderr
    if code == 1:
        assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before  # nothing is left behind
