"""The command `tinyvae exercise`: put an exercise here, as a file to work on.

write     functions to write, each with its formula
derive    the same functions; the docstrings say what they compute, not how
debug     code that runs and is wrong, to be mended
explain   rows that the lesson prints, with statements about them
"""

import ast
import itertools
import json
import sys
import textwrap
from pathlib import Path

from tinyvae.classroom.marking.derive import WORDS

ROOT = Path(__file__).resolve().parents[3]
PLACES = (  # of the wheel, of the checkout
    Path(__file__).resolve().parents[2] / "lessons" / "exercises",
    ROOT / "lessons" / "exercises",
)
KINDS = {
    "write": "write the functions down from their formulas",
    "derive": "derive the formulas first",
    "debug": "find and mend the mistakes",
    "explain": "say which statements are true",
}
STORED = "debug", "explain"  # files of their own, in folders of these names
WIDTH = 96


class NoHandout(Exception):
    """One sentence on why there is no such file to hand out."""


def exercises(kind="write"):
    """number -> path, of the exercises of a kind that came with the package."""
    for place in PLACES:
        found = sorted(place.glob("[0-9][0-9]_*.py"))
        if found and kind in STORED:
            found = sorted((place / kind).glob("[0-9][0-9]_*.py"))
        if found:
            return {int(path.name[:2]): path for path in found}
    return {}


def final():
    """(name, text) of the last exercise.    Raises NoHandout."""
    for place in PLACES:
        for path in place.glob("final/*.py"):
            return path.name, path.read_text(encoding="utf-8")
    raise NoHandout("this installation has no exercises: take them from the project's sources")


def handout(number, kind="write"):
    """(name, text) of the file to work on; number may be "final".    Raises NoHandout."""
    if number == "final":
        if kind != "write":
            raise NoHandout("the final exercise has no kinds: leave out --kind")
        return final()
    there = exercises(kind)
    if not there:
        raise NoHandout("this installation has no exercises: take them from the project's sources")
    if number not in there:
        known = ", ".join(map(str, there))
        raise NoHandout(f"there is no exercise {number} of the kind {kind}; there are {known}")
    path = there[number]
    text = path.read_text(encoding="utf-8")
    if kind == "derive":
        name = f"{path.stem}_derive.py"
        return name, derived(text, number).replace(path.name, name)
    return path.name, text


# ---- docstrings that say what, not how -----------------------------------------------------------


def derived(source, number):
    """The written exercise, with the words of `WORDS` in the place of its formulas."""
    lines = source.splitlines()
    tree = ast.parse(source)
    for node in reversed(tree.body):  # from the end, so that line numbers stay
        if isinstance(node, ast.FunctionDef) and (number, node.name) in WORDS:
            doc = node.body[0]
            new = in_words(ast.get_docstring(node), WORDS[number, node.name])
            lines[doc.lineno - 1 : doc.end_lineno] = textwrap.indent(new, "    ").splitlines()
    head = lines[0].removeprefix('"""')
    lines[0] = (
        f'"""{head}\n\nThe docstrings say what is meant, not how it is computed: derive that.'
    )
    return "\n".join(lines) + "\n"


def in_words(doc, words):
    """A docstring of these words, and of the shapes and examples of the one given."""
    paragraphs = doc.split("\n\n")
    shapes = [shape for p in paragraphs if (shape := shape_in(p))]
    examples = [p for p in paragraphs if p.lstrip().startswith(">>>")]
    wrapped = textwrap.wrap(" ".join(words.split()), WIDTH - 4, break_on_hyphens=False)
    return '"""' + "\n\n".join(["\n".join(wrapped), *shapes, *examples]) + '\n"""'


def shape_in(paragraph):
    """What a paragraph says about shapes: all of it, or what stands behind the sentence."""
    if "->" not in paragraph or paragraph.lstrip().startswith(">>>"):
        return ""
    _, gap, rest = paragraph.partition(".    ")
    return rest if gap and "->" in rest else paragraph


