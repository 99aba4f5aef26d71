"""The published configurations that Twinhead reproduces (DESIGN, section 6), small.

The encoders are of the real classes, randomly initialised; MiniLM has its real weights.
"""

from pathlib import Path

from small_bert import randomize
from small_encoders import write_encoder
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import (
    Activation,
    MlpHead,
    ModelConfig,
    Pooling,
    TaskConfig,
    TaskKind,
)
from twinhead.model.encoder import Encoder, find_encoder
from twinhead.model.network import Network
from twinhead.model.tokenizer import Tokenizer

MINILM = "all-MiniLM-L6-v2"
MAX_TOKENS = 48
TOPIC = TaskConfig(name="topic", labels=("Sports", "Tech", "Politics", "Health"))
SENTIMENT = TaskConfig(name="sentiment", labels=("Positive", "Neutral", "Negative"))
ENTITIES = ("Person", "Location", "Organization", "Other")
TAGS = ("O", *(f"{prefix}-{entity}" for entity in ENTITIES for prefix in "BI"))
BINARY_TASKS = (
    TaskConfig(
        name="topic",
        labels=TOPIC.labels,
        pooling=Pooling.CLS_MEAN,
        head=MlpHead(activation=Activation.RELU, dropout=0.3, layer_norm=True, residual=True),
    ),
    TaskConfig(
        name="sentiment",
        kind=TaskKind.BINARY,
        labels=("negative", "positive"),
        pooling=Pooling.CLS_MEAN,
        head=MlpHead(hidden_size=16, activation=Activation.RELU, dropout=0.3, layer_norm=True),
        thresholds=(0.6,),
    ),
)

REFERENCE_CONFIGURATIONS = {
    "bert_mean_alpha": ModelConfig(encoder="bert", max_tokens=MAX_TOKENS, tasks=(TOPIC, SENTIMENT)),
    "minilm_synchronous": ModelConfig(encoder=MINILM, max_tokens=256, tasks=(TOPIC, SENTIMENT)),
    "bert_cls_ner": ModelConfig(
        encoder="bert",
        max_tokens=MAX_TOKENS,
        embedding_pooling=Pooling.CLS,
        tasks=(
            TaskConfig(name="class", labels=("Sports", "Jobs", "Travel"), pooling=Pooling.CLS),
            TaskConfig(name="entities", kind=TaskKind.TOKEN, labels=TAGS),
        ),
    ),
    "distilbert_alternating": ModelConfig(
        encoder="distilbert", max_tokens=MAX_TOKENS, tasks=(TOPIC, SENTIMENT)
    ),
    "bert_cls_mean_binary": ModelConfig(
        encoder="bert",
        max_tokens=MAX_TOKENS,
        embedding_pooling=Pooling.CLS_MEAN,
        tasks=BINARY_TASKS,
    ),
    # The same over the other encoder that the table names for it.
    "roberta_cls_mean_binary": ModelConfig(
        encoder="roberta",
        max_tokens=MAX_TOKENS,
        embedding_pooling=Pooling.CLS_MEAN,
        tasks=BINARY_TASKS,
    ),
}


def build(name: str, folder: Path) -> Checkpoint:
    """Make a model of a reference configuration; its heads are random but always the same.

    Args:
        name: one of `REFERENCE_CONFIGURATIONS`.
        folder: where its encoder is written to, and must stay; MiniLM's is where it is found.
    """
    config = REFERENCE_CONFIGURATIONS[name]
    if config.encoder == MINILM:
        encoder_folder = find_encoder(MINILM)
    else:
        encoder_folder = write_encoder(folder / f"{config.encoder}-encoder", config.encoder)
        config = config.model_copy(update={"encoder": str(encoder_folder)})
    encoder = Encoder.load(encoder_folder)
    network = Network(config, encoder, encoder.dimensions)
    randomize(network.heads, 3)
    return Checkpoint.create(network, Tokenizer.load(encoder_folder, config.max_tokens))
