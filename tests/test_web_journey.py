"""The page in a real browser, in front of a real worker: what people see, and what they can do."""

import json
import re
import shutil
import urllib.request

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import NAMES, pixels_of
from conftest import WorkerProcess
from every_kind import RANDOM_TASKS
from playwright.sync_api import Page, expect, sync_playwright
from small_bert import small_checkpoint, write_small_bert
from swapped import offer_of
from twinhead.client import AdminClient, Client
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.config import TaskConfig
from web_pages import PageProcess

SENTENCES = [
    "Ann 😀 met Bob Dylan in Rome after the match.",
    "Shares fell two percent on Monday.",
    "A goal in the last minute decided the final.",
]
# A task of each kind.
TASKS = (TaskConfig(name="topic", labels=("World", "Sports", "Business", "Science")), *RANDOM_TASKS)
# What a worker, or somebody who types, may put where the page shows text.
HOSTILE = [
    "<img src=x onerror=\"document.title='hacked'\">",
    "</textarea><script>document.title='hacked'</script>",
    "javascript:alert(1)",
    "\u202egnp.exe\u2066",
    '"><svg onload=alert(1)>&amp;&lt;b&gt;',
]


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(
            "no Chromium: not tested that the page shows answers, follows versions and a worker "
            "that comes back, is accessible, and takes hostile texts for texts"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def opposite(checkpoint):
    """A version whose topics are the least probable of the other's."""
    network = checkpoint.network
    tensors = network.state_dict().items()
    topic = {name: -tensor for name, tensor in tensors if name.startswith("heads.topic.")}
    return Checkpoint.create(network.with_tensors(checkpoint.config, topic), checkpoint.tokenizer)


class Served:
    """A worker with a task of each kind, and a page in front of it."""

    def __init__(self, folder):
        self._folder = folder
        encoder = write_small_bert(folder / "encoder")
        small_checkpoint(encoder, TASKS).save(folder / "model")
        self.first = Checkpoint.load(folder / "model")
        self.second = opposite(self.first)
        self.worker = self._start(0)
        self.page = PageProcess(
            *("--worker", self.worker.target, "--admin", self.worker.admin_target)
        )
        # The examples that come along are embedded, and near to whatever is asked.
        self.page.wait_for("recent", lambda recent: recent["version"] == self.first.version)

    def _start(self, port, *options):
        serve = ("--engine", "torch", "--threads", "1")
        return WorkerProcess(
            self._folder, "--model", str(self._folder / "model"), *serve, *options, port=port
        )

    def start_again(self):
        self.worker = self._start(self.worker.port)

    def push(self, checkpoint):
        """As from another terminal."""
        with AdminClient(self.worker.admin_target) as admin:
            if admin.status().model_version == checkpoint.version:
                return
            with admin.push(offer_of(checkpoint)) as push:
                push.stage()
                push.go_live()

    def close(self):
        self.page.process.kill()
        self.page.process.wait()
        self.page.process.stdout.close()
        self.worker.kill()


@pytest.fixture(scope="module")
def served(browser, tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("web"))
    yield served
    served.close()


@pytest.fixture
def open_page(browser, served):
    """Open the page, with what its console may not say, and that must be nothing."""
    contexts, said = [], []

    def open_page(*, ready=True, events=None, **options) -> Page:
        context = browser.new_context(locale="en-US", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "console",
            lambda message: said.append(message.text) if message.type == "error" else None,
        )
        if events is not None:
            page.route("**/events", lambda route: route.fulfill(**events_of(events)))
        page.goto(served.page.url)
        if ready:
            expect(page.locator("#version")).not_to_be_empty()
        return page

    yield open_page
    for context in contexts:
        context.close()
    # A browser itself notes that a request was answered by an error.
    assert [text for text in said if "Failed to load resource" not in text] == []


def events_of(sections):
    lines = [f"event: {name}\ndata: {json.dumps(value)}\n\n" for name, value in sections]
    return {"content_type": "text/event-stream", "body": "retry: 100000\n\n" + "".join(lines)}


def ask(page, *sentences):
    page.get_by_label("One a line").fill("\n".join(sentences))
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#answers > .row")).to_have_count(len(sentences))


def row_of(page, place):
    return page.locator("#answers > .row").nth(place)


def task_of(row, task):
    """What a task says of a sentence."""
    return row.locator(f"section:has(bdi:text-is('{task}'))")


def labels_of(page, task):
    """The label that is given to each sentence; of rows that are not rendered yet, too."""
    rows = page.locator("#answers > .row").all()
    return [task_of(row, task).locator(".given .name").text_content() for row in rows]


def text_of(row):
    """A sentence as it is shown, without what its entities are called."""
    return row.locator(".text").evaluate(
        "(text) => { const copy = text.cloneNode(true);"
        " copy.querySelectorAll('small').forEach((each) => each.remove());"
        " return copy.textContent; }"
    )


def test_answers_are_the_workers_own(served, open_page):
    served.push(served.first)
    page = open_page()
    ask(page, *SENTENCES)
    with Client(served.worker.target) as client:
        result = client.infer(SENTENCES)
    assert labels_of(page, "topic") == result["topic"].labels
    for place, sentence in enumerate(SENTENCES):
        row = row_of(page, place)
        # All labels, the most probable first.
        topic = task_of(row, "topic")
        percents = topic.locator(".score").all_text_contents()
        scores = [float(re.sub(r"[^\d.]", "", text)) for text in percents]
        assert len(scores) == 4
        assert scores == sorted(scores, reverse=True)
        score = result["topic"].scores[place]
        shown = topic.locator(".given .score").text_content()
        assert shown == (">\u00a099.9\u00a0%" if score >= 0.9995 else f"{100 * score:.1f}\u00a0%")
        # Yes or no, and from when on.
        urgent = task_of(row, "urgent")
        expect(urgent.locator(".verdict")).to_have_text(result["urgent"].labels[place])
        expect(urgent.locator(".mark")).to_have_attribute("style", "left: 50%;")
        given = task_of(row, "flags").locator(".given .name").all_text_contents()
        assert given == result["flags"].labels[place]
        # Entities, where they are: offsets count characters, and an emoji is two to JavaScript.
        marks = row.locator(".text mark > bdi").all_text_contents()
        entities = result["entities"].entities[place]
        assert marks == [sentence[entity.start : entity.end] for entity in entities]
        assert text_of(row) == sentence
    # The nearest of all that is known here.
    near = row_of(page, 2).locator(".near li")
    expect(near).to_have_count(3)
    cosines = [float(text) for text in near.locator(".score").all_text_contents()]
    assert cosines == sorted(cosines, reverse=True)


def test_answers_come_while_one_types(served, open_page):
    page = open_page()
    box = page.get_by_label("One a line")
    box.press_sequentially("The striker", delay=5)
    expect(row_of(page, 0).locator(".text")).to_contain_text("striker")
    box.press_sequentially(" scored twice.\n\nShares", delay=5)
    expect(page.locator("#answers > .row")).to_have_count(2)
    assert len(labels_of(page, "topic")) == 2
    page.get_by_label("answer while I type").uncheck()
    box.press_sequentially(" fell.")
    box.press("Control+Enter")
    expect(row_of(page, 1).locator(".text")).to_contain_text("fell")
    box.fill("")
    box.press("Control+Enter")
    expect(page.locator("#answers .empty")).to_be_visible()


def test_sentences_without_an_answer_say_why(served, open_page):
    page = open_page()
    sentences = ["\u0001", "long " * 400, "fine"]
    ask(page, *sentences)
    with Client(served.worker.target) as client:
        status = client.infer(sentences).statuses[1]
    expect(row_of(page, 0).locator(".fault")).to_contain_text("unreadable: nothing of the sentence")
    much = f"the first {status.tokens_used} tokens of {status.tokens:,} were read"
    expect(row_of(page, 1).locator(".fault")).to_have_text(f"cut: only {much}")
    expect(row_of(page, 2).locator(".fault")).to_have_count(0)
    page.get_by_label("cut what is too long").uncheck()
    long = f"too long: the sentence has {status.tokens} tokens"
    expect(row_of(page, 1).locator(".fault")).to_contain_text(long)
    expect(row_of(page, 1).locator(".bars")).to_have_count(0)
    page.get_by_label("One a line").fill("w\n" * 1001)
    page.get_by_role("button", name="Ask", exact=True).click()
    much = "This takes 1,000 sentences at a time; there are 1,001."
    expect(page.locator("#notice")).to_have_text(much)


def test_a_push_from_elsewhere_and_a_rollback_by_the_keyboard_alone(served, open_page):
    served.push(served.first)
    page = open_page(reduced_motion="reduce")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the sentences")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("\n".join(SENTENCES))
    page.keyboard.press("Control+Enter")
    expect(page.locator("#version")).to_have_text(served.first.version)
    expect(page.locator("#notice")).to_contain_text(served.first.version)
    before = labels_of(page, "topic")
    page.evaluate("window.sameDocument = true")

    served.push(served.second)
    expect(page.locator("#version")).to_have_text(served.second.version)
    expect(page.locator("#notice")).to_contain_text(f"by {served.second.version}; ")
    with Client(served.worker.target) as client:
        result = client.infer(SENTENCES)
    assert result.model_version == served.second.version
    after = labels_of(page, "topic")
    assert after == result["topic"].labels != before
    moved = next(place for place in range(3) if before[place] != after[place])
    expect(row_of(page, moved)).to_have_class("row changed")
    expect(row_of(page, moved).locator(".was").first).to_have_text(f"was {before[moved]}")
    expect(page.locator("#versions > li").first).to_contain_text(served.second.version)
    # Neighbours come back when they are embedded by it, and the marks stay.
    served.page.wait_for("recent", lambda recent: recent["version"] == served.second.version)
    expect(row_of(page, moved).locator(".near li")).to_have_count(3)
    expect(row_of(page, moved).locator(".was").first).to_have_text(f"was {before[moved]}")

    back = page.get_by_role("button", name="Back to the version before")
    while not back.evaluate("(button) => button === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=f"Make {served.first.version} live?")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(back).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Make it live")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#version")).to_have_text(served.first.version)
    expect(page.locator("#notice")).to_contain_text(f"by {served.first.version}; ")
    assert labels_of(page, "topic") == before
    assert page.evaluate("window.sameDocument")  # never loaded again


def test_a_push_that_cannot_be_begun_says_why(open_page):
    page = open_page()
    page.get_by_label("Checkpoint folder").fill("nowhere/to/be/found")
    page.get_by_role("button", name="Push", exact=True).click()
    expect(page.locator("#push-note")).to_contain_text("no such folder")


@pytest.mark.long
def test_a_push_from_the_page(served, open_page, tmp_path):
    served.push(served.first)
    served.second.save(tmp_path / "second")
    page = open_page()
    page.get_by_label("Checkpoint folder").fill(str(tmp_path / "second"))
    page.get_by_role("button", name="Push", exact=True).click()
    expect(page.locator("#push-note")).to_have_text("second is pushed.", timeout=120_000)
    expect(page.locator("#push-said")).to_contain_text(f"{served.second.version} is live")
    expect(page.locator("#version")).to_have_text(served.second.version)


def test_load_is_live(served, open_page):
    page = open_page()
    chart = page.get_by_role("img", name=re.compile("Sentences a second over the last"))
    expect(chart).to_be_visible()
    with Client(served.worker.target) as client:
        client.infer(["w"] * 200)
    expect(page.locator("#load")).to_contain_text(re.compile(r"interactive\s*\d+"))
    expect(page.locator("#load figcaption")).to_contain_text(re.compile(r"at most ([2-9]|\d\d)"))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 380)])
