"""Models of other libraries give the same embeddings and logits once they are checkpoints."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from original_models import (
    FAMILIES,
    HIDDEN,
    LABELS,
    SENTENCES,
    dump_setfit_head,
    write_classifier,
    write_sentence_transformer,
    write_tokenizer,
)
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import LinearHead, MlpHead, Pooling, TaskKind
from twinhead.model.errors import CheckpointError, ImportModelError, ModelError
from twinhead.model.import_model import import_model

AUTO = {
    "Sequence": AutoModelForSequenceClassification,
    "Token": AutoModelForTokenClassification,
}


def run(checkpoint: Checkpoint, sentences=SENTENCES):
    """Network output and attention mask of a padded batch."""
    rows = [sentence.ids for sentence in checkpoint.tokenizer(sentences)]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.inference_mode():
        return checkpoint.network(ids, mask), mask


def original_logits(folder: Path, task: str, max_tokens: int) -> list[torch.Tensor]:
    """What the folder's own library answers, sentence by sentence."""
    model = AUTO[task].from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answers = []
    for sentence in SENTENCES:
        batch = tokenizer(sentence, truncation=True, max_length=max_tokens, return_tensors="pt")
        with torch.inference_mode():
            answers.append(
                model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[
                    0
                ]
            )
    return answers


def edit_json(file: Path, **changes) -> None:
    data = json.loads(file.read_text())
    file.write_text(json.dumps(data | changes))


