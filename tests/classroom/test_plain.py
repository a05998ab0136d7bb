"""Markdown and formulas as text for a terminal."""

import pytest

from tinyvae.classroom.presenter.plain import ASCII, UNICODE, markdown, tex


@pytest.mark.parametrize(
    ("formula", "unicode", "ascii"),
    [
        (r"\log p(x)", "log p(x)", "log p(x)"),
        (r"D[q \| p(z|x)]", "D[q || p(z|x)]", "D[q || p(z|x)]"),
        (r"E_{z \sim q}[f(z)]", "E_{z ~ q}[f(z)]", "E_{z ~ q}[f(z)]"),
        (r"\int p(x|z)\,p(z)\,dz", "∫ p(x|z) p(z) dz", "integral p(x|z) p(z) dz"),
        (r"\mu + \sigma \varepsilon", "μ + σ ε", "mu + sigma eps"),
        (r"\mu+\sigma\epsilon", "μ+σε", "mu+sigma eps"),
        (r"2\pi", "2π", "2 pi"),
        (r"\frac12", "1/2", "1/2"),
        (r"\tfrac{1}{2} \mu^2", "1/2 μ^2", "1/2 mu^2"),
        (r"\frac{a + b}{c}", "(a + b)/c", "(a + b)/c"),
        (r"\log\frac{\det S_p}{\det S_q}", "log(det S_p / det S_q)", "log(det S_p / det S_q)"),
        (r"\frac{1}{B} (V + W)", "(1/B) (V + W)", "(1/B) (V + W)"),
        (
            r"\frac{a}{b}\, e^{\lambda_j} + \frac{k}{2}",
            "(a/b) e^{λ_j} + k/2",
            "(a/b) e^{lambda_j} + k/2",
        ),
        (r"S_p^{-1}", "S_p^-1", "S_p^-1"),
        (r"(a-b)^T A (a-b)^\top", "(a-b)' A (a-b)'", "(a-b)' A (a-b)'"),
        (r"\sum_{i=1}^n x_i", "∑_{i=1}^n x_i", "sum_{i=1}^n x_i"),
        (r"\mathrm{tr}(\Sigma)", "tr(Σ)", "tr(Sigma)"),
        (r"\left( x \right)", "( x )", "( x )"),
        (r"\left. f \right|_0", "f |_0", "f |_0"),
        (r"\hat{x} \ne \bar x", "x_hat ≠ x_bar", "x_hat != x_bar"),
        (r"\sqrt{2\pi}", "sqrt(2π)", "sqrt(2 pi)"),
        (r"e^{-x/2}", "e^{-x/2}", "e^{-x/2}"),
        (r"a \le b \\ c", "a ≤ b\nc", "a <= b\nc"),
        (r"\begin{aligned} a &= b \end{aligned}", "a = b", "a = b"),
        (r"x \in \{0, 1\}", "x ∈ {0, 1}", "x in {0, 1}"),
        (r"z \in \mathbb{R}^k", "z ∈ R^k", "z in R^k"),
    ],
)
def test_formula_is_readable(formula, unicode, ascii):
    assert tex(formula) == unicode
    assert tex(formula, ascii=True) == ascii


@pytest.mark.parametrize("formula", ["", "{", "}", r"\frac", r"\frac{1", "^", "_", "\\", r"\left"])
def test_what_is_no_formula_does_not_stop_a_lesson(formula):
    assert "\n" not in tex(formula)


def test_every_symbol_has_a_word():
    assert UNICODE.keys() == ASCII.keys()
    assert all(word.isascii() for word in ASCII.values())


TEXT = r"""# Lesson 3: The *one* equation

A paragraph with **bold** words, `code_with_stars * 2`, a [link](https://example.org)
and $D[q \| p]$.

$$\log p(x) \ge E_q[\log w]$$

- one item that is long enough to be wrapped at the narrow width of this test
- another

1. first
2. second

> quoted
> words

| a | b |
| - | - |
| $\mu$ | 2 |

    code = x * y * z

```python
more = code
```

## Step"""

PLAIN = """Lesson 3: The one equation
==========================

A paragraph with bold words,
code_with_stars * 2, a link
(https://example.org) and D[q || p].

    log p(x) ≥ E_q[log w]

  - one item that is long enough to be
    wrapped at the narrow width of this test
  - another

  1. first
  2. second

  | quoted words

| a | b |
| - | - |
| μ | 2 |

    code = x * y * z

    more = code

Step
----"""


def test_markdown_is_readable():
    assert markdown(TEXT, width=44) == PLAIN