# ---- as a notebook -------------------------------------------------------------------------------


def as_notebook(name, text):
    """(name, text) of the notebook: what the file says, a cell a function, and `check_here`."""
    book = str(Path(name).with_suffix(".ipynb"))
    text = text.replace(f"tinyvae check {name}", f"tinyvae check {book}")
    tree, lines = ast.parse(text), text.splitlines()
    head, *nodes = tree.body
    starts = [
        node.lineno
        for before, node in itertools.pairwise([head, *nodes])
        if isinstance(node, BLOCKS) or isinstance(before, (*BLOCKS, ast.Expr))
    ]
    ends = [*(start - 1 for start in starts[1:]), len(lines)]
    code = ["\n".join(lines[a - 1 : b]).strip() for a, b in zip(starts, ends, strict=True)]
    code.append("from tinyvae.classroom import check_here\n\ncheck_here()")
    cells = [{"cell_type": "markdown", "id": "0", "metadata": {}, "source": head.value.value}]
    for number, source in enumerate(code, 1):
        more = {"execution_count": None, "outputs": [], "source": source}
        cells.append({"cell_type": "code", "id": str(number), "metadata": {}} | more)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return book, json.dumps(made, indent=1) + "\n"


BLOCKS = ast.FunctionDef, ast.If


# ---- the command ---------------------------------------------------------------------------------


def arguments(parser):
    """Declare the command's arguments on an argparse parser."""
    parser.add_argument(
        "number", nargs="?", type=number_or_final, help="1, 2, ... or final; none lists all"
    )
    parser.add_argument(
        "--kind",
        choices=KINDS,
        default="write",
        help="; ".join(f"{kind}: {what}" for kind, what in KINDS.items()),
    )
    parser.add_argument(
        "--notebook", action="store_true", help="as a notebook, whose last cell checks it"
    )


def number_or_final(word):
    return word if word == "final" else int(word)


def run(args):
    """`tinyvae exercise [N] [--kind KIND]`.    ->  exit status: 0, or 2 and a sentence on stderr"""
    try:
        if args.number is None:
            print(listing())
        else:
            print(hand_out(args.number, args.kind, args.notebook))
    except NoHandout as error:
        print(f"tinyvae exercise: {error}", file=sys.stderr)
        return 2
    return 0


def listing():
    """A line for each exercise: its number, its title, its kinds."""
    from tinyvae.classroom.checker.exercise_laws import TITLES

    there = {kind: exercises(kind) for kind in KINDS}
    if not there["write"]:
        raise NoHandout("this installation has no exercises: take them from the project's sources")
    lines = [f"{'':4}{'':36}kinds"]
    for number in there["write"]:
        kinds = [kind for kind in KINDS if number in there[kind]]
        lines.append(f"{number:3} {TITLES.get(number, ''):36}{' '.join(kinds)}")
    lines.append("    a VAE of your own functions         final")
    lines += ["", *(f"{kind:9}{what}" for kind, what in KINDS.items())]
    return "\n".join([*lines, "", "tinyvae exercise 5 --kind derive   puts one here"])


def hand_out(number, kind, notebook=False):
    """Write the exercise into this folder; a file that is there stays.    ->  what to do next"""
    name, text = handout(number, kind)
    if notebook:
        if number == "final" or kind == "explain":
            raise NoHandout("--notebook is for write, derive and debug; take the file")
        name, text = as_notebook(name, text)
    try:
        with open(name, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise NoHandout(f"{name} is here already; move it away first") from None
    except OSError as error:
        raise NoHandout(f"{name} cannot be written here: {error.strerror}") from None
    what = "make a VAE of your own functions" if number == "final" else KINDS[kind]
    return f"{name} is yours: {what}.\nThen, as often as you like:\n\n    tinyvae check {name}"