@pytest.mark.parametrize("task", ["Sequence", "Token"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_the_originals(tmp_path, family, task):
    labels = LABELS if task == "Sequence" else ("O", "B-PER", "I-PER", "B-LOC")
    write_classifier(tmp_path / "original", family, task, labels)
    made = import_model(tmp_path / "original", "topic")
    made.save(tmp_path / "made")
    checkpoint = Checkpoint.load(tmp_path / "made")

    (config,) = checkpoint.config.tasks
    assert config.name == "topic"
    assert config.labels == labels
    assert config.kind is (TaskKind.SINGLE_LABEL if task == "Sequence" else TaskKind.TOKEN)
    assert checkpoint.version == made.version
    assert checkpoint.config.encoder == "original"
    assert checkpoint.config.max_tokens == min(FAMILIES[family][3], 512)
    output, mask = run(checkpoint)
    theirs = original_logits(tmp_path / "original", task, checkpoint.config.max_tokens)
    spread = torch.stack([row.flatten()[:3] for row in theirs]).std(dim=0)
    assert spread.max() > 1e-3  # the sentences' answers differ, or nothing is compared
    for row, expected in enumerate(theirs):
        ours = output.logits["topic"][row]
        if task == "Token":
            ours = ours[mask[row] == 1]
        assert torch.allclose(ours, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_modernbert_pools_as_it_says(tmp_path, pooling):
    write_classifier(tmp_path / "m", "modernbert", classifier_pooling=pooling)
    checkpoint = import_model(tmp_path / "m")
    assert checkpoint.config.tasks[0].pooling is Pooling(pooling)
    output, _ = run(checkpoint)
    theirs = original_logits(tmp_path / "m", "Sequence", checkpoint.config.max_tokens)
    assert torch.allclose(output.logits["label"], torch.stack(theirs), atol=1e-5, rtol=0)


def test_a_multi_label_model(tmp_path):
    write_classifier(tmp_path / "m", "bert", problem_type="multi_label_classification")
    (task,) = import_model(tmp_path / "m").config.tasks
    assert task.kind is TaskKind.MULTI_LABEL
    assert isinstance(task.head, MlpHead)


def test_dropout_is_kept_for_further_training(tmp_path):
    write_classifier(tmp_path / "m", "bert", "Token", classifier_dropout=0.25)
    (task,) = import_model(tmp_path / "m").config.tasks
    assert task.head == LinearHead(dropout=0.25)


def test_labels_come_in_the_order_of_their_ids(tmp_path):
    write_classifier(tmp_path / "m", "bert", labels=[f"l{index}" for index in range(12)])
    edit_json(
        tmp_path / "m" / "config.json", id2label={str(i): f"l{i}" for i in reversed(range(12))}
    )
    (task,) = import_model(tmp_path / "m").config.tasks
    assert task.labels == tuple(f"l{index}" for index in range(12))


def test_labels_with_a_gap_are_refused(tmp_path):
    write_classifier(tmp_path / "m", "bert")
    edit_json(tmp_path / "m" / "config.json", id2label={"1": "a", "2": "b", "3": "c"})
    with pytest.raises(ImportModelError, match="ids of id2label are not 0 to 2"):
        import_model(tmp_path / "m")


@pytest.mark.parametrize(("said", "expected"), [(16, 16), (int(1e30), 64), (-1, 64)])
def test_the_tokenizers_limit_is_kept_when_it_is_sane(tmp_path, said, expected):
    write_classifier(tmp_path / "m", "bert")
    edit_json(tmp_path / "m" / "tokenizer_config.json", model_max_length=said)
    assert import_model(tmp_path / "m").config.max_tokens == expected


def test_the_same_folder_gives_the_same_version(tmp_path):
    write_classifier(tmp_path / "m", "distilbert")
    assert import_model(tmp_path / "m").version == import_model(tmp_path / "m").version


def test_weights_in_half_precision_become_float32(tmp_path):
    write_classifier(tmp_path / "m", "bert").half().save_pretrained(tmp_path / "m")
    checkpoint = import_model(tmp_path / "m")
    assert {t.dtype for t in checkpoint.network.state_dict().values()} == {torch.float32}


def test_a_folder_with_a_vocabulary_only(tmp_path):
    from small_bert import WORDS

    write_classifier(tmp_path / "m", "bert")
    expected = import_model(tmp_path / "m").tokenizer(SENTENCES)
    (tmp_path / "m" / "tokenizer.json").unlink()
    (tmp_path / "m" / "vocab.txt").write_text("\n".join(WORDS))
    (tmp_path / "m" / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    assert import_model(tmp_path / "m").tokenizer(SENTENCES) == expected


def test_settings_beside_the_tokenizer_have_the_last_word(tmp_path):
    # transformers does not read this tokenizer.json, which lowers the case, as it is.
    write_classifier(tmp_path / "m", "bert")
    assert import_model(tmp_path / "m").provenance["tokenizer"] == "tokenizer.json"
    edit_json(
        tmp_path / "m" / "tokenizer_config.json",
        tokenizer_class="BertTokenizer",
        do_lower_case=False,
    )
    checkpoint = import_model(tmp_path / "m")
    assert checkpoint.provenance["tokenizer"].startswith("built by transformers")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    theirs = tokenizer(SENTENCES, truncation=True, max_length=checkpoint.config.max_tokens)
    assert [row.ids for row in checkpoint.tokenizer(SENTENCES)] == theirs["input_ids"]


def rewrite(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def set_nan(tensors) -> None:
    tensors["classifier.bias"][0] = float("nan")


def test_missing_weights_are_refused_by_name(tmp_path):
    # transformers would give the head random values.
    write_classifier(tmp_path / "m", "bert")
    rewrite(tmp_path / "m", lambda tensors: tensors.pop("classifier.weight"))
    with pytest.raises(ImportModelError, match=r"lack classifier\.weight"):
        import_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_nan, r"heads\.label\.output\.bias holds NaN"),
        (
            lambda tensors: tensors.update({"classifier.bias": torch.zeros(7)}),
            r"classifier\.bias is \[7\], but config\.json needs \[3\]",
        ),
    ],
)
def test_bad_weights_are_refused_by_name(tmp_path, change, said):
    write_classifier(tmp_path / "m", "bert")
    rewrite(tmp_path / "m", change)
    with pytest.raises(ImportModelError, match=said):
        import_model(tmp_path / "m")


def test_pickled_weights_are_refused(tmp_path):
    model = write_classifier(tmp_path / "m", "bert")
    (tmp_path / "m" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(ImportModelError, match=r"are a pickle \(pytorch_model\.bin\)"):
        import_model(tmp_path / "m")


def test_damaged_weights_are_refused(tmp_path):
    write_classifier(tmp_path / "m", "bert")
    file = tmp_path / "m" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ImportModelError, match="cannot be read"):
        import_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"problem_type": "regression"}, "gives numbers"),
        ({"labels": ("score",)}, "gives numbers"),
        ({"labels": ("a", "a")}, "'a' stands there twice"),
    ],
)
def test_models_that_are_no_classifiers_of_labels(tmp_path, options, said):
    write_classifier(tmp_path / "m", "bert", **options)
    with pytest.raises(ImportModelError, match=said):
        import_model(tmp_path / "m")


