"""A page in headless Chromium: what the document is after its scripts ran, and how it looks."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def browser():
    """The program; a test that needs it is left out where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: not tested that the page's script runs and hostile texts do not")
    return found


def _run(file, folder, *options):
    done = subprocess.run(
        [
            browser(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--virtual-time-budget=3000",
            f"--user-data-dir={folder / 'profile'}",
            *options,
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=True,
    )
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not said, said
    return done.stdout


def _scheme(dark):
    return ["--blink-settings=preferredColorScheme=0"] if dark else []


def document_of(file, folder, *, dark=False):
    """The document after the scripts ran, and the data attributes of its root element."""
    document = _run(file, folder, "--dump-dom", *_scheme(dark))
    root = re.search("<html[^>]*>", document)[0]
    return document, dict(re.findall(r'data-(\w+)="([^"]*)"', root))


def screenshot_of(file, folder, width=1000, height=1400, *, dark=False):
    """A PNG file with how the page looks."""
    shot = folder / "page.png"
    size = f"--window-size={width},{height}"
    _run(file, folder, size, f"--screenshot={shot}", *_scheme(dark))
    return shot


def pixels_of(shot):
    """The colours of a screenshot, [height, width, 3] from 0 to 255."""
    with Image.open(shot) as image:
        return np.asarray(image.convert("RGB")).astype(int)
