"""The starter model, measured: its labels, and whether its embeddings are still what they were.

    python bench/starter.py DATA CHECKPOINT... [--map embeddings.png]

Labels, on validation rows: accuracy of topics (ag_news_clean), macro F1 of sentiment on tweets
(tweet_sentiment), accuracy on film reviews, which have no neutral ones, between the other two
labels (sst2_sentences), and the expected calibration error of each (15 bins; of reviews, of the
scores that remain between two labels). Over several checkpoints: mean and standard deviation.

Embeddings, beside those of the encoder as it comes, on sets that the starter was not trained with
(and on held-out rows of two that it was):

    neighbours  share of the ten nearest rows (cosine, the row itself left out) with its label
    pairs       how often a pair of rows with one label is nearer than a pair with two (ROC AUC)
    cosine      mean cosine of a row's embedding to the untouched encoder's
    order       Spearman correlation of the cosines of random pairs with the untouched encoder's
    overlap     share of a row's ten nearest rows that are those of the untouched encoder

DATA is a folder with the sets that are named here, each with validation.jsonl.
"""

import json
from pathlib import Path

import click
import numpy as np
from scipy.special import softmax
from scipy.stats import spearmanr
from sklearn.metrics import f1_score, roc_auc_score
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.encoder import Encoder, find_encoder
from twinhead.model.network import Network
from twinhead.server.engines.torch_engine import TorchEngine

LABELLED = (
    ("topic", "ag_news_clean"),
    ("sentiment", "tweet_sentiment"),
    ("sentiment", "sst2_sentences"),
)
# Folder, column of the label.
NOT_TRAINED_WITH = (("clinc150", "label"), ("snips", "intent"), ("amazon_domains", "topic"))
TRAINED_WITH = (("review_sentences", "topic"), ("ag_news_clean", "label"))
MAPPED = "ag_news_clean"
ROWS = 3100
NEIGHBOURS = 10
PAIRS = 200_000
BINS = 15
PASS_TOKENS = 2048


