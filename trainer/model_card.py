"""The model card: README.md of a checkpoint folder, in the form that the Hugging Face Hub reads.

It holds label names and figures, but no training text: some data may be used and not passed on.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from ..client.channel import DEFAULT_TARGET
from ..client.report.page_text import KIND_TITLES, duration, percent
from ..model.config import TaskConfig, TaskKind
from .markdown import escaped, listed, table, yaml_string
from .model_limitations import limitations
from .recipe import DataRecipe
from .run_summary import Evaluation, RunSummary
from .summary_figures import (
    epochs_done,
    in_order,
    task_evaluations,
    trained_parameters,
    unseen,
    whole,
)
from .summary_texts import (
    SPLIT_TITLES,
    figure_text,
    figure_title,
    short_count,
    weighting_text,
)

# Longer lists nobody reads in a card; all labels are in twinhead.json.
LABELS_LISTED = 30
LABELS_IN_TABLE = 100
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def write_model_card(summary: RunSummary, folder: Path) -> None:
    """Write README.md; the same run gives the same bytes.

    Args:
        summary: what the run tells. Its label names may hold anything.
        folder: of the checkpoint.
    """
    card = "\n".join([*_front_matter(summary), *_body(summary), ""])
    (folder / "README.md").write_bytes(card.encode("utf-8", "replace"))


def _front_matter(summary: RunSummary) -> Iterator[str]:
    kinds = {task.kind for task in summary.config.tasks}
    pipeline = "text-classification" if kinds else "feature-extraction"
    if kinds == {TaskKind.TOKEN}:
        pipeline = "token-classification"
    tags = ["twinhead", "sentence-transformers", "feature-extraction"]
    tags += ["text-classification"] if kinds - {TaskKind.TOKEN} else []
    tags += ["token-classification"] if TaskKind.TOKEN in kinds else []
    tags += ["multi-task"] if len(summary.config.tasks) > 1 else []
    hubs = [source.hub.partition(":")[0] for source in summary.recipe.data if source.hub]
    yield "---"
    yield "library_name: twinhead"
    yield f"pipeline_tag: {pipeline}"
    if _is_hub_name(summary.config.encoder):
        yield f"base_model: {yaml_string(summary.config.encoder)}"
    if hubs:
        yield "datasets:"
        yield from (f"  - {yaml_string(name)}" for name in dict.fromkeys(hubs))
    yield "tags:"
    yield from (f"  - {tag}" for tag in tags)
    yield "---"


def _body(summary: RunSummary) -> Iterator[str]:
    config = summary.config
    encoder = config.encoder if _is_hub_name(config.encoder) else PurePath(config.encoder).name
    yield f"\n# {escaped(summary.title)}\n"
    yield (
        f"A Twinhead model: {escaped(encoder)} with "
        f"{'one task head' if len(config.tasks) == 1 else f'{len(config.tasks)} task heads'}. "
        "One pass of the encoder gives the embedding of a text and the answers of all heads. "
        f"Version `{summary.version}`.\n"
    )
    yield from table(
        ["task", "answers with", "pooling", "labels"],
        [
            [task.name, KIND_TITLES[task.kind], _pooling(task), listed(task.labels, LABELS_LISTED)]
            for task in config.tasks
        ],
    )
    yield (
        f"Embeddings: pooling `{config.embedding_pooling}`. "
        f"Texts are cut at {config.max_tokens:,} tokens.\n"
    )
    yield from _usage(config.tasks)
    yield "\n## Figures\n"
    yield "Seen rows are a sample of the training rows; unseen rows were not trained on.\n"
    for task in config.tasks:
        yield from _task_figures(summary, task)
    yield from _training_data(summary)
    yield from _training(summary)
    yield "\n## Limitations\n"
    yield from (f"- {line}" for line in limitations(summary))


def _is_hub_name(encoder: str) -> bool:
    # What is a folder here was not the Hub's: folders come first when a name is looked up.
    return _HUB_NAME.fullmatch(encoder) is not None and not Path(encoder).is_dir()


def _usage(tasks: Sequence[TaskConfig]) -> Iterator[str]:
    yield "## Use\n"
    yield "```\ntwinhead serve --model FOLDER                   # the folder of this file"
    yield "twinhead label texts.csv -o labelled.csv        # in another terminal\n```\n"
    shown = "result.embeddings.shape"
    if tasks:
        answer = "entities" if tasks[0].kind is TaskKind.TOKEN else "labels"
        shown += f', result["{tasks[0].name}"].{answer}'
    yield "```python\nfrom twinhead.client import Client\n"
    yield f'with Client("{DEFAULT_TARGET}") as client:'
    yield '    result = client.infer(["The first text.", "The second text."])'
    yield f"    print({shown})\n```"


def _task_figures(summary: RunSummary, task: TaskConfig) -> Iterator[str]:
    found = task_evaluations(summary, task.name)
    yield f"### {escaped(task.name)}\n"
    if not found:
        yield "Nothing was measured.\n"
        return
    main = found[0].metrics.main_figure
    wanted = [main, "macro_f1", "f1", "micro_f1", "exact_match", "accuracy", "roc_auc", "ece"]
    names = [
        name for name in dict.fromkeys(wanted) if any(name in one.metrics.figures for one in found)
    ]
    yield from table(
        ["rows", "count", *map(figure_title, names)],
        [
            [
                SPLIT_TITLES[one.split] if one.dataset is None else f"{one.dataset}, {one.split}",
                f"{one.metrics.rows:,}",
                *(figure_text(one.metrics.figures.get(name)) for name in names),
            ]
            for one in found
        ],
    )
    if (best := unseen(found)) is not None:
        yield from _label_table(task, best)
    temperature = summary.temperatures.get(task.name, 1.0)
    validation = whole(found, "validation")
    if temperature == 1.0:
        yield "Not calibrated: the temperature is 1.\n"
    else:
        after = validation.metrics.figures.get("ece") if validation else None
        measured = summary.uncalibrated.get(task.name)
        before = measured.figures.get("ece") if measured else None
        yield (
            f"Calibration: temperature {figure_text(temperature)}. Expected calibration error on "
            f"validation rows {figure_text(before)} before, "
            f"{figure_text(after)} with it.\n"
        )


def _label_table(task: TaskConfig, evaluation: Evaluation) -> Iterator[str]:
    labels = evaluation.metrics.per_label
    what = "entities" if task.kind is TaskKind.TOKEN else "rows"
    if len(labels) > LABELS_IN_TABLE:
        split = SPLIT_TITLES[evaluation.split]
        yield f"The {LABELS_IN_TABLE} weakest of {len(labels):,} labels, {split}:\n"
        # A label that is nowhere in the rows is not weak.
        labels = sorted(labels, key=lambda one: (not one.support, one.f1))[:LABELS_IN_TABLE]
    else:
        yield f"Each label, {SPLIT_TITLES[evaluation.split]}:\n"
    yield from table(
        ["label", "precision", "recall", "F1", what],
        [
            [one.label, *map(figure_text, (one.precision, one.recall, one.f1)), f"{one.support:,}"]
            for one in labels
        ],
    )


def _training_data(summary: RunSummary) -> Iterator[str]:
    yield "## Training data\n"
    sources = {source.name: source for source in summary.recipe.data}
    yield from table(
        ["data set", "split", "rows", "from"],
        [
            [one.dataset, one.split, f"{one.rows:,}", _origin(sources.get(one.dataset), one.split)]
            for one in in_order(summary.data)
        ],
    )
    told = [
        f"- {escaped(source.name)}: {escaped(line)}"
        for source in summary.recipe.data
        for line in _about(source)
    ]
    yield from told
    if told:
        yield ""


def _about(source: DataRecipe) -> Iterator[str]:
    if source.about:
        yield source.about
    for name, column in source.tasks.items():
        if column.choices:
            yield f"{name} could only be {_either(column.choices)}; its figures are among these."


def _either(labels: Sequence[str]) -> str:
    return f"{', '.join(labels[:-1])} or {labels[-1]}"


def _origin(source: DataRecipe | None, split: str) -> str:
    if source is None:
        return "-"
    files: tuple[str, ...] = getattr(source, split)
    if source.hub is not None:
        return f"{source.hub}, {', '.join(files or source.train)}"
    # Names alone: the folders of a machine are nobody's business.
    return ", ".join(PurePath(file).name for file in files or source.train)


def _training(summary: RunSummary) -> Iterator[str]:
    recipe, training = summary.recipe, summary.recipe.training
    yield "## Training\n"
    yield (
        f"{epochs_done(summary):.4g} of {training.epochs} epochs in {duration(summary.seconds)}; "
        f"the weights are those of step {summary.best_step:,}. Batches of "
        f"{recipe.sampling.batch_size} rows, {recipe.sampling.schedule}. AdamW, learning rate "
        f"{training.learning_rate:g} (heads {training.head_learning_rate:g}), seed "
        f"{training.seed}. Losses: {escaped(weighting_text(summary))}.\n"
    )
    if recipe.model.checkpoint is not None:
        name = PurePath(recipe.model.checkpoint).name
        yield f"Training began with the checkpoint {escaped(name)}.\n"
    rows: list[list[str]] = []
    for number, stage in enumerate(summary.history.stages, 1):
        trained, share = trained_parameters(stage)
        rules = ", ".join(stage.rules) or "nothing is frozen"
        parameters = f"{short_count(trained)} ({percent(share, 1)})"
        rows.append([str(number), f"{stage.epoch:.3g}", stage.reason, rules, parameters])
    yield from table(["stage", "from epoch", "why", "frozen by", "trained parameters"], rows)
    listed = (
        f"{escaped(key)} {escaped(text)}" for key, text in sorted(summary.environment.items())
    )
    if summary.kept_embeddings is not None:
        yield (
            "A loss kept the embeddings where they were: on validation rows their mean cosine to "
            f"those before training is {figure_text(summary.kept_embeddings)}.\n"
        )
    if summary.rounded:
        yield (
            "Rounded to half precision, which changed no answer on validation rows: "
            f"{escaped(', '.join(summary.rounded))}.\n"
        )
    if environment := ", ".join(listed):
        yield f"Made with: {environment}."


def _pooling(task: TaskConfig) -> str:
    return "each word" if task.kind is TaskKind.TOKEN else task.pooling.value
