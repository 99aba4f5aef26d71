"""The page as a whole: what it tells, that it is safe, and that it works in a browser."""

import base64
import hashlib
import re

import pyarrow as pa
import pytest
from browser import document_of, pixels_of, screenshot_of
from html_page import check_closed
from small_label_run import (
    HOSTILE,
    NAMES,
    TOPIC,
    URGENT,
    Run,
    floats,
    model,
    page_of,
    report_of,
    summary_of,
)
from twinhead.client.label_report.label_report import LabelReport
from twinhead.client.results import TaskInfo

ROWS = 300
MANY = TaskInfo("many", "single_label", tuple(f"label {number}" for number in range(200)))
STRANGE = TaskInfo("strange", "kind_7", ("a",))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    run = Run(ROWS)
    folder = tmp_path_factory.mktemp("report")
    return *page_of(report_of(run), folder, summary_of(ROWS, run.failed)), folder


def many_labels():
    report = LabelReport("many", model((MANY, URGENT)), (MANY, URGENT))
    run = Run(400, ())
    labels = [MANY.label_names[number % 200] for number in range(400)]
    run.columns |= {"many": pa.array(labels), "many_score": floats([0.5] * 400)}
    run.add_to(report)
    return report


def all_failed():
    run = Run(30)
    run.columns = {name: pa.nulls(30, column.type) for name, column in run.columns.items()}
    run.columns["error"] = pa.array(["gone"] * 30)
    return report_of(run, embeddings=False)


RUNS = {
    "no rows": lambda: report_of(Run(0)),
    "all rows failed": all_failed,
    "no embeddings": lambda: report_of(Run(50), embeddings=False),
    "one row": lambda: report_of(Run(1)),
    "one task": lambda: report_of(Run(50), (TOPIC,)),
    "no tasks": lambda: report_of(Run(50), ()),
    "entities only": lambda: report_of(Run(50), (NAMES,)),
    "an unknown kind": lambda: report_of(Run(50), (STRANGE, TOPIC)),
    "200 labels": many_labels,
}


def test_the_head_tells_the_run(full):
    _, page, _ = full
    head = re.sub(r"\s+", " ", page.texts[None])
    for told in (
        "input & more.csv",
        "rows300",
        "with an answer270 90.0 %",
        "without an answer30",
        "cut, being too long75",
        "rows a second3 in 1 min 40 s",
        "model version0123456789abcdef",
        "encodersmall <encoder>",
        "taskstopic, urgent, flags, names",
        "30 rows have no answer (10.0 % of all)",
    ):
        assert told in head, told
    assert "changed on the way" not in head


def test_every_section_is_there_and_linked(full):
    _, page, _ = full
    sections = [one for one in page.texts if one]
    # Of the four tasks three are about whole texts.
    tasks, pairs = [f"task-{n}" for n in range(4)], [f"pair-{n}" for n in range(3)]
    assert sections == ["map", *tasks, *pairs, "failed"]
    links = [value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert set(links) == set(sections)
    assert len(page.ids) == len(set(page.ids))


def test_the_page_asks_for_nothing_and_allows_only_its_own_script(full):
    text, page, _ = full
    check_closed(text, page)
    assert page.tags.count("script") == 2


def test_hostile_texts_are_text(full):
    text, page, _ = full
    assert "\u2028" not in text
    assert "\u202e" not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", text)
    shown = {row[1] for table in page.tables for row in table if len(row) == 4}
    assert len(shown.intersection(HOSTILE)) > 2
    assert len(text) < 1_000_000


def test_a_model_that_changed_is_told(tmp_path):
    run = Run(30)
    run.columns["model_version"] = pa.array(["one"] * 10 + ["two"] * 15 + [None] * 5)
    text, page = page_of(report_of(run), tmp_path)
    assert "model versiontwo (15 rows), one (10 rows)" in page.texts[None]
    assert "The model changed on the way" in text


@pytest.mark.parametrize("name", RUNS)
def test_every_run_gives_a_page(name, tmp_path):
    text, page = page_of(RUNS[name](), tmp_path)
    assert page.texts["map"]
    assert "nan" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL).lower()
    assert ("The input has no rows." in text) == (name == "no rows")


def test_the_cards_have_the_most_frequent_labels(tmp_path):
    text, page = page_of(many_labels(), tmp_path)
    assert text.count('<div class="card">') == 2
    assert "and 195 more labels" in page.texts[None]


