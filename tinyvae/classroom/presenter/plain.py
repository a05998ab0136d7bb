"""Markdown with formulas as text for a terminal: the little of both that the lessons use.

The symbols are Unicode, or words where the terminal knows ASCII only.
"""

import re
import textwrap
from collections import deque

# name, Unicode, ASCII
SYMBOLS = """
alpha α alpha        beta β beta          gamma γ gamma        delta δ delta
epsilon ε eps        varepsilon ε eps     zeta ζ zeta          eta η eta
theta θ theta        kappa κ kappa        lambda λ lambda      mu μ mu
nu ν nu              xi ξ xi              pi π pi              rho ρ rho
sigma σ sigma        tau τ tau            phi φ phi            varphi φ phi
chi χ chi            psi ψ psi            omega ω omega        Gamma Γ Gamma
Delta Δ Delta        Theta Θ Theta        Lambda Λ Lambda      Sigma Σ Sigma
Phi Φ Phi            Psi Ψ Psi            Omega Ω Omega        ell ℓ l
sum ∑ sum            prod ∏ prod          int ∫ integral       partial ∂ d
nabla ∇ grad         infty ∞ inf          cdot · *             times × x
odot ⊙ *             pm ± +-              le ≤ <=              leq ≤ <=
ge ≥ >=              geq ≥ >=             ne ≠ !=              neq ≠ !=
ll ≪ <<              gg ≫ >>              approx ≈ ~=          sim ~ ~
propto ∝ ~           equiv ≡ ==           in ∈ in              mid | |
to → ->              rightarrow → ->      mapsto ↦ ->          leftarrow ← <-
Rightarrow ⇒ =>      iff ⇔ <=>            top ⊤ T              prime ' '
ldots ... ...        dots ... ...         cdots ... ...        lvert | |
rvert | |            Vert || ||           lVert || ||          rVert || ||
"""
_entries = SYMBOLS.split()
UNICODE = dict(zip(_entries[::3], _entries[1::3], strict=True))
ASCII = dict(zip(_entries[::3], _entries[2::3], strict=True))

WORDS = {"log", "exp", "det", "tr", "max", "min", "sup", "inf", "lim", "sin", "cos", "tanh", "Pr"}
FONTS = {"mathrm", "mathbb", "mathcal", "mathbf", "boldsymbol", "operatorname", "text", "textbf"}
SIZES = {"left", "right", "big", "bigl", "bigr", "Big", "Bigl", "Bigr", "bigg", "Bigg"}
ACCENTS = {"hat": "_hat", "bar": "_bar", "tilde": "_tilde"}
SPACES = {"quad": "   ", "qquad": "      ", ",": " ", ";": " ", ":": " ", " ": " ", "!": ""}
UNBROKEN = "\xa0"  # a space at which no line ends
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[^\\]", re.DOTALL)


def tex(formula, ascii=False):
    r"""A formula in one line of text.

    >>> tex(r"D[q \| p] = \frac{1}{2} \sum_i (\mu_i^2 + \sigma_i^2 - 1 - \log\sigma_i^2)")
    'D[q || p] = 1/2 ∑_i (μ_i^2 + σ_i^2 - 1 - log σ_i^2)'
    >>> tex(r"\int p(x|z) \, p(z) \, dz", ascii=True)
    'integral p(x|z) p(z) dz'

    Fractions and logarithms read one way:

    >>> tex(r"\log\frac{\det S_p}{\det S_q} + \frac{1}{S} V + \frac{1}{2} x")
    'log(det S_p / det S_q) + (1/S) V + 1/2 x'
    """
    text = _sequence(deque(TOKEN.findall(formula)), ASCII if ascii else UNICODE)
    return "\n".join(re.sub(" {2,}", " ", line).strip() for line in text.split("\n"))


def markdown(text, width=80, ascii=False):
    """Headings, paragraphs, lists, quotes, tables, code and formulas, wrapped to the width."""
    blocks = re.split(r"\n\s*\n", text.strip("\n"))
    return "\n\n".join(_block(block, width, ascii) for block in blocks)


def _sequence(tokens, symbols):
    """The tokens up to the end, or to the brace that closes this group."""
    out, after_word = "", False
    while tokens:
        token = tokens.popleft()
        if token == "}":
            break
        piece = _piece(token, tokens, symbols)
        word = len(piece) > 1 and piece.isalpha()
        if token[1:].endswith("frac"):
            piece = _bracketed_fraction(piece, after_word, tokens)
        starts = piece[:1].isalnum() or (
            piece[:1] == "(" and not after_word and token[1:2].isalpha()
        )
        if out[-1:].isalnum() and starts and (word or after_word):
            out += " "
        out, after_word = out + piece, word
    return out


def _bracketed_fraction(fraction, after_word, following):
    """The fraction in brackets where a factor or a function beside it would make it read two ways.

    log a/b could be (log a)/b, and 1/S V could be 1/(S V); a fraction of two numbers cannot.
    """
    if after_word:
        return f"({fraction[1:-1] if _is_bracketed(fraction) else fraction})".replace("/", " / ", 1)
    blank = (r"\,", r"\;", r"\:", r"\ ", r"\!")
    rest = next((t for t in following if not t.isspace() and t not in blank), "+")
    ends = rest in (*"+-=<>,.;)]}&|", r"\right", r"\\", r"\quad", r"\le", r"\ge", r"\approx")
    numbers = re.fullmatch(r"[\d.]+/[\d.]+", fraction)
    return fraction if ends or numbers else f"({fraction})"


