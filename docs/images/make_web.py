"""The screenshots of the web page: `make screenshots` (a minute or two; needs Chromium)."""

import shutil
import threading
from pathlib import Path

from browser import NAMES  # of tests/
from PIL import Image
from playwright.sync_api import expect, sync_playwright
from swapped import changed, offer_of
from twinhead.client import AdminClient, Client
from twinhead.client.own_worker import OwnWorker
from twinhead.model.checkpoint import Checkpoint
from twinhead.model.starter import checkpoint_folder
from web_pages import PageProcess

SENTENCES = (
    "The striker scored twice in the last ten minutes.",
    "Shares fell two percent on Monday after weak results.",
    "What a disappointing film: I wanted my two hours back.",
)
# So many colours look like all of them, in half the bytes.
COLOURS = 200


class Busy:
    """Somebody else who asks the worker, so that there is load to see."""

    def __init__(self, target: str) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(target,))
        self._thread.start()

    def _ask(self, target: str) -> None:
        with Client(target) as client:
            size = 4
            while not self._stop.wait(0.3):
                client.infer([f"{sentence} {size}" for sentence in SENTENCES] * (size % 9 + 1))
                size += 1

    def end(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join()


def push(admin_target: str) -> None:
    """Push a version that gives some other labels."""
    starter = Checkpoint.load(checkpoint_folder("starter"))
    offer = offer_of(changed(starter, ["heads.sentiment"], seed=3))
    with AdminClient(admin_target) as admin, admin.push(offer) as pushing:
        pushing.stage()
        pushing.go_live()


def shoot(url: str, scheme: str, file: Path, admin_target: str = "") -> None:
    """Ask, push if that is wanted, and keep what is seen."""
    program = next(filter(None, map(shutil.which, NAMES)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        context = browser.new_context(
            color_scheme=scheme, locale="en-US", viewport={"width": 1180, "height": 900}
        )
        page = context.new_page()
        page.goto(url)
        page.get_by_label("One a line").fill("\n".join(SENTENCES))
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#answers > .row")).to_have_count(len(SENTENCES), timeout=60_000)
        if admin_target:
            push(admin_target)
            expect(page.locator(".row.changed").first).to_be_visible(timeout=60_000)
            expect(page.locator("#back")).to_be_visible()
        page.wait_for_timeout(12_000)  # some seconds of load
        page.screenshot(path=file)
        browser.close()
    with Image.open(file) as image:
        image.convert("RGB").quantize(COLOURS).save(file, optimize=True)


if __name__ == "__main__":
    folder = Path(__file__).resolve().parent
    with OwnWorker() as worker:
        page = PageProcess("--worker", worker.target, "--admin", worker.admin_target)
        busy = Busy(worker.target)
        try:
            shoot(page.url, "light", folder / "web-light.png")
            shoot(page.url, "dark", folder / "web-dark.png", worker.admin_target)
        finally:
            busy.end()
            page.stop()