@pytest.mark.parametrize("dark", [False, True])
def test_it_works_in_a_browser(full, dark):
    _, _, folder = full
    document, state = document_of(folder / "report.html", folder, dark=dark)
    assert state == {"drawn": "270", "ready": "yes"}
    assert "270 of 270 points" in document
    legend = re.search('<div class="legend".*?</div>', document, re.DOTALL)[0]
    assert legend.count("aria-pressed") == 3
    assert "&lt;/script&gt;&lt;b&gt;" in legend


HANDS = """
// Time is virtual here, and frames come when the machine has time for them.
requestAnimationFrame = (act) => setTimeout(act, 0);
addEventListener("load", () => {
  const root = document.documentElement, part = (name) => document.querySelector(name);
  const event = (name, kind) => part(name).dispatchEvent(kind);
  const press = (key) => event("canvas", new KeyboardEvent("keydown", { key }));
  const frame = () => new Promise((done) => setTimeout(done, 50));
  const choose = () => { part("select").selectedIndex = 1; event("select", new Event("change")); };
  const find = (words) => { part("input").value = words; event("input", new Event("input")); };
  (async () => {
    choose();
    part(".legend button").click();
    await frame();
    root.dataset.toggled = root.dataset.drawn;
    part(".legend button").click();
    for (const key of ["+", "ArrowRight", "ArrowUp"]) press(key);
    await frame();
    root.dataset.tip = part(".tip").innerText;
    press("Escape");
    find("DOGS");
    await frame();
    root.dataset.gone = part(".tip").hidden;
    root.dataset.found = part("output").textContent;
  })();
});
"""


def test_the_map_answers_its_reader(full, tmp_path):
    text, _, _ = full
    digest = base64.b64encode(hashlib.sha256(HANDS.encode()).digest()).decode()
    moved = text.replace("script-src ", f"script-src 'sha256-{digest}' ")
    moved = moved.replace("</head>", f"<script>{HANDS}</script></head>")
    (tmp_path / "moved.html").write_text(moved, encoding="utf-8")
    _, state = document_of(tmp_path / "moved.html", tmp_path)
    run = Run(ROWS)
    assert int(state["toggled"]) == run.columns["urgent"].to_pylist().count("yes")
    dogs = sum("dogs" in text for row, text in enumerate(run.texts) if row % 10 != 9)
    assert state["found"] == f"{dogs} of 270 points"
    assert state["gone"] == "true"
    number, words, *tasks = [line for line in state["tip"].splitlines() if line]
    assert number.startswith("row ")
    assert words
    assert [line.split(":")[0] for line in tasks] == ["topic", "urgent", "flags", "names"]


@pytest.mark.parametrize("name", ["no rows", "one row", "no tasks", "200 labels"])
def test_odd_runs_work_in_a_browser(name, tmp_path):
    page_of(RUNS[name](), tmp_path)
    _, state = document_of(tmp_path / "report.html", tmp_path)
    drawn = {"one row": "1", "no tasks": "45", "200 labels": "360"}.get(name)
    assert state == {"ready": "yes"} | ({"drawn": drawn} if drawn else {})


def test_what_could_slip_in_would_not_run(full, tmp_path):
    text, _, _ = full
    attack = "<script>document.documentElement.dataset.hacked = 1</script></body>"
    (tmp_path / "hacked.html").write_text(text.replace("</body>", attack), encoding="utf-8")
    with pytest.raises(AssertionError, match="Content Security Policy"):
        document_of(tmp_path / "hacked.html", tmp_path)


@pytest.mark.parametrize(
    ("dark", "paper", "colours"),
    [
        (False, (0xFF, 0xFF, 0xFF), [(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)]),
        (True, (0x14, 0x19, 0x1E), [(0x4A, 0x9F, 0xE0), (0xF0, 0x7C, 0x3A)]),
    ],
)
def test_it_is_seen(full, dark, paper, colours):
    _, _, folder = full
    pixels = pixels_of(screenshot_of(folder / "report.html", folder, dark=dark))
    assert pixels.shape == (1400, 1000, 3)
    assert tuple(pixels[2, 2]) == paper
    for colour in colours:  # bars in the cards, and more of the same in the map
        assert (abs(pixels - colour).max(axis=2) < 6).sum() > 1000
