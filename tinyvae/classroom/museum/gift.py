"""The quiz as Moodle GIFT, a text that a question bank imports.

    ::tinyvae 2::[html]<p>Draw z.</p><pre>...</pre>{=right ~wrong ####why}

In all texts ~ = # { } : and the backslash stand behind a backslash; a new line is written \\n.
https://docs.moodle.org/en/GIFT_format has the rules.
"""

import html
import re

HEAD = "// The quiz of tinyvae: `tinyvae quiz --gift FILE`. Moodle: question bank, import, GIFT.\n"


def escaped(text):
    r"""A text of HTML as GIFT has it.

    >>> print(escaped("a = {1: 2}  # ~\nb"))
    a \= \{1\: 2\}  \# \~\nb
    """
    return re.sub(r"([~=#{}:\\])", r"\\\1", text).replace("\n", "\\n")


def gift(questions):
    """All questions as one GIFT text."""
    return "\n".join([HEAD, *map(entry, questions)])


def entry(question):
    """One question: its title says nothing but its number."""
    snippet = question.snippet
    code = snippet.code
    if question.kind in ("four", "line"):
        code = numbered(code)
    shown = (
        f"<p>{html.escape(snippet.claim, quote=False)}</p>"
        f"<pre>{html.escape(code, quote=False)}</pre>"
        f"<p>{html.escape(question.asks, quote=False)}</p>"
    )
    lines = [f"::tinyvae {question.number}::[html]{escaped(shown)}{{"]
    for key, text in question.options:
        mark = "=" if key == question.right else "~"
        said = f"{key}  {text}" if question.kind == "line" else text
        if question.kind != "bug" and text != "none: it is right":
            said = f"<code>{html.escape(said, quote=False)}</code>"
        lines.append(f"\t{mark}{escaped(said)}")
    because = html.escape(snippet.because, quote=False)
    lines += [f"\t####{escaped(because)}", "}", ""]
    return "\n".join(lines)


def numbered(code):
    """A snippet with the numbers of its lines."""
    return "\n".join(f"{n}  {line}" for n, line in enumerate(code.splitlines(), 1))
