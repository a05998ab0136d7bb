"""Markdown with formulas as HTML with MathML, and Python in colours."""

import html
import re
from functools import cache
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

FUNCTIONS = "log|exp|det|max|min|tr|tanh|sup|inf|lim|sin|cos"
MATHML = "http://www.w3.org/1998/Math/MathML"
BREAKS = {"=", "+", "-", "\u2212", "\u2264", "\u2265", "\u2248", "\u223c", "\u2192"}
SHORTEST = 4  # symbols before a break
SPACE = '<mspace width="0.1667em"/>'


def mathml(formula, block=False):
    r"""A formula as MathML; what the converter does not know raises ValueError.

    >>> mathml(r"\log p").count("mspace")  # log and p apart, as in print
    1
    """
    made = convert(formula, display="block" if block else "inline")
    if re.search(r"<m[io]>\\", made) or "<merror" in made:
        raise ValueError(f"this formula has a command without MathML: {formula}")
    apart = rf"(<m[io]>(?:{FUNCTIONS})</m[io]>)(?!\s*<mo[^>]*>(?:\(|&#x00028;))"
    made = re.sub(apart, rf"\1{SPACE}", made)
    return made.replace("<math ", '<math tabindex="0" ', 1) if block else _breakable(made)


def _breakable(made):
    """An inline formula in parts, between which a line may end: before = + - and the like.

    Browsers do not break a formula, and on a phone a long one would stick out of the page.
    """
    ElementTree.register_namespace("", MATHML)
    outer = ElementTree.fromstring(made)
    row = outer[0] if len(outer) == 1 and outer[0].tag.endswith("mrow") else outer
    parts = [[]]
    for child in row:
        operator = child.tag.endswith("mo") and (child.text or "") in BREAKS
        if operator and len(parts[-1]) >= SHORTEST:
            parts.append([])
        parts[-1].append(child)
    if len(parts) == 1:
        return made
    said = []
    for part in parts:
        math = ElementTree.Element(f"{{{MATHML}}}math", {"display": "inline"})
        ElementTree.SubElement(math, f"{{{MATHML}}}mrow").extend(part)
        said.append(ElementTree.tostring(math, encoding="unicode"))
    return "<wbr>".join(said)


def coloured(code, language="python"):
    """Source text as HTML, its kinds of words in classes that the style sheet colours."""
    try:
        lexer = get_lexer_by_name(language or "text", stripnl=False)
    except ClassNotFound:
        lexer = get_lexer_by_name("text", stripnl=False)
    return highlight(code, lexer, HtmlFormatter(nowrap=True))


def code_block(code, language="python"):
    return f'<pre tabindex="0"><code>{coloured(code.rstrip(), language)}</code></pre>\n'


def render(text, link=lambda target: target):
    """Markdown as HTML; `link` says what a link's target is on the site."""
    tokens = _parser().parse(text)
    seen = {}
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            name = slug(tokens[i + 1].content)
            seen[name] = seen.get(name, 0) + 1
            token.attrSet("id", name if seen[name] == 1 else f"{name}-{seen[name] - 1}")
        for child in token.children or []:
            if child.type == "link_open":
                child.attrSet("href", link(child.attrGet("href")))
            elif child.type == "image":
                child.attrSet("src", link(child.attrGet("src")))
    made = _parser().renderer.render(tokens, _parser().options, {})
    made = re.sub(r"<table>", '<div class="wide" tabindex="0"><table>', made)
    return made.replace("</table>", "</table></div>")


def slug(heading):
    """The name that GitHub gives to a heading: links of the Markdown files keep working."""
    plain = re.sub(r"[`*$]|\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def words(made):
    """The words of a page's HTML, for its search."""
    made = re.sub(r"(?s)<(script|style|math|svg).*?</\1>", " ", made)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", made)).split())


@cache
def _parser():
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.use(
        dollarmath_plugin,
        renderer=lambda formula, options: mathml(formula, options["display_mode"]),
        allow_space=True,
        double_inline=True,
    )

    def fence(tokens, place, *_):
        return code_block(tokens[place].content, tokens[place].info.split(" ")[0])

    parser.add_render_rule("fence", lambda self, *rest: fence(*rest))
    parser.add_render_rule("code_block", lambda self, *rest: fence(*rest))
    return parser
