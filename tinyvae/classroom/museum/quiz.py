"""Is it a bug?  `tinyvae quiz` shows a few lines, asks, and answers with the reason.

Three kinds of questions: a bug or right; which line; which of four belongs into a line.  Alone, for
a class (`--class`: show, pause, reveal), or as a file that Moodle imports (`--gift FILE`).
"""

import random
import sys
import textwrap

from tinyvae.classroom.museum.choices import KINDS, Question, kinds_of, lessons_of, question_of
from tinyvae.classroom.museum.gift import gift, numbered
from tinyvae.classroom.museum.questions import SNIPPETS

ANSWERS = {"bug": "b", "right": "r"}  # whole words for what one types
QUIT = ("q", "quit")


def arguments(parser):
    """The arguments of `tinyvae quiz`."""
    parser.add_argument("--list", action="store_true", help="list the questions and stop")
    parser.add_argument("--number", type=int, metavar="N", help="ask only question N of the list")
    parser.add_argument("--seed", type=int, default=0, help="the order of the questions")
    parser.add_argument("--lesson", type=int, metavar="N", help="only what belongs to lesson N")
    parser.add_argument(
        "--kind",
        choices=KINDS,
        help="four answers, which line, or a bug or not (alone: bug; else the first there is)",
    )
    parser.add_argument(
        "--class", dest="classroom", action="store_true", help="show, pause, reveal: for a class"
    )
    parser.add_argument("--gift", metavar="FILE", help="write the questions for Moodle (GIFT)")


def run(args) -> int:
    """`tinyvae quiz`: ask, take answers from the terminal or a pipe, count.    ->  exit status"""
    try:
        chosen = choose(args)
        if args.list:
            print("\n".join(map(row, chosen)))
            return 0
        if args.gift is not None:
            return export(chosen, args.gift)
    except ValueError as error:
        print(f"tinyvae quiz: {error}", file=sys.stderr)
        return 2
    if args.number is None:
        random.Random(args.seed).shuffle(chosen)
    return present(chosen) if args.classroom else play(chosen)


def choose(args) -> list[Question]:
    """The questions that are asked for, in the list's order.    Raises ValueError if none is."""
    if args.number is not None and not 1 <= args.number <= len(SNIPPETS):
        raise ValueError(
            f"there is no question {args.number}; they are numbered 1 to {len(SNIPPETS)}"
        )
    snippets = SNIPPETS if args.number is None else [SNIPPETS[args.number - 1]]
    if args.lesson is not None:
        known = sorted({n for snippet in SNIPPETS for n in lessons_of(snippet)})
        snippets = [snippet for snippet in snippets if args.lesson in lessons_of(snippet)]
        if not snippets:
            raise ValueError(
                f"there is no such question of lesson {args.lesson}; lessons with questions: "
                f"{', '.join(map(str, known))}"
            )
    alone = not (args.classroom or args.gift is not None)
    kind = args.kind or ("bug" if alone else None)
    asked = [s for s in snippets if kind is None or kind in kinds_of(s)]
    if not asked:
        raise ValueError(f"no question among these is of the kind {kind}")
    return [question_of(s, kind or kinds_of(s)[0]) for s in asked]


def row(question: Question) -> str:
    """A line of the list: number, lesson, what the code is meant to compute."""
    lessons = ", ".join(map(str, lessons_of(question.snippet)))
    line = f"{question.number:3d}  lesson {lessons:7s}{question.snippet.claim}"
    return textwrap.fill(line, 95, subsequent_indent=" " * 19, break_on_hyphens=False)


def export(chosen: list[Question], path: str) -> int:
    """Write a GIFT file; one that is there stays.    ->  exit status"""
    try:
        with open(path, "x", encoding="utf-8", newline="\n") as file:
            file.write(gift(chosen))
    except FileExistsError:
        raise ValueError(f"{path!a} is there already; choose another name") from None
    except OSError as error:
        raise ValueError(f"{path!a} cannot be written: {error.strerror}") from None
    print(f"{len(chosen)} questions in {path}; Moodle: question bank, import, GIFT format")
    return 0


# ---- one after the other -------------------------------------------------------------------------


def play(chosen: list[Question]) -> int:
    """Ask one after the other, until all are answered or somebody quits."""
    asked = hits = 0
    status = 0
    try:
        for n, question in enumerate(chosen, 1):
            print(shown(question, f"{n} of {len(chosen)}"))
            answer = ask(question)
            if answer is None:
                break
            asked += 1
            hits += answer == question.right
            print(solution(question, answer))
    except KeyboardInterrupt:
        print()
        status = 130
    print(f"{hits} of {asked} right." if asked else "No question answered.")
    return status


def present(chosen: list[Question]) -> int:
    """Show a question, wait for Enter, show its answer, wait again: for a class."""
    try:
        for n, question in enumerate(chosen, 1):
            print(shown(question, f"{n} of {len(chosen)}"))
            if typed("Enter shows the answer, q quits. ") in (None, *QUIT):
                break
            print(solution(question))
            if n < len(chosen) and typed("Enter shows the next, q quits. ") in (None, *QUIT):
                break
    except KeyboardInterrupt:
        print()
        return 130
    return 0


def typed(prompt: str) -> str | None:
    """What is typed, in lower case; None at the end of the input."""
    try:
        said = input(prompt).strip().lower()
    except (EOFError, RuntimeError):  # the input has ended, or there is none
        print()
        return None
    except UnicodeDecodeError:
        said = ""
    if not sys.stdin.isatty():
        print(said if said.isascii() and len(said) < 10 else "")  # a pipe does not echo
    return said


def ask(question: Question) -> str | None:
    """What was typed, one of the question's options; None at "quit" or at the input's end."""
    keys = [key for key, _ in question.options]
    prompt = "b(ug), r(ight) or q(uit)? " if question.kind == "bug" else (
        f"{', '.join(keys)} or q(uit)? ")  # fmt: skip
    while True:
        said = typed(prompt)
        if said is None or said in QUIT:
            return None
        said = ANSWERS.get(said, said)
        if said in keys:
            return said
        print(f"Please type {', '.join(keys)} or q.")


def shown(question: Question, position: str) -> str:
    """What is shown before the answer."""
    snippet = question.snippet
    lessons = " and ".join(map(str, lessons_of(snippet)))
    code = snippet.code if question.kind == "bug" else numbered(snippet.code)
    text = f"\n{position}, lesson {lessons}\n{snippet.claim}\n\n{textwrap.indent(code, '    ')}\n"
    if question.kind == "bug":
        return text
    text += f"\n{question.asks}\n"
    if question.kind == "four":
        text += "\n" + "\n".join(f"  {key}  {option}" for key, option in question.options) + "\n"
    return text


def solution(question: Question, answer: str | None = None) -> str:
    """What is shown after the answer; without one, to a class."""
    snippet = question.snippet
    word = "" if answer is None else "Yes, " if answer == question.right else "No, "
    verdict = "it is right" if snippet.right else "it is a bug"
    if question.kind == "four":
        state = "is right as it stands" if snippet.right else "has a bug"
        verdict = f"the answer is {question.right}: the code above {state}"
    elif question.kind == "line" and not snippet.right:
        verdict = f"line {question.right} is wrong"
    said = f"{word}{verdict}. {snippet.because}"
    said = textwrap.fill(said[0].upper() + said[1:], 90)
    return f"{said}\nAsked in {snippet.thread}."