def test_a_task_name_that_cannot_be_one(tmp_path):
    write_classifier(tmp_path / "m", "bert")
    with pytest.raises(ImportModelError, match="name: String should match pattern"):
        import_model(tmp_path / "m", "Not a name")


def test_an_unknown_model_type_is_refused_with_the_known_ones(tmp_path):
    from transformers import ElectraConfig, ElectraForSequenceClassification

    vocabulary = write_tokenizer(tmp_path / "m", "wordpiece")
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = ElectraConfig(vocab_size=vocabulary, embedding_size=32, intermediate_size=32, **shape)
    ElectraForSequenceClassification(config).save_pretrained(tmp_path / "m")
    with pytest.raises(ImportModelError, match=r"electra models are not known; known are bert, "):
        import_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classifier_activation": "silu"}, "activation is silu; Twinhead has relu, gelu, tanh"),
        ({"norm_eps": 1e-3}, "LayerNorm has eps 0.001"),
    ],
)
def test_a_head_that_cannot_be_built_here(tmp_path, change, said):
    write_classifier(tmp_path / "m", "modernbert", **change)
    with pytest.raises(ImportModelError, match=said):
        import_model(tmp_path / "m")


def test_an_import_that_would_answer_otherwise_is_refused(tmp_path, monkeypatch):
    from twinhead.model import classifier_head

    # As if a later transformers gave BERT's head another activation.
    monkeypatch.setitem(
        classifier_head._SEQUENCE_HEADS,
        "bert",
        lambda model: classifier_head._mlp(
            model.base_model.pooler.dense, "relu", model.classifier, 0.0
        ),
    )
    write_classifier(tmp_path / "m", "bert")
    with pytest.raises(ImportModelError, match="would not give the original's logits"):
        import_model(tmp_path / "m")


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    write_classifier(tmp_path / "m", "bert")
    write_tokenizer(tmp_path / "m", "bytes")  # its vocabulary is larger
    with pytest.raises(ImportModelError, match="the tokenizer is not this model's"):
        import_model(tmp_path / "m")


def test_a_checkpoint_is_refused(tmp_path):
    write_classifier(tmp_path / "m", "bert")
    import_model(tmp_path / "m").save(tmp_path / "made")
    with pytest.raises(ImportModelError, match="is a Twinhead checkpoint already"):
        import_model(tmp_path / "made")


@pytest.mark.parametrize("architectures", [["BertModel"], ["BertForMaskedLM"], None, 7])
def test_a_model_without_a_head_is_refused(tmp_path, architectures):
    write_classifier(tmp_path / "m", "bert")
    edit_json(tmp_path / "m" / "config.json", architectures=architectures)
    with pytest.raises(ImportModelError, match=r"has no head to import\. What can be imported:"):
        import_model(tmp_path / "m")


def test_folders_that_hold_nothing_known(tmp_path):
    with pytest.raises(ImportModelError, match="is not a folder"):
        import_model(tmp_path / "nothing")
    with pytest.raises(ImportModelError, match="AutoModelForSequenceClassification") as error:
        import_model(tmp_path)
    assert "SetFit" in str(error.value)


def test_a_folder_without_tokenizer_is_refused(tmp_path):
    write_classifier(tmp_path / "m", "bert")
    for file in (tmp_path / "m").glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="has no tokenizer"):
        import_model(tmp_path / "m")


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_embeddings_equal_sentence_transformers(tmp_path, pooling, normalize):
    original = write_sentence_transformer(tmp_path / "m", pooling, normalize)
    import_model(tmp_path / "m").save(tmp_path / "made")
    checkpoint = Checkpoint.load(tmp_path / "made")
    config = checkpoint.config
    assert (config.tasks, config.normalize) == ((), normalize)
    assert config.embedding_pooling is Pooling(pooling)
    expected = torch.tensor(original.encode(SENTENCES))
    ours = run(checkpoint)[0].embeddings
    if normalize:
        ours = torch.nn.functional.normalize(ours, dim=1)
    assert torch.allclose(ours, expected, atol=1e-5, rtol=0)


