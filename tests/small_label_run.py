"""A labelling run that never was: rows of four tasks, for the tests of the labeller's report."""

import numpy as np
import pyarrow as pa
from html_page import Page
from twinhead.client.label_report.label_report import LabelReport
from twinhead.client.labelling.label_summary import LabelSummary
from twinhead.client.results import ModelInfo, TaskInfo

TOPIC = TaskInfo("topic", "single_label", ("Sports", "</script><b>", "日本 🏅", "never"))
URGENT = TaskInfo("urgent", "binary", ("no", "yes"))
FLAGS = TaskInfo("flags", "multi_label", ("spam", "advert", "rude"))
NAMES = TaskInfo("names", "token", ("PER", "LOC"))
TASKS = (TOPIC, URGENT, FLAGS, NAMES)
DIMENSIONS = 8
HACK = "document.documentElement.dataset.hacked=1"
HOSTILE = (
    f"</script><script>{HACK}</script>",
    f'<img src=x onerror="{HACK}">',
    f"'\"><svg onload='{HACK}'>",
    f"<!--<script>{HACK}",
    "nul \0 escape \x1b[31m lines \u2028 \u2029 turn \u202e half \ud800 end",
    "مرحبا بالعالم",
    "👩‍👩‍👧 🏅",
    "x" * 2_000_000,
)
ENTITY = pa.struct(
    [
        ("text", pa.string()),
        ("label", pa.string()),
        ("start", pa.int32()),
        ("end", pa.int32()),
        ("score", pa.float32()),
    ]
)


class ReportPage(Page):
    VOID = (*Page.VOID, "input")


def model(tasks=TASKS):
    return ModelInfo(
        version="0123456789abcdef",
        encoder="small <encoder>",
        tasks={task.name: task for task in tasks},
        embedding_dimensions=DIMENSIONS,
        normalize=True,
        engine="none",
        precision="float32",
        device="cpu",
        worker_release="0",
        sentences_per_request=100,
        request_bytes=1000,
        tokens_per_sentence=10,
        characters_per_sentence=100,
    )


def floats(values):
    return pa.array(values, pa.float32())


def entities(*rows):
    """A column of entities: for each row (text, label, score) of each, or None."""
    filled = [
        None
        if row is None
        else [
            {"text": text, "label": label, "start": 0, "end": len(text), "score": score}
            for text, label, score in row
        ]
        for row in rows
    ]
    return pa.array(filled, pa.list_(ENTITY))


class Run:
    """Rows with new columns and embeddings; every tenth row has no answer."""

    def __init__(self, rows, hostile=HOSTILE):
        random = np.random.default_rng(7)
        texts = [
            f"row {number} is about {'cats' if number % 3 else 'dogs'}" for number in range(rows)
        ]
        self.texts = [*hostile, *texts][:rows]
        failed = np.arange(rows) % 10 == 9
        topics = [TOPIC.label_names[number % 3] for number in range(rows)]
        probabilities = random.random(rows).astype(np.float32)
        flags = [list(FLAGS.label_names[: number % 4]) for number in range(rows)]
        found = [
            [(f"Ann {number % 5}", "PER", 0.5), ("Rome <b>", "LOC", 0.25)][: number % 3]
            for number in range(rows)
        ]
        answered = [not each for each in failed]

        def some(values):
            return [value if fine else None for value, fine in zip(values, answered, strict=True)]

        self.columns = {
            "topic": pa.array(some(topics), pa.string()),
            "topic_score": floats(some(random.random(rows))),
            "topic_score_Sports": floats(some(random.random(rows))),
            "urgent": pa.array(
                some(["yes" if one >= 0.5 else "no" for one in probabilities]), pa.string()
            ),
            "urgent_probability": floats(some(probabilities)),
            "flags": pa.array(some(flags), pa.list_(pa.string())),
            "flags_scores": pa.array(
                some([[0.9, 0.75, 0.5][: len(each)] for each in flags]), pa.list_(pa.float32())
            ),
            "names": entities(*some(found)),
            "truncated": pa.array(some([number % 4 == 0 for number in range(rows)]), pa.bool_()),
            "error": pa.array(
                [None if fine else "it is <empty>" for fine in answered], pa.string()
            ),
            "model_version": pa.array(["0123456789abcdef"] * rows, pa.string()),
        }
        self.embeddings = random.normal(size=(rows, DIMENSIONS)).astype(np.float32)
        self.embeddings[:, 0] *= 5
        self.embeddings[failed] = np.nan
        self.failed = int(failed.sum())

    def add_to(self, report, size=4096, embeddings=True):
        """Tell the report all rows in batches of so many."""
        for start in range(0, len(self.texts), size):
            report.add(
                self.texts[start : start + size],
                {name: column.slice(start, size) for name, column in self.columns.items()},
                self.embeddings[start : start + size] if embeddings else None,
                start,
            )


def summary_of(rows, failed):
    summary = LabelSummary([])
    summary.rows = rows
    summary.failed.update({"empty": failed} if failed else {})
    summary._started -= 100  # so that the pace is the same however busy the machine is
    return summary


def page_of(report, folder, summary=None):
    """What a report writes, as text and parsed."""
    report.write(str(folder / "report.html"), summary or summary_of(0, 0))
    text = (folder / "report.html").read_text(encoding="utf-8")
    return text, ReportPage(text)


def report_of(run, tasks=TASKS, size=4096, embeddings=True):
    report = LabelReport("input & more.csv", model(tasks), tasks)
    run.add_to(report, size, embeddings)
    return report


def tallies_of(run, tasks=TASKS):
    return report_of(run, tasks)._tallies
