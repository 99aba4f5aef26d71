"""The screenshots in the documents, taken anew: `make screenshots` (two minutes; needs Chromium).

Both are of this project's own texts: the 200 example sentences, labelled by the starter model, and
the recipe `minilm_synchronous`, trained on the sentences that come with it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from browser import screenshot_of  # of tests/
from PIL import Image
from twinhead.client.own_worker import OwnWorker

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WIDTH = 1120


def twinhead(*options: str) -> None:
    """Run the command as a user would, in the root of the repository."""
    subprocess.run([sys.executable, "-m", "twinhead.client", *options], cwd=ROOT, check=True)


def keep(page: Path, name: str, height: int) -> None:
    """The top of the page."""
    with Image.open(screenshot_of(page, page.parent, WIDTH, height)) as shot:
        shot.convert("RGB").save(HERE / name, optimize=True)


def main() -> None:
    """Take all of them."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        report, output = folder / "report.html", folder / "labelled.csv"
        with OwnWorker() as worker:
            twinhead(
                *("label", "examples/sentences.csv", "-o", str(output)),
                *("--worker", worker.target, "--report", str(report)),
            )
        keep(report, "label-report.png", 1300)
        twinhead("train", "minilm_synchronous", "-o", str(folder / "run"))
        keep(folder / "run" / "report.html", "train-report.png", 1580)


if __name__ == "__main__":
    main()
