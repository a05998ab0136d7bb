"""The museum: classic mistakes in the KL, the sampler, the ELBO, the estimators, the backward pass.

    bugs.MUSEUM["swapped-arguments"].wrong
    bugs.in_area("kl")
    with bugs.planted(bugs.MUSEUM["std-is-exp-logvar"]): ...

`tinyvae bugs` shows it in the terminal; docs/bugs.md has all of it on one page.
"""

import difflib
import sys
import textwrap

from tinyvae.classroom.museum import elbo as bugs_elbo
from tinyvae.classroom.museum import estimators as bugs_estimators
from tinyvae.classroom.museum import kl as bugs_kl
from tinyvae.classroom.museum import network as bugs_network
from tinyvae.classroom.museum import sampler as bugs_sampler
from tinyvae.classroom.museum.entry import AREAS, Bug
from tinyvae.classroom.museum.planting import planted

__all__ = ["AREAS", "MUSEUM", "Bug", "in_area", "planted"]

ROOMS = (bugs_kl, bugs_sampler, bugs_elbo, bugs_estimators, bugs_network)
MUSEUM: dict[str, Bug] = {bug.name: bug for room in ROOMS for bug in room.BUGS}
FAMOUS = "std-is-exp-logvar"
UNBROKEN = {"break_long_words": False, "break_on_hyphens": False}


def in_area(area: str) -> list[Bug]:
    """The museum's mistakes of one area, in the museum's order."""
    return [bug for bug in MUSEUM.values() if bug.area == area]


# ---- in the terminal -----------------------------------------------------------------------------


def arguments(parser):
    """The arguments of `tinyvae bugs`."""
    parser.add_argument("name", nargs="?", help="a mistake's name, code or area; none lists all")


def run(args) -> int:
    """`tinyvae bugs [NAME]`: list the mistakes, or explain one.    ->  exit status"""
    if args.name is None:
        print("\n\n".join(listing(area) for area in AREAS))
        print("\ntinyvae bugs NAME explains one.")
        return 0
    wanted = args.name.strip().lower()
    if wanted in AREAS:
        print(listing(wanted))
        return 0
    for bug in MUSEUM.values():
        if wanted in (bug.name, bug.code.lower()):
            print(explanation(bug))
            return 0
    print(unknown(args.name), file=sys.stderr)
    return 2


def listing(area: str) -> str:
    """One line for each mistake of an area."""
    lines = [f"  {bug.code:5s}{bug.name:29s}{bug.title}" for bug in in_area(area)]
    return "\n".join([f"{AREAS[area]} ({area})", *lines])


def explanation(bug: Bug) -> str:
    """All that the museum knows about one mistake."""
    parts = {
        "wrong": bug.wrong,
        "right": bug.right,
        "it tempts": bug.tempts,
        "made in": bug.thread,
        "effect": bug.effect,
        "seen by": bug.seen_by,
    }
    lines = [f"{bug.code}  {bug.name}: {bug.title}", ""]
    for label, text in parts.items():
        lines += textwrap.wrap(f"{label:11s}{text}", 95, subsequent_indent=" " * 11, **UNBROKEN)
    return "\n".join(lines)


def unknown(name: str) -> str:
    """One sentence about a name that the museum does not have."""
    known = [*MUSEUM, *AREAS]
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    near += [
        bug.name for bug in MUSEUM.values() if name.strip() and name.lower() in bug.title.lower()
    ]
    hint = (
        f"did you mean {' or '.join(list(dict.fromkeys(near))[:3])}?"
        if near
        else "`tinyvae bugs` lists all."
    )
    return f"tinyvae bugs: there is no mistake called {ascii(name)[:60]}; {hint}"
