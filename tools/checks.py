"""Which check sees which mistake: the museum's mistakes against the identities, computed.

    python -m tools.checks        writes the museum's checks.json, which docs/bugs.md shows

The checks are tests/core/test_identities.py.
Each mistake is planted into the package, then the checks are run: those that fail see it.  Beside
them stand the laws of the checker that see a wrong KL (`tools.kill_matrix`).
"""

import functools
import json

import numpy as np

from tests.core import test_identities as identities
from tinyvae.classroom.museum import catalogue as bugs
from tinyvae.classroom.museum.entry import CHECKED
from tinyvae.classroom.museum.planting import places
from tools import kill_matrix, museum_pages

CHECKS = [name for name in vars(identities) if name.startswith("test_")]


def is_red(check):
    """Whether this test fails, for one of its parameters or more."""
    function = getattr(identities, check)
    cases = [
        {mark.args[0]: value}
        for mark in getattr(function, "pytestmark", [])
        for value in mark.args[1]
    ]
    for case in cases or [{}]:
        try:
            with np.errstate(all="ignore"):
                function(**case)
        except Exception:
            return True
    return False


def seen_by(bug):
    """The checks that see this mistake, of all; of a few for a wrong KL, which meets the laws."""
    checks = museum_pages.KL_CHECKS.values() if bug.area == "kl" else CHECKS
    able = [check for check in checks if calls()[check] & bug.plants.keys()]
    with bugs.planted(bug):
        return [check for check in able if is_red(check)]


@functools.cache
def calls():
    """What each check calls of all that is planted anywhere: nothing else can turn it red."""
    called = set()

    def spy(target):
        owner, name = places(target)[0]
        original = getattr(owner, name)

        def spying(*args, **kwargs):
            called.add(target)
            return original(*args, **kwargs)

        return spying

    found = {}
    targets = {target for bug in bugs.MUSEUM.values() for target in bug.plants}
    with bugs.planted({target: spy(target) for target in targets}):
        for check in CHECKS:
            called.clear()
            is_red(check)
            found[check] = called.copy()
    return found


if __name__ == "__main__":
    seen = {name: seen_by(bug) for name, bug in bugs.MUSEUM.items()}
    found = {"command": "python -m tools.checks", "checks": CHECKS, "seen by": seen}
    found["kl"] = kill_matrix.entries()
    CHECKED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
