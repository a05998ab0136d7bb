"""A real browser for the tests of the pages: the system's Chromium, offline."""

import os
import shutil

import numpy as np
import pytest

from tests.web.helpers import missing, opened
from tinyvae import VAE, data, fit
from tinyvae.train import silent
from tinyvae.web import export
from tools import explorers

NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium.  CHROMIUM names another program; a wrong name is an error."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright (pip install -e '.[test]')")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing("Chromium (apt-get install chromium)")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opens(browser, tmp_path):
    """opens(text of a page, width=..., ...) -> a context manager, as `opened`"""

    def opens(text, **options):
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        return opened(browser, path, **options)

    return opens


@pytest.fixture(scope="session")
def script(browser):
    """script(JavaScript) -> evaluate(function, argument), which calls a function beside it"""
    page = browser.new_page()
    call = """([source, f, argument]) =>
        new Function("argument", `${source};\nreturn (${f})(argument);`)(argument)"""
    yield lambda source: lambda f, argument=None: page.evaluate(call, [source, f, argument])
    page.close()


@pytest.fixture(scope="session")
def page_8x8():
    """The explorer's page in the repository, a VAE trained on 8 x 8 digits"""
    return (explorers.FOLDER / "digits.html").read_text("utf-8")


@pytest.fixture(scope="session")
def page_28x28():
    """A page of 28 x 28 pixels: a few steps of training, so that q differs from digit to digit"""
    mnist, rng = data.load("mnist5k"), np.random.default_rng(0)
    vae = VAE.create(784, (128,), 2, rng=rng)
    fit(vae, mnist.x_train[:1000], epochs=4, learning_rate=5e-3, rng=rng, report=silent)
    return export.explorer(vae, mnist, "mnist5k")