def test_it_is_accessible(open_page, scheme, width):
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    ask(page, *SENTENCES, "\u0001")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width  # nothing sticks out
    page.get_by_role("button", name="Push", exact=True).scroll_into_view_if_needed()
    names = page.get_by_role("textbox").all()
    assert all(name.is_visible() for name in names)


def test_light_and_dark_are_two_looks(open_page, tmp_path):
    paper = {}
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        ask(page, SENTENCES[0])
        page.screenshot(path=tmp_path / f"{scheme}.png")
        paper[scheme] = np.median(pixels_of(tmp_path / f"{scheme}.png"), axis=(0, 1))
    assert paper["light"].min() > 200
    assert paper["dark"].max() < 60


def test_hostile_texts_are_texts(served, open_page):
    page = open_page()
    title = page.title()
    ask(page, *HOSTILE)
    for place, text in enumerate(HOSTILE):
        assert text_of(row_of(page, place)) == text
    bar = {"label": HOSTILE[0], "colour": 3, "score": 0.5, "threshold": 0.2, "given": True}
    task = {"task": HOSTILE[1], "labels": [HOSTILE[0]]}
    part = {"text": HOSTILE[1], "label": HOSTILE[4], "score": 0.5, "colour": 99}
    row = {
        "status": {"code": HOSTILE[0], "message": HOSTILE[1], "truncated": False},
        "tasks": [
            {**task, "kind": "single_label", "bars": [bar] * 20},
            {**task, "kind": "token", "parts": [part, {"text": HOSTILE[3]}]},
            {**task, "kind": HOSTILE[2]},
        ],
        "neighbours": [{"text": HOSTILE[0], "similarity": 0.5, "example": True}],
    }
    answer = {"version": HOSTILE[0], "seconds": 1, "rows": [row]}
    page.route("**/answers", lambda route: route.fulfill(json=answer))
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#answers > .row")).to_have_count(1)
    expect(page.locator("#answers")).to_contain_text(HOSTILE[0])
    assert page.locator("#answers :is(img, svg, script, iframe, a)").count() == 0
    assert page.title() == title
    page.unroute("**/answers")