def _is_bracketed(text):
    return re.fullmatch(r"\([^()]*\)", text)


def _piece(token, tokens, symbols):
    command = token[1:]
    if token == "{":
        return _sequence(tokens, symbols)
    if token in "^_":
        script = _argument(tokens, symbols)
        if token == "^" and script in ("T", "⊤", "'"):
            return "'"
        return token + (script if re.fullmatch(r"[-+]?[^\W_]+|\W", script) else f"{{{script}}}")
    if token in "&\n":
        return " "
    if not command:
        return token
    if command == "\\":
        return "\n"
    if command in symbols:
        return symbols[command]
    if command in WORDS:
        return command
    if command.endswith("frac"):
        above, below = _argument(tokens, symbols), _argument(tokens, symbols)
        return f"{_grouped(above)}/{_grouped(below)}"
    if command == "sqrt":
        return f"sqrt({_argument(tokens, symbols)})"
    if command in ACCENTS:
        return _argument(tokens, symbols) + ACCENTS[command]
    if command in FONTS:
        return _argument(tokens, symbols)
    if command in ("begin", "end"):
        _argument(tokens, symbols)
        return ""
    if command in SIZES:
        if tokens and tokens[0] == ".":
            tokens.popleft()  # \right. is an invisible bracket
        return ""
    if command == "|":
        return "||"
    return SPACES.get(command, command)


def _argument(tokens, symbols):
    while tokens and tokens[0].isspace():
        tokens.popleft()
    return _piece(tokens.popleft(), tokens, symbols).strip() if tokens else ""


def _grouped(text):
    """The text in brackets, unless it is one thing already."""
    one = r"[\w.^']+|\([^()]*\)|(?:det|sqrt|log) ?(?:[\w.^']+|\([^()]*\))"
    return text if re.fullmatch(one, text) else f"({text})"


def _break_at_operators(formula, width):
    """The formula's lines: broken only before + - = and the like, unless a part is too wide."""
    kept = re.sub(r" (?![-+=<>~≤≥≈≠]+ )", UNBROKEN, formula)
    lines = _wrap(kept, width, "    ", " " * 8)
    if max(map(len, lines.split("\n"))) > width:
        lines = _wrap(formula, width, "    ", " " * 8)
    return lines


def _block(block, width, ascii):
    lines = block.split("\n")
    first = lines[0]
    if first.startswith("    "):
        return block
    if first.startswith("```"):
        return textwrap.indent("\n".join(lines[1:]).removesuffix("```").rstrip(), "    ")
    if heading := re.match(r"(#+) +(.*)", first):
        title = _inline(heading[2], ascii).replace(UNBROKEN, " ")
        rest = "\n".join(lines[1:])
        under = title + "\n" + ("=" if len(heading[1]) == 1 else "-") * len(title)
        return under + ("\n\n" + _block(rest, width, ascii) if rest.strip() else "")
    if block.startswith("$$"):
        formula, _, rest = block[2:].partition("$$")
        said = "\n".join(
            _break_at_operators(line, width) for line in tex(formula, ascii).split("\n")
        )
        rest = rest.lstrip(" .,;")
        return said + ("\n\n" + _block(rest.lstrip("\n"), width, ascii) if rest.strip() else "")
    if first.startswith("|"):
        return "\n".join(_inline(line, ascii).replace(UNBROKEN, " ") for line in lines)
    if first.startswith(">"):
        quoted = " ".join(line.lstrip("> ") for line in lines)
        return _wrap(_inline(quoted, ascii), width, "  | ", "  | ")
    if item := re.match(r"(\s*)([-*+]|\d+\.) ", first):
        pattern = rf"\n(?={item[1]}(?:[-*+]|\d+\.) )"
        return "\n".join(_item(text, width, ascii) for text in re.split(pattern, block))
    return _wrap(_inline(" ".join(lines), ascii), width)


def _item(text, width, ascii):
    mark, words = re.match(r"\s*(\S+) +(.*)", text, re.DOTALL).groups()
    mark = "-" if mark in "-*+" else mark
    indent = " " * (len(mark) + 3)
    return _wrap(_inline(" ".join(words.split()), ascii), width, f"  {mark} ", indent)


def _inline(text, ascii):
    """Formulas translated; code as it is; emphasis and links as their words."""
    kept = []

    def keep(match):
        formula = tex(match[1], ascii) if match[1] is not None else match[2]
        kept.append(formula.replace(" ", UNBROKEN) if len(formula) <= 30 else formula)
        return f"\0{len(kept) - 1}\0"

    text = re.sub(r"\$([^$]+)\$|`([^`]+)`", keep, text)
    text = re.sub(r"\*\*(.+?)\*\*|\*(.+?)\*|(?<!\w)_(.+?)_(?!\w)", _words, text)
    text = re.sub(r"\[([^]]+)\]\((\S+?)\)", r"\1 (\2)", text)
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], text)


def _words(match):
    return next(words for words in match.groups() if words is not None)


def _wrap(text, width, first="", rest=""):
    lines = textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines.replace(UNBROKEN, " ")
