"""Which check sees which mistake: the museum's mistakes against tests/test_identities.py, computed.

    python tests/checks.py        writes tinyvae/classroom/checks.json, which docs/bugs.md shows

Each mistake is planted into the package, then the checks are run: those that fail see it.
"""

import functools
import json

import numpy as np
import test_identities as identities

from tinyvae.classroom import bugs
from tinyvae.classroom.bug import CHECKED
from tinyvae.classroom.planting import places

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
    checks = bugs.KL_CHECKS.values() if bug.area == "kl" else CHECKS
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
    found = {"command": "python tests/checks.py", "checks": CHECKS, "seen by": seen}
    CHECKED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