class Model:
    """A checkpoint, or its encoder as it comes."""

    def __init__(self, checkpoint: Checkpoint, network: Network) -> None:
        self._engine = TorchEngine(network, "cpu")
        self._tokenizer = checkpoint.tokenizer
        self.config = checkpoint.config

    def embed(self, texts: list[str]) -> np.ndarray:
        """Normalised embeddings, [texts, dimensions]."""
        vectors = self._run(texts, None)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def score(self, task: str, texts: list[str]) -> np.ndarray:
        """Probabilities of the labels of a task, [texts, labels]."""
        return softmax(self._run(texts, task) / self.config.task(task).temperature, axis=1)

    def _run(self, texts: list[str], task: str | None) -> np.ndarray:
        ids = [sentence.ids for sentence in self._tokenizer(texts)]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]), reverse=True)
        found: dict[int, np.ndarray] = {}
        while order:
            count = max(1, PASS_TOKENS // len(ids[order[0]]))
            chosen, order = order[:count], order[count:]
            output = self._engine.encode([ids[index] for index in chosen], [task] if task else [])
            rows = output.logits[task] if task else output.embeddings
            found |= zip(chosen, rows, strict=True)
        return np.stack([found[index] for index in range(len(ids))])


def calibration_error(scores: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error of the top scores (Guo et al. 2017), equal widths."""
    top = scores.max(axis=1)
    bins = np.minimum((top * BINS).astype(int), BINS - 1)
    gaps = [
        (bins == b).mean() * abs(top[bins == b].mean() - right[bins == b].mean())
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


def label_figures(model: Model, data: Path) -> dict[str, float]:
    """The figures of a checkpoint's labels."""
    figures: dict[str, float] = {}
    for task, name in LABELLED:
        texts, labels = rows_of(data / name, "label", limit=None)
        names = model.config.task(task).labels
        present = [index for index, label in enumerate(names) if label in set(labels)]
        scores = model.score(task, texts)[:, present]
        scores /= scores.sum(axis=1, keepdims=True)
        answers = np.array(names)[present][scores.argmax(axis=1)]
        if name == "tweet_sentiment":
            figures[f"{name} macro F1"] = float(f1_score(labels, answers, average="macro"))
        figures[f"{name} accuracy"] = float((answers == labels).mean())
        figures[f"{name} ECE"] = calibration_error(scores, answers == labels)
    return figures


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


def embedding_figures(
    vectors: np.ndarray, untouched: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """All figures of one model's embeddings on one set."""
    near, first_near = nearest(vectors), nearest(untouched)
    first, second = random_pairs(len(vectors))
    cosines = (vectors[first] * vectors[second]).sum(axis=1)
    before = (untouched[first] * untouched[second]).sum(axis=1)
    shared = [len(set(a) & set(b)) for a, b in zip(near, first_near, strict=True)]
    return {
        "neighbours": float((labels[near] == labels[:, None]).mean()),
        "pairs": float(roc_auc_score(labels[first] == labels[second], cosines)),
        "cosine": float((vectors * untouched).sum(axis=1).mean()),
        "order": float(spearmanr(cosines, before).statistic),
        "overlap": float(np.mean(shared) / NEIGHBOURS),
    }


def rows_of(folder: Path, column: str, limit: int | None) -> tuple[list[str], np.ndarray]:
    """Validation texts of a set, drawn by a fixed seed where there are many, and their labels."""
    lines = (folder / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    if limit is not None:
        rows = [rows[i] for i in np.sort(np.random.default_rng(0).permutation(len(rows))[:limit])]
    # What is out of scope has nothing in common.
    rows = [row for row in rows if row[column] != "oos"]
    return [row["text"] for row in rows], np.array([row[column] for row in rows])


def draw_map(maps: list[tuple[str, np.ndarray]], labels: np.ndarray, file: Path) -> None:
    """Embeddings in two dimensions (t-SNE, van der Maaten & Hinton 2008), side by side."""
    import matplotlib.pyplot as plt
    from sklearn.manifold import TSNE

    figure, axes = plt.subplots(1, len(maps), figsize=(5.5 * len(maps), 5.2))
    for axis, (title, vectors) in zip(axes, maps, strict=True):
        places = TSNE(metric="cosine", init="pca", random_state=0).fit_transform(vectors)
        for label in sorted(set(labels)):
            own = labels == label
            axis.scatter(*places[own].T, s=4, alpha=0.7, label=label, linewidths=0)
        axis.set_title(title)
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0].legend(markerscale=4, frameon=False, loc="best")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


@click.command(help=__doc__)
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument(
    "folders",
    metavar="CHECKPOINT...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option("--map", "picture", type=click.Path(dir_okay=False, path_type=Path))
def main(data: Path, folders: tuple[Path, ...], picture: Path | None) -> None:
    """Measure, and print tables."""
    checkpoints = [Checkpoint.load(folder) for folder in folders]
    models = [Model(checkpoint, checkpoint.network) for checkpoint in checkpoints]
    first = checkpoints[0]
    encoder = Encoder.load(find_encoder(first.config.encoder))
    plain = Model(first, Network(first.config, encoder, encoder.dimensions).eval())

    figures = [label_figures(model, data) for model in models]
    versions = " | ".join(checkpoint.version for checkpoint in checkpoints)
    print(f"| figure | {versions} | mean | deviation |\n{'|---' * (len(models) + 3)}|")
    for name in figures[0]:
        values = [found[name] for found in figures]
        cells = " | ".join(f"{value:.4f}" for value in values)
        print(f"| {name} | {cells} | {np.mean(values):.4f} | {np.std(values):.4f} |")

    print("\n| set | model | neighbours | pairs | cosine | order | overlap |")
    print("|---|---|---|---|---|---|---|")
    changes: list[list[float]] = [[] for _ in models]
    for name, column in (*NOT_TRAINED_WITH, *TRAINED_WITH):
        texts, labels = rows_of(data / name, column, ROWS)
        untouched = plain.embed(texts)
        before = embedding_figures(untouched, untouched, labels)
        measured = [("as it comes", before)]
        for checkpoint, model, changed in zip(checkpoints, models, changes, strict=True):
            found = embedding_figures(model.embed(texts), untouched, labels)
            measured.append((checkpoint.version, found))
            if (name, column) in NOT_TRAINED_WITH:
                changed += [found[key] / before[key] - 1 for key in ("neighbours", "pairs")]
        for model_name, found in measured:
            cells = " | ".join(f"{value:.4f}" for value in found.values())
            print(f"| {name} ({len(texts):,}) | {model_name} | {cells} |", flush=True)
        if picture is not None and name == MAPPED:
            maps = [("as it comes", untouched), ("the starter's", models[0].embed(texts))]
            draw_map(maps, labels, picture)
    for checkpoint, changed in zip(checkpoints, changes, strict=True):
        print(
            f"{checkpoint.version}: neighbours and pairs on the sets not trained with changed by "
            f"{100 * np.mean(changed):+.2f} % on average, the worst by {100 * min(changed):+.2f} %"
        )


if __name__ == "__main__":
    main()
