"""How good embeddings still are for search and clustering, beside those of the untouched encoder.

    python bench/embeddings.py DATA CHECKPOINT...

On rows of sets that the starter was not trained with (and the news that it was), for the encoder as
it comes and for each checkpoint:

    neighbours  share of the ten nearest rows (cosine, leaving the row itself out) that have its label
    pairs       how often a pair of rows with one label is nearer than a pair with two (ROC AUC)
    cosine      mean cosine of a row's embedding to the untouched encoder's
    order       Spearman correlation of the cosines of random pairs with the untouched encoder's
    overlap     share of a row's ten nearest rows that are those of the untouched encoder

DATA is a folder with clinc150, snips, amazon_domains, review_sentences and ag_news_clean.
"""

import json
from pathlib import Path

import click
import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.network import Network
from twinhead.model.tokenizer import Tokenizer
from twinhead.server.engines.torch_engine import TorchEngine

# Folder, column of the label; not trained with, but for the last.
SETS = (
    ("clinc150", "label"),
    ("snips", "intent"),
    ("amazon_domains", "topic"),
    ("review_sentences", "topic"),
    ("ag_news_clean", "label"),
)
ROWS = 3100
NEIGHBOURS = 10
PAIRS = 200_000
PASS_TOKENS = 2048


def embed(network: Network, tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """Normalised embeddings, [texts, dimensions]."""
    engine = TorchEngine(network, "cpu")
    ids = [sentence.ids for sentence in tokenizer(texts)]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]), reverse=True)
    vectors = np.empty((len(ids), network.dimensions), dtype=np.float32)
    while order:
        count = max(1, PASS_TOKENS // len(ids[order[0]]))
        chosen, order = order[:count], order[count:]
        vectors[chosen] = engine.encode([ids[index] for index in chosen], []).embeddings
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def nearest(vectors: np.ndarray) -> np.ndarray:
    """The nearest rows of each row, itself left out, [rows, NEIGHBOURS]."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    return np.argpartition(-cosines, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]


def random_pairs(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of different rows, the same ones each time."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, rows, (2, PAIRS))
    different = first != second
    return first[different], second[different]


def figures(vectors: np.ndarray, untouched: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All figures of one model on one set."""
    near, first_near = nearest(vectors), nearest(untouched)
    first, second = random_pairs(len(vectors))
    cosines = (vectors[first] * vectors[second]).sum(axis=1)
    return {
        "neighbours": float((labels[near] == labels[:, None]).mean()),
        "pairs": float(roc_auc_score(labels[first] == labels[second], cosines)),
        "cosine": float((vectors * untouched).sum(axis=1).mean()),
        "order": float(
            spearmanr(cosines, (untouched[first] * untouched[second]).sum(axis=1)).statistic
        ),
        "overlap": float(
            np.mean([len(set(a) & set(b)) for a, b in zip(near, first_near, strict=True)])
            / NEIGHBOURS
        ),
    }


def rows_of(folder: Path, column: str) -> tuple[list[str], np.ndarray]:
    """Validation texts of a set, drawn by a fixed seed where there are many, and their labels."""
    lines = (folder / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    chosen = np.random.default_rng(0).permutation(len(rows))[:ROWS]
    rows = [rows[index] for index in np.sort(chosen)]
    # What is out of scope has nothing in common.
    rows = [row for row in rows if row[column] != "oos"]
    return [row["text"] for row in rows], np.array([row[column] for row in rows])


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument(
    "checkpoints",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
def main(data: Path, checkpoints: tuple[Path, ...]) -> None:
    """Measure, and print one table."""
    from twinhead.model.encoder import Encoder, find_encoder

    first = Checkpoint.load(checkpoints[0])
    encoder = Encoder.load(find_encoder(first.config.encoder))
    plain = Network(first.config, encoder, encoder.dimensions).eval()
    print("| set | model | neighbours | pairs | cosine | order | overlap |")
    print("|---|---|---|---|---|---|---|")
    kept: dict[Path, list[float]] = {folder: [] for folder in checkpoints}
    for name, column in SETS:
        texts, labels = rows_of(data / name, column)
        untouched = embed(plain, first.tokenizer, texts)
        before = figures(untouched, untouched, labels)
        models = [("untouched", before)]
        for folder in checkpoints:
            model = Checkpoint.load(folder)
            found = figures(embed(model.network, model.tokenizer, texts), untouched, labels)
            models.append((model.version, found))
            kept[folder] += [found[key] / before[key] - 1 for key in ("neighbours", "pairs")]
        for model_name, found in models:
            cells = " | ".join(f"{value:.4f}" for value in found.values())
            print(f"| {name} ({len(texts):,}) | {model_name} | {cells} |", flush=True)
    for folder, changes in kept.items():
        unseen = changes[:-2]
        print(
            f"{folder.name}: mean change of neighbours and pairs on sets not trained with "
            f"{100 * np.mean(unseen):+.2f} %, the worst {100 * min(unseen):+.2f} %"
        )


if __name__ == "__main__":
    main()