def test_a_body_that_is_no_encoder_is_refused(tmp_path):
    from transformers import T5Config, T5Model

    write_sentence_transformer(tmp_path / "m", normalize=False)
    vocabulary = write_tokenizer(tmp_path / "m", "wordpiece")
    shape = {"d_model": HIDDEN, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    T5Model(T5Config(vocab_size=vocabulary, **shape)).save_pretrained(tmp_path / "m")
    with pytest.raises(ImportModelError, match="does not run as an encoder: ValueError"):
        import_model(tmp_path / "m")


@pytest.mark.parametrize("normalize_embeddings", [True, False])
@pytest.mark.parametrize("body_normalizes", [True, False])
def test_logits_equal_setfits(tmp_path, body_normalizes, normalize_embeddings):
    body = write_sentence_transformer(tmp_path / "m", "cls", body_normalizes)
    head = dump_setfit_head(tmp_path / "m" / "model_head.pkl", temperature=0.5)
    settings = {"normalize_embeddings": normalize_embeddings, "labels": list(LABELS)}
    (tmp_path / "m" / "config_setfit.json").write_text(json.dumps(settings))
    import_model(tmp_path / "m", "topic").save(tmp_path / "made")
    checkpoint = Checkpoint.load(tmp_path / "made")

    (task,) = checkpoint.config.tasks
    assert (task.name, task.kind, task.labels) == ("topic", TaskKind.SINGLE_LABEL, LABELS)
    vectors = body.encode(
        SENTENCES, normalize_embeddings=normalize_embeddings, convert_to_tensor=True
    )
    with torch.inference_mode():
        expected = head(vectors)
    assert torch.allclose(run(checkpoint)[0].logits["topic"], expected, atol=1e-5, rtol=0)


def test_a_setfit_model_with_several_targets_and_no_label_names(tmp_path):
    write_sentence_transformer(tmp_path / "m")
    dump_setfit_head(tmp_path / "m" / "model_head.pkl", multitarget=True)
    (task,) = import_model(tmp_path / "m").config.tasks
    assert task.kind is TaskKind.MULTI_LABEL
    assert task.labels == ("label_0", "label_1", "label_2")


def test_setfit_folders_that_do_not_fit(tmp_path):
    write_sentence_transformer(tmp_path / "m")
    settings = tmp_path / "m" / "config_setfit.json"
    settings.write_text('{"labels": ["a", "b"]}')
    with pytest.raises(ImportModelError, match=r"model_head\.pkl cannot be read"):
        import_model(tmp_path / "m")
    dump_setfit_head(tmp_path / "m" / "model_head.pkl")
    with pytest.raises(ImportModelError, match="not the labels of 3 logits"):
        import_model(tmp_path / "m")
    settings.unlink()
    dump_setfit_head(tmp_path / "m" / "model_head.pkl", inputs=HIDDEN + 1)
    with pytest.raises(ImportModelError, match="reads 33 dimensions, its encoder gives 32"):
        import_model(tmp_path / "m")
    dump_setfit_head(tmp_path / "m" / "model_head.pkl")
    (tmp_path / "m" / "config_span_setfit.json").write_text("{}")
    with pytest.raises(ImportModelError, match="spans"):
        import_model(tmp_path / "m")


def test_a_setfit_model_with_a_scikit_learn_head_is_refused(tmp_path):
    import joblib
    from sklearn.linear_model import LogisticRegression

    write_sentence_transformer(tmp_path / "m")
    head = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    joblib.dump(head, tmp_path / "m" / "model_head.pkl")
    with pytest.raises(ImportModelError, match="pickle of Python code's objects"):
        import_model(tmp_path / "m")


def test_a_damaged_description_is_named(tmp_path):
    write_classifier(tmp_path / "m", "bert")
    shutil.copy(tmp_path / "m" / "model.safetensors", tmp_path / "m" / "config.json")
    with pytest.raises(CheckpointError, match=r"config\.json is not valid JSON"):
        import_model(tmp_path / "m")
