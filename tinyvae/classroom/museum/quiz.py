"""Is it a bug?  `tinyvae quiz` shows a few lines, asks, and answers with the reason."""

import random
import sys
import textwrap

from tinyvae.classroom.museum.questions import SNIPPETS, Snippet

ANSWERS = {"b": False, "bug": False, "r": True, "right": True}
QUIT = ("q", "quit")


def arguments(parser):
    """The arguments of `tinyvae quiz`."""
    parser.add_argument("--list", action="store_true", help="list the questions and stop")
    parser.add_argument("--number", type=int, metavar="N", help="ask only question N of the list")
    parser.add_argument("--seed", type=int, default=0, help="the order of the questions")


def run(args) -> int:
    """`tinyvae quiz`: ask, take answers from the terminal or a pipe, count.    ->  exit status"""
    if args.list:
        for number, snippet in enumerate(SNIPPETS, 1):
            line = f"{number:3d}  {snippet.name:30s}{snippet.claim}"
            print(textwrap.fill(line, 95, subsequent_indent=" " * 35, break_on_hyphens=False))
        return 0
    if args.number is not None and not 1 <= args.number <= len(SNIPPETS):
        said = f"there is no question {args.number}; they are numbered 1 to {len(SNIPPETS)}"
        print(f"tinyvae quiz: {said}", file=sys.stderr)
        return 2
    chosen = list(SNIPPETS)
    random.Random(args.seed).shuffle(chosen)
    if args.number is not None:
        chosen = [SNIPPETS[args.number - 1]]
    return play(chosen)


def play(chosen: list[Snippet]) -> int:
    """Ask one after the other, until all are answered or somebody quits."""
    asked = hits = 0
    status = 0
    try:
        for n, snippet in enumerate(chosen, 1):
            print(question(snippet, f"{n} of {len(chosen)}"))
            answer = ask()
            if answer is None:
                break
            asked += 1
            hits += answer == snippet.right
            print(solution(snippet, answer))
    except KeyboardInterrupt:
        print()
        status = 130
    print(f"{hits} of {asked} right." if asked else "No question answered.")
    return status


def ask() -> bool | None:
    """True for "right", False for "bug", None at "quit" or at the end of the input."""
    while True:
        try:
            said = input("b(ug), r(ight) or q(uit)? ").strip().lower()
        except (EOFError, RuntimeError):  # the input has ended, or there is none
            print()
            return None
        except UnicodeDecodeError:
            said = ""
        if not sys.stdin.isatty():
            print(said if said in ANSWERS or said in QUIT else "")  # a pipe does not echo
        if said in QUIT:
            return None
        if said in ANSWERS:
            return ANSWERS[said]
        print("Please type b, r or q.")


def question(snippet: Snippet, position: str) -> str:
    """What is shown before the answer."""
    code = textwrap.indent(snippet.code, "    ")
    return f"\n{position}: {snippet.name}\n{snippet.claim}\n\n{code}\n"


def solution(snippet: Snippet, answer: bool) -> str:
    """What is shown after the answer."""
    verdict = "it is right" if snippet.right else "it is a bug"
    said = f"{'Yes' if answer == snippet.right else 'No'}, {verdict}. {snippet.because}"
    return f"{textwrap.fill(said, 90)}\nAsked in {snippet.thread}."
