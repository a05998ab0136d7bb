"""The terminal of the presenter: its size, its colours, its keys, and one page at a time."""

import os
import re
import shutil
import sys
import textwrap
import time

from tinyvae.classroom.presenter.figures import draw_windows
from tinyvae.classroom.presenter.plain import markdown, tex

WIDEST = 88  # columns of running text: longer lines are hard to read
BOLD, MAGENTA, GREEN, RED = "\033[1m", "\033[1;35m", "\033[32m", "\033[1;31m"
RESET = "\033[0m"


def ascii_only():
    """Whether the output cannot take Greek letters."""
    try:
        "σ∑∫≤".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return True
    return False


def has_colours():
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def size():
    """columns, lines of the window; what is not a terminal is never full"""
    columns, lines = shutil.get_terminal_size()
    return columns, lines if sys.stdout.isatty() else sys.maxsize


def paint(text, colour):
    return f"{colour}{text}{RESET}" if has_colours() else text


# ---- what is shown -------------------------------------------------------------------------------


def text_lines(text):
    """Markdown as lines that fit the window, headings in bold."""
    shown = markdown(text, min(size()[0], WIDEST), ascii_only())
    shown = re.sub(r"(?m)^(.+)(?=\n[=-]+$)", lambda m: paint(m[1], BOLD), shown)
    return shown.splitlines()


def question_lines(question):
    """A question, in its colour."""
    lines = markdown(question, min(size()[0], WIDEST), ascii_only()).splitlines()
    return [paint(line, MAGENTA) for line in lines]


def tex_in(sentence):
    """The sentence with its $formulas$ translated."""
    return re.sub(r"\$([^$]+)\$", lambda match: tex(match[1], ascii_only()), sentence)


def code_lines(code):
    """Code in colours; a line wider than the window goes on in the next, indented."""
    return _highlighted("\n".join(_fold_code(code.splitlines(), size()[0]))).splitlines()


def result_lines(output):
    """What a cell printed, its verdicts in green and red."""
    lines = []
    for line in output.splitlines():
        line = re.sub(r" holds$", lambda m: paint(m[0], GREEN), line)
        lines.append(re.sub(r" FAILS$", lambda m: paint(m[0], RED), line))
    return lines


def _fold_code(lines, width):
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 8)
        yield from textwrap.wrap(
            line, width, subsequent_indent=indent, drop_whitespace=True, break_on_hyphens=False,
            replace_whitespace=False,
        ) or [""]  # fmt: skip


def _highlighted(code):
    if not has_colours():
        return code
    from pygments import highlight
    from pygments.formatters import TerminalFormatter
    from pygments.lexers import PythonLexer
    from pygments.token import Comment, Keyword, Literal, Token

    # Two colours that are legible on black and on white; the same for both backgrounds.
    colours = {Token: ("", ""), Keyword: ("*blue*",) * 2, Comment: ("green", "green")}
    colours[Literal.String] = ("magenta", "magenta")
    formatter = TerminalFormatter(colorscheme=colours)
    return highlight(code, PythonLexer(stripnl=False), formatter).rstrip("\n")


def pages(lines, header):
    """The lines in pages that fit the window with a header above and the prompt below."""
    height = max(size()[1] - 5, 5)
    parts = [lines[i : i + height] for i in range(0, len(lines), height)] or [[]]
    for number, part in enumerate(parts, 1):
        count = f" ({number}/{len(parts)})" if len(parts) > 1 else ""
        width = min(size()[0], WIDEST)
        yield "\n".join([f"-- {header}{count} ".ljust(width, "-"), "", *part])


def show_page(page):
    """One page at the top of an empty window; elsewhere, below what is there."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        print("\033[H\033[2J", end="")
    print(f"\n{page}\n" if not sys.stdout.isatty() else page + "\n", flush=True)


# ---- what is typed -------------------------------------------------------------------------------


def reader(prompt):
    """A function that asks, and returns the line that was typed.    It raises EOFError at the end.

    On a terminal the keys of a presenter's remote control work, too: page down and right go on,
    page up and left go back.  The keys that were pressed while a cell was running are dropped.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        return lambda text=prompt: _read_line(text)
    from prompt_toolkit import PromptSession
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.key_binding import KeyBindings

    session, keys = PromptSession(), KeyBindings()
    nothing_typed = Condition(lambda: not session.default_buffer.text)

    def bind(command, *names):
        for name in names:
            keys.add(name, filter=nothing_typed)(lambda event: event.app.exit(result=command))

    bind("", "pagedown", "right", " ")
    bind("b", "pageup", "left")
    return lambda text=prompt: session.prompt(
        text, key_bindings=keys, inputhook=_draw_until_a_key
    ).strip()


def _draw_until_a_key(context):
    """While nobody types, windows are drawn: prompt_toolkit calls this and waits for its end."""
    while not context.input_is_ready() and draw_windows():
        time.sleep(0.05)


def _read_line(prompt):
    typed = input(prompt).strip()
    if not sys.stdin.isatty():
        print()
    return typed


def drop_typed_keys():
    """Forget what was typed and not read yet."""
    if not sys.stdin.isatty():
        return
    try:
        import termios
    except ImportError:  # Windows
        import msvcrt

        while msvcrt.kbhit():
            msvcrt.getch()
        return
    termios.tcflush(sys.stdin, termios.TCIFLUSH)
