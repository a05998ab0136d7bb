"""Planting a mistake into the package, for as long as a `with` block lasts."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from unittest import mock

from tinyvae.classroom.museum.entry import Bug


@contextmanager
def planted(bug: Bug | Mapping) -> Iterator[None]:
    """Replace the package's functions by the mistake's, wherever they were imported to.

    with planted(bugs.MUSEUM["std-is-exp-logvar"]):
        ...  # gaussian.reparameterize is wrong here, and right again afterwards
    """
    plants = bug.plants if isinstance(bug, Bug) else bug
    with ExitStack() as patches:
        for target, replacement in plants.items():
            for owner, name in places(target):
                patches.enter_context(mock.patch.object(owner, name, replacement))
        yield


def places(target: str) -> list[tuple]:
    """Where it is found: a method in its class, a function in every module that imported it."""
    module_name, _, path = target.partition(":")
    owner = import_module(module_name)
    *classes, name = path.split(".")
    for class_name in classes:
        owner = getattr(owner, class_name)
    original = getattr(owner, name)
    if classes:
        return [(owner, name)]
    return [
        (module, key)
        for module in list(sys.modules.values())
        if not getattr(module, "__name__", "").startswith("tinyvae.classroom")
        for key, value in list(getattr(module, "__dict__", {}).items())
        if value is original
    ]
