"""`twinhead inspect` in a process of its own."""

import json
import re

import pytest
import torch
from small_bert import small_checkpoint, write_small_bert
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import MlpHead, TaskConfig, TaskKind

TASKS = (
    TaskConfig(name="topic", labels=tuple(f"[t{index}]" for index in range(30))),
    TaskConfig(
        name="tags",
        kind=TaskKind.MULTI_LABEL,
        labels=("a", "b"),
        thresholds=(0.25, 0.75),
        temperature=0.625,
        normalize=True,
        head=MlpHead(hidden_size=8, layer_norm=True),
    ),
    TaskConfig(name="spam", kind=TaskKind.BINARY, labels=("no", "yes"), temperature=1.75),
    TaskConfig(name="names", kind=TaskKind.TOKEN, labels=("O", "B-PER", "I-PER")),
)


@pytest.fixture
def saved(tmp_path):
    write_small_bert(tmp_path / "encoder")
    small_checkpoint(tmp_path / "encoder", TASKS).save(tmp_path / "saved")
    return tmp_path / "saved"


def plain(text: str) -> str:
    return " ".join(text.split())


def test_the_starter_model(run_twinhead):
    done = run_twinhead("inspect", "starter")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    said = plain(done.stdout)
    for part in (
        "verified yes: the digests of all 107 tensors",
        "all-MiniLM-L6-v2 (bert), from the base; 384 dimensions",
        "holds 68 tensors; the others are from its base: the encoder all-MiniLM-L6-v2",
        "topic single_label, 4 labels: World, Sports, Business, Sci/Tech",
        "topic.validation rows 1979, accuracy 0.9",
        "sentiment.validation:tweets rows 2000, accuracy 0.7",
        "recipe starter",
        "rows news train 26766, tweets train 45602, reviews train 6920",
    ):
        assert part in said
    assert re.search(r"delta.safetensors 14\.\d MB", said)
    assert "__init__" not in said


def test_each_kind_of_task_and_every_tensor(run_twinhead, saved):
    done = run_twinhead("inspect", "saved", "--tensors")
    assert done.returncode == 0, done.stderr
    said = plain(done.stdout)
    for part in (
        "in this folder; 32 dimensions, up to 48 tokens",
        "topic single_label, 30 labels: [t0], [t1], ",
        "[t11] and 18 more linear head on mean pooling, 990 parameters",
        "tags multi_label, 2 labels: a, b mlp head (hidden layer of 8, gelu, layer norm), "
        "dropout 0.1 on mean pooling, scaled to unit length, 298 parameters, temperature 0.625 "
        "thresholds: 0.25, 0.75",
        "linear head on mean pooling, 33 parameters, temperature 1.75, threshold 0.5",
        "linear head on every token, 99 parameters",
        "topic accuracy 0.5",
        "method none",
    ):
        assert part in said
    manifest = json.loads((saved / "manifest.json").read_text())
    for name, about in manifest["tensors"].items():
        shape = " x ".join(map(str, about["shape"]))
        assert f"{name} {shape} {about['dtype']} {about['sha256']}" in said


def test_a_delta_and_its_base(run_twinhead, saved, tmp_path):
    base = Checkpoint.load(saved)
    changed = Checkpoint.load(saved).network
    with torch.no_grad():
        changed.heads["spam"].output.bias.add_(1.0)
    Checkpoint.create(changed, base.tokenizer).save_delta(tmp_path / "delta", base)
    done = run_twinhead("inspect", "delta")
    assert done.returncode == 0, done.stderr
    assert (
        f"delta holds 1 tensor; the others are from its base: version {base.version}, saved at "
        "../saved"
    ) in plain(done.stdout)

    saved.rename(tmp_path / "moved")
    assert run_twinhead("inspect", "delta", "--base", "moved").returncode == 0


def test_a_damaged_checkpoint_is_an_error_that_names_what_is_wrong(run_twinhead, saved):
    file = saved / "heads.safetensors"
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    done = run_twinhead("inspect", "saved")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.match(r"Error: saved: tensor heads\.\w+\.\S+ differs from what", line)
    assert done.stdout == ""


def test_a_folder_that_is_not_there(run_twinhead):
    done = run_twinhead("inspect", "nothing")
    assert done.returncode == 1
    assert "nothing/twinhead.json is missing" in done.stderr
    assert "Traceback" not in done.stderr
