"""The museum: classic mistakes in the KL, the sampler, the ELBO, the estimators, the backward pass.

    bugs.MUSEUM["swapped-arguments"].wrong
    bugs.in_area("kl")
    with bugs.planted(bugs.MUSEUM["std-is-exp-logvar"]): ...

`tinyvae bugs` shows it in the terminal, by area, by symptom, by lesson; docs/bugs.md
has all of it on one page.
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
from tinyvae.classroom.museum.symptoms import SYMPTOMS, lessons_of, matching

__all__ = ["AREAS", "MUSEUM", "Bug", "in_area", "of_lesson", "planted"]

ROOMS = (bugs_kl, bugs_sampler, bugs_elbo, bugs_estimators, bugs_network)
MUSEUM: dict[str, Bug] = {bug.name: bug for room in ROOMS for bug in room.BUGS}
FAMOUS = "std-is-exp-logvar"
UNBROKEN = {"break_long_words": False, "break_on_hyphens": False}


def in_area(area: str) -> list[Bug]:
    """The museum's mistakes of one area, in the museum's order."""
    return [bug for bug in MUSEUM.values() if bug.area == area]


def of_lesson(number: int) -> list[Bug]:
    """The museum's mistakes that one can meet in a lesson, in the museum's order."""
    return [bug for bug in MUSEUM.values() if number in lessons_of(bug)]


def lessons() -> list[int]:
    """The lessons in which one can meet a mistake of the museum."""
    return sorted({number for bug in MUSEUM.values() for number in lessons_of(bug)})


# ---- in the terminal -----------------------------------------------------------------------------


def arguments(parser):
    """The arguments of `tinyvae bugs`."""
    parser.add_argument("name", nargs="?", help="a mistake's name, code or area; none lists all")
    parser.add_argument(
        "--symptom",
        nargs="?",
        const="",
        metavar="TEXT",
        help='what looks like that, as in "kl negative"; without a text, the list of symptoms',
    )
    parser.add_argument("--lesson", type=int, metavar="N", help="what one can meet in lesson N")


def run(args) -> int:
    """`tinyvae bugs [NAME]`: list the mistakes, or explain one.    ->  exit status"""
    if sum(asked is not None for asked in (args.name, args.symptom, args.lesson)) > 1:
        print("tinyvae bugs: give a name, --symptom or --lesson: one of them", file=sys.stderr)
        return 2
    if args.symptom is not None:
        return show_symptoms(args.symptom)
    if args.lesson is not None:
        return show_lesson(args.lesson)
    if args.name is None:
        print("\n\n".join(listing(area) for area in AREAS))
        print("\ntinyvae bugs NAME explains one; tinyvae bugs --symptom lists what they look like.")
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
    return "\n".join([f"{AREAS[area]} ({area})", *rows(in_area(area))])


def rows(bugs: list[Bug]) -> list[str]:
    """One line for each mistake."""
    return [f"  {bug.code:5s}{bug.name:29s}{bug.title}" for bug in bugs]


def show_symptoms(text: str) -> int:
    """`tinyvae bugs --symptom TEXT`: what looks like that.    ->  exit status"""
    if not text.strip():
        print("\n".join(["tinyvae bugs --symptom TEXT, with words of one of these:", "",
                         *(f"  {symptom.says}" for symptom in SYMPTOMS)]))  # fmt: skip
        return 0
    found = matching(text)
    if not found:
        said = f"there is no symptom like {ascii(text)[:60]}; `tinyvae bugs --symptom` lists all"
        print(f"tinyvae bugs: {said}", file=sys.stderr)
        return 2
    parts = ["\n".join([s.says, *rows([MUSEUM[name] for name in s.causes()])]) for s in found]
    print("\n\n".join([*parts, "tinyvae bugs NAME explains one."]))
    return 0


def show_lesson(number: int) -> int:
    """`tinyvae bugs --lesson N`: what one can meet there.    ->  exit status"""
    bugs = of_lesson(number)
    if not bugs:
        known = ", ".join(map(str, lessons()))
        said = f"the museum has no mistake of lesson {number}; it has some of {known}"
        print(f"tinyvae bugs: {said}", file=sys.stderr)
        return 2
    print("\n".join([f"Lesson {number}", *rows(bugs), "", "tinyvae bugs NAME explains one."]))
    return 0


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
