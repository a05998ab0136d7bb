"""The picture of the house is drawn from its imports, and ARCHITECTURE.md names what is there."""

import re
from graphlib import CycleError

import pytest

from tools import architecture


def test_picture_is_current():
    drawn = architecture.PICTURE.read_text(encoding="utf-8")
    assert drawn == architecture.picture(architecture.imports()), "python -m tools.architecture"


def test_every_box_has_a_row_and_every_row_a_box():
    text = (architecture.ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.partition("## A bird's eye view")[2].partition("\nOutside the package")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {
        name.strip("/").replace("/", ".") for row in rows for name in re.findall("`(.+?)`", row)
    }
    assert named == set(architecture.imports()) - {"blas"}


def test_a_circle_is_seen():
    with pytest.raises(CycleError):
        architecture.floors({"vae": {"train"}, "train": {"vae"}})


def test_arrows_that_follow_from_others_are_left_out():
    arrows = {"c": {"a", "b"}, "b": {"a"}, "a": set()}
    assert architecture.reduced(arrows) == {"c": {"b"}, "b": {"a"}, "a": set()}
    assert architecture.floors(arrows) == {"a": 0, "b": 1, "c": 2}


def test_files_that_the_text_names_are_there():
    text = (architecture.ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:tinyvae|tests|lessons|docs)/[\w./]+\.\w+)`", text):
        assert (architecture.ROOT / name).exists(), name
    for module in re.findall(r"`python -m (tools\.\w+)`", text):
        path = architecture.ROOT / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").exists(), module