def test_hostile_news_are_texts(open_page):
    text = HOSTILE[0]
    version = {"version": text, "state": text, "received": "x", "bytes": 1, "origin": text}
    task = {"name": text, "kind": text, "labels": 2}
    model = dict.fromkeys(("version", "encoder", "runs", "release"), text)
    numbers = {"dimensions": 4, "sentences": 9, "tokens": 5}
    push = {"offered": True, "folder": text, "running": False, "said": text}
    page = open_page(
        events=[
            ("worker", {"address": text, "ready": False, "message": text}),
            ("model", {**model, **numbers, "tasks": [task]}),
            ("versions", {"message": text, "lasting": False, "versions": [version] * 2}),
            ("load", {"message": text, "history": [1, None, 2]}),
            ("push", {**push, "done": False, "failed": True}),
            ("admin", {"address": text}),
        ]
    )
    for place in ("#worker-address", "#version", "#model", "#versions", "#load", "#push-said"):
        expect(page.locator(place)).to_contain_text(text)
    expect(page.locator("#alarm")).to_contain_text(text)
    assert page.locator("body img").count() == 0
    assert page.title() == "Twinhead"


def test_a_page_without_an_admin_service_says_what_it_lacks(open_page):
    page = open_page(ready=False, events=[("admin", {"address": ""})])
    expect(page.locator("#load")).to_contain_text("start this page with --admin HOST:PORT")
    expect(page.locator("#versions-note")).to_contain_text("--admin HOST:PORT")
    expect(page.locator("#push-card")).to_be_hidden()


