"""The site: formulas, rows, folded answers, links; and a browser's view of it."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

markup = pytest.importorskip("tools.site.markup", reason="the site needs the extra `site`")

from tinyvae.classroom.lesson import Claim, Remark, Row, Title
from tinyvae.classroom.presenter.script import Lesson, find_lessons
from tools.expected import ROOT
from tools.site import __main__ as site
from tools.site import lessons

LESSON = r"""# %% [markdown]
# # Lesson 99: A little lesson
#
# One line about $\\log p(x|z)$. And [a link](../docs/check.md).

# %%
import matplotlib.pyplot as plt
from tinyvae.classroom.lesson import check, claim, say, title
TWO = 2
title("Lesson 99: A little lesson")

# %% [markdown]
# ## Step 1: two
#
# Predict first: is it two?

# %%
claim("99.1", "It is two & no more")
say("exactly")
check("sum", 1 + 1, TWO)

# %% [markdown]
# So it was.

# %%
plt.plot([0, 1])
plt.title("A line rises")
plt.xlabel("x (nats)")
plt.ylabel("y (nats)")
plt.show()

# %% [markdown]
# ## Try it
#
# - `TWO = 3`
"""


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    path = tmp_path / "99_little.py"
    path.write_text(LESSON.replace("\\\\", "\\"), encoding="utf-8")
    expected = tmp_path / "99_little.txt"
    monkeypatch.setattr(lessons, "path_of", lambda name: expected)
    from tinyvae.classroom.presenter.cells import Cells

    found = Lesson(99, path)
    cells = Cells(found)
    printed = "".join(cells.run(i).output for i, step in enumerate(found.steps) if step.code)
    expected.write_text(printed, encoding="utf-8")
    return found


# ---- formulas ------------------------------------------------------------------------------------


def formulas():
    """Every formula of every lesson and page, with the place where it stands"""
    for found in find_lessons(ROOT).values():
        for step in found.steps:
            for text in (step.text, step.question, step.afterwards):
                for block, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", text, re.DOTALL):
                    yield found.path.stem, block or inline, bool(block)


def test_every_formula_of_the_lessons_is_mathml():
    for where, formula, block in formulas():
        made = markup.mathml(formula, block)
        assert made.startswith("<math ") and "merror" not in made, (where, formula)


def test_formula_with_a_command_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="without MathML"):
        markup.mathml(r"\foo x")


def test_log_stands_apart_from_what_it_is_of():
    assert "mspace" in markup.mathml(r"\log p")
    assert "mspace" not in markup.mathml(r"\log(p)")


def symbols(made):
    """The symbols of a formula, in their order"""
    every = [
        part for math in made.split("<wbr>") for part in ElementTree.fromstring(math).itertext()
    ]
    return list("".join(every))


def test_long_inline_formula_may_break_and_loses_nothing():
    formula = r"D[q \| p] = a + b + c + d + e - f"
    made = markup.mathml(formula)
    assert made.count("<wbr>") >= 1
    assert (
        symbols(made) == symbols(markup.mathml(formula, block=True)) == list("D[q‖p]=a+b+c+d+e−f")
    )


# ---- lessons -------------------------------------------------------------------------------------


def test_answer_is_folded_and_its_question_is_not(lesson, tmp_path):
    page = lessons.body(lesson, lessons.run(lesson, tmp_path), site.linker("lessons/x.md"))
    question, answer = page.split('<details class="answer">')
    assert "is it two?" in question
    assert "It is two" not in question, "the claim stands with the result"
    answer, rest = answer.split("\n<details", 1)
    assert "It is two &amp; no more" in answer and "So it was." in answer
    assert "Code of the figure" in rest


def test_rows_are_a_table(lesson, tmp_path):
    page = lessons.body(lesson, lessons.run(lesson, tmp_path), lambda target: target)
    row = re.search(r"<tr><th scope=\"row\">sum</th>(.*?)</tr>", page)[1]
    cells = re.findall(r'<td class="([^"]+)">(.*?)</td>', row)
    assert [name for name, _ in cells] == ["left", "relation", "right", "apart", "verdict holds"]
    assert cells[0][1] == cells[2][1] == "2.000000" and cells[4][1] == "holds"


def test_figure_has_its_title_for_who_does_not_see_it(lesson, tmp_path):
    page = lessons.body(lesson, lessons.run(lesson, tmp_path), lambda target: target)
    assert 'alt="A line rises. Drawn: x (nats) against y (nats)."' in page
    assert (tmp_path / "99_little-1.png").stat().st_size > 1000


def test_row_that_fails_stops_the_build(lesson, tmp_path):
    text = lesson.path.read_text(encoding="utf-8").replace("TWO = 2", "TWO = 3", 1)
    lesson.path.write_text(text, encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"99_little\.py: .*FAILS"):
        lessons.run(Lesson(99, lesson.path), tmp_path)


def test_output_that_is_not_the_expected_one_stops_the_build(lesson, tmp_path):
    text = lesson.path.read_text(encoding="utf-8").replace("exactly", "roughly")
    lesson.path.write_text(text, encoding="utf-8")
    with pytest.raises(RuntimeError, match="prints what lessons/expected has not"):
        lessons.run(Lesson(99, lesson.path), tmp_path)


def test_every_kind_of_item_is_shown():
    items = [
        Title("t"),
        Claim("1.1", "c"),
        Remark("r"),
        Row("1.1", "x", "1", "<", "2", "by 1", True),
    ]
    made = lessons.rows(items)
    assert "c</p>" in made and "r</p>" in made and "&lt;" in made
    with pytest.raises(TypeError):
        lessons.rows([object()])


# ---- the whole, without the lessons --------------------------------------------------------------


class Links(HTMLParser):
    """The targets and the names of a page"""

    def __init__(self, text):
        super().__init__()
        self.targets, self.names = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src"):
                self.targets.append(value)
            elif name == "id":
                self.names.add(value)


def dead_links(folder):
    """Links of the site that lead nowhere in it"""
    parsed = {path: Links(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")
              if "api" not in path.relative_to(folder).parts[:1]
              and "explorer" not in path.relative_to(folder).parts}  # fmt: skip
    for path, links in parsed.items():
        for target in links.targets:
            if "://" in target or target.startswith(("mailto:", "data:")):
                continue
            file, _, name = target.partition("#")
            there = (path.parent / file).resolve() if file else path
            known = parsed.get(there)
            if not there.exists() or (name and known and name not in known.names):
                yield f"{path.relative_to(folder)} -> {target}"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site without lessons and reference"""
    folder = tmp_path_factory.mktemp("site") / "site"
    folder.mkdir()
    site.write([*site.documents(), *site.explorers(folder), site.front_page()], folder)
    return folder


def test_pages_ask_for_nothing_from_elsewhere(built):
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"([^\"]+)", text)
        assert not [address for address in loaded if "://" in address], page


def test_links_lead_somewhere(built):
    lessons_left_out = ("lessons/", "lessons.html", "api/")
    dead = [d for d in dead_links(built) if not any(part in d for part in lessons_left_out)]
    assert not dead


def test_dead_link_is_seen(built, tmp_path):
    (tmp_path / "one.html").write_text('<p id="a"><a href="two.html">x</a><a href="#b">y</a>')
    assert sorted(dead_links(tmp_path)) == ["one.html -> #b", "one.html -> two.html"]


@pytest.mark.slow
def test_whole_site(tmp_path):
    out = tmp_path / "site"
    pages = site.build(out)
    assert len(list((out / "lessons").glob("*.html"))) == len(find_lessons(ROOT))
    assert not list(dead_links(out))
    assert len({page.address for page in pages}) == len(pages)
    assert Path(out, "api", "tinyvae.html").exists()
