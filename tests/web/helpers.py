"""What the tests of the pages share: opening a page, reading what it holds, planting a mistake."""

import base64
import json
import os
import re
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from tinyvae import VAE


def missing(what):
    """Skip on a machine that lacks it; fail where all of it was to be installed."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"no {what}, and CI=true")
    pytest.skip(f"no {what}: the tests of the pages need it")


PAGES = {}  # by browser and options: opening the next file in the same page is quick


@contextmanager
def opened(browser, path, width=1200, height=800, address="", **options):
    """A page of the browser at this file, when it says that it is ready

    At the end: it has asked for nothing but itself, and its console is empty.
    """
    path, key = Path(path).resolve(), (id(browser), *sorted(options.items()))
    if key not in PAGES:
        PAGES[key] = browser.new_context(offline=True, **options).new_page()
        PAGES[key].set_default_timeout(20_000)
    page, asked, said = PAGES[key], [], []
    hears = {
        "request": lambda request: asked.append(request.url.split("#")[0]),
        "console": lambda message: said.append(message.text),
        "pageerror": lambda error: said.append(str(error)),
    }
    page.goto("about:blank")
    page.set_viewport_size({"width": width, "height": height})
    page.mouse.up()
    for event, hear in hears.items():
        page.on(event, hear)
    try:
        page.goto(path.as_uri() + address)
        page.wait_for_selector("html[data-ready]")
        yield page
        assert (set(asked), said) == ({path.as_uri()}, []), (asked, said)
    finally:
        for event, hear in hears.items():
            page.remove_listener(event, hear)


def source(name):
    """The text of a file in tinyvae/web"""
    return files("tinyvae.web").joinpath(name).read_text("utf-8")


def planted(text, right, wrong):
    """The text with a mistake in one place"""
    if text.count(right) != 1:  # no AssertionError: those are what the mistake should raise
        raise LookupError(f"{text.count(right)} times: {right}")
    return text.replace(right, wrong)


def packed_of(page):
    """What the explorer's page holds"""
    return json.loads(re.search(r"const PACKED = (\{.*\});", page)[1])


def vae_of(packed):
    """The VAE whose weights these are, as float64"""
    dtype = {"float32": "<f4", "float16": "<f2"}[packed["dtype"]]
    weights = np.frombuffer(base64.b64decode(packed["weights"]), dtype)
    parts = np.split(weights.astype(np.float64), np.cumsum(packed["sizes"])[:-1])
    parts = dict(zip(packed["names"], parts, strict=True))
    params = {k: v if k.endswith("b") else v.reshape(-1, parts[k[:-1] + "b"].size)
              for k, v in parts.items()}  # fmt: skip
    hidden = [params[f"encoder.{i}.b"].size for i in range(packed["layers"])]
    return VAE(params, params["logits.b"].size, hidden, 2, packed["activation"])


def digits_of(packed, key="digits"):
    """The images that the page holds, x (N, D)"""
    D = int(np.prod(packed["shape"]))
    rows = np.frombuffer(base64.b64decode(packed[key]), np.uint8).reshape(-1, -(-D // 8))
    return np.unpackbits(rows, axis=1)[:, :D].astype(np.float64)
