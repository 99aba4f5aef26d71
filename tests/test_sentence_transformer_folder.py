"""sentence-transformers folders of old and new releases; what Twinhead cannot do is refused."""

import json
from pathlib import Path

import pytest
from original_models import write_sentence_transformer
from twinhead.model.config import Pooling
from twinhead.model.errors import CheckpointError, ImportModelError
from twinhead.model.sentence_transformer_folder import (
    SentenceTransformerFolder,
    read_sentence_transformer,
)

OLD = "sentence_transformers.models"


def write(folder: Path, pooling=None, transformer=None, settings=None, kinds=(), paths=()) -> Path:
    """A folder as sentence-transformers 2 wrote it."""
    names = ["Transformer", "Pooling", *kinds]
    places = ["", "1_Pooling", *(f"{index}_{kind}" for index, kind in enumerate(kinds, 2))]
    places[: len(paths)] = paths
    modules = [
        {"path": path, "type": name if "." in name else f"{OLD}.{name}"}
        for name, path in zip(names, places, strict=True)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"pooling_mode_mean_tokens": True} if pooling is None else pooling)
    )
    if transformer is not None:
        (folder / "sentence_bert_config.json").write_text(json.dumps(transformer))
    if settings is not None:
        (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(("pooling", "expected"), [("mean", Pooling.MEAN), ("cls", Pooling.CLS)])
def test_what_the_installed_release_writes(tmp_path, pooling, expected):
    write_sentence_transformer(tmp_path / "m", pooling)
    read = read_sentence_transformer(tmp_path / "m")
    assert read == SentenceTransformerFolder(tmp_path / "m", expected, True, None)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, Pooling.CLS),
        ({"pooling_mode_max_tokens": True}, Pooling.MAX),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_weightedmean_tokens": False}, "mean"),
        ({}, Pooling.MEAN),
        ({"pooling_mode": ["max"]}, Pooling.MAX),
    ],
)
def test_both_forms_of_the_pooling(tmp_path, pooling, expected):
    assert read_sentence_transformer(write(tmp_path, pooling)).pooling == expected


def test_normalize_and_length(tmp_path):
    folder = write(tmp_path, transformer={"max_seq_length": 128, "do_lower_case": False})
    read = read_sentence_transformer(folder)
    assert (read.normalize, read.max_tokens) == (False, 128)


def test_an_encoder_in_a_folder_of_its_own(tmp_path):
    folder = write(tmp_path, kinds=["Normalize"], paths=["0_Transformer"])
    (tmp_path / "0_Transformer").mkdir()
    (tmp_path / "0_Transformer" / "sentence_roberta_config.json").write_text(
        '{"max_seq_length": 99}'
    )
    read = read_sentence_transformer(folder)
    assert (read.encoder, read.normalize, read.max_tokens) == (folder / "0_Transformer", True, 99)


def test_prompts_that_are_not_used_by_default(tmp_path):
    settings = {"prompts": {"query": "query: ", "": ""}, "default_prompt_name": None}
    read_sentence_transformer(write(tmp_path, settings=settings))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pooling": {"pooling_mode_weightedmean_tokens": True}}, "pooling is weightedmean; Twin"),
        ({"pooling": {"pooling_mode": "lasttoken"}}, "pooling is lasttoken"),
        ({"pooling": {"pooling_mode": ["cls", "mean"]}}, "pooling is cls and mean"),
        ({"pooling": {"pooling_mode": 7}}, "pooling is 7"),
        ({"kinds": ["Dense"]}, "modules are Transformer, Pooling, Dense; Twinhead has"),
        ({"kinds": ["Normalize", "Normalize"]}, "modules are"),
        ({"kinds": ["custom_code.Normalize"]}, "custom_code.Normalize is code of the model's own"),
        ({"paths": ["../elsewhere"]}, "leads out of the folder"),
        ({"paths": ["/etc"]}, "leads out of the folder"),
        ({"transformer": {"do_lower_case": True}}, "nothing like do_lower_case = True"),
        ({"transformer": {"transformer_task": "text-generation"}}, "transformer_task"),
        ({"transformer": {"model_args": {"add": 1}}}, "nothing like model_args"),
        ({"transformer": {"max_seq_length": "long"}}, "max_seq_length is 'long'"),
        ({"transformer": {"modality_config": {"text": {"method": "x"}}}}, "modality_config"),
        (
            {"settings": {"default_prompt_name": "query", "prompts": {"query": "query: "}}},
            "prompt 'query' before every sentence",
        ),
        ({"transformer": {"modality_config": "text"}}, "modality_config"),
        ({"settings": {"default_prompt_name": "query", "prompts": []}}, "prompt 'query'"),
        ({"pooling": {"pooling_mode": [{}]}}, "pooling is {}"),
        ({"settings": {"model_type": "CrossEncoder"}}, "is a CrossEncoder"),
    ],
)
def test_what_twinhead_cannot_do_is_refused_with_the_reason(tmp_path, options, said):
    with pytest.raises(ImportModelError, match=said):
        read_sentence_transformer(write(tmp_path, **options))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "is not a JSON list"),
        ("[", "cannot be read"),
        ("[1]", "is not a JSON object"),
        ('[{"type": 1}]', "no type or no path"),
        ("[]", "modules are none"),
    ],
)
def test_a_damaged_list_of_modules(tmp_path, text, said):
    folder = write(tmp_path)
    (folder / "modules.json").write_text(text)
    with pytest.raises(ImportModelError, match=said):
        read_sentence_transformer(folder)


def test_a_missing_pooling(tmp_path):
    folder = write(tmp_path)
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"1_Pooling/config\.json is missing"):
        read_sentence_transformer(folder)