def test_a_full_worker_is_asked_again(open_page):
    page = open_page()
    full = {"error": {"kind": "full", "message": "full", "seconds": 0.2}}
    asked = []

    def answer(route):
        asked.append(1)
        if len(asked) < 3:
            route.fulfill(status=503, json=full)
        else:
            route.continue_()

    page.route("**/answers", answer)
    page.get_by_label("One a line").fill(SENTENCES[0])
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#notice")).to_contain_text("all the work that it can hold; asking again")
    expect(page.locator("#answers > .row")).to_have_count(1)
    assert len(asked) == 3


def test_a_worker_that_is_killed_and_comes_back(served, open_page):
    served.push(served.second)
    page = open_page()
    ask(page, *SENTENCES)
    expect(page.locator("#alarm")).to_be_hidden()
    served.worker.kill()
    expect(page.locator("#alarm")).to_contain_text(re.compile("no worker answers|cut the call off"))
    expect(page.locator("#worker-state")).to_have_text("no worker at")
    page.get_by_label("One a line").fill("Asked while nobody is there.")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#notice")).to_have_text("Waiting for the worker …")
    served.start_again()
    # It has forgotten what was pushed, and answers what was asked.
    expect(page.locator("#version")).to_have_text(served.first.version)
    expect(page.locator("#alarm")).to_be_hidden()
    expect(page.locator("#answers > .row")).to_have_count(1)
    assert text_of(row_of(page, 0)) == "Asked while nobody is there."


def test_a_page_whose_server_is_gone_says_so(served, open_page):
    page = open_page()
    served.page.stop()
    expect(page.locator("#alarm")).to_contain_text("The server of this page does not answer")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(served.page.url)
