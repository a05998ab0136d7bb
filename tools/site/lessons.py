"""A lesson as a page: run cell by cell, its rows as tables, its answers folded."""

import html
import itertools
from dataclasses import dataclass, field
from unittest import mock

import matplotlib.pyplot as plt

from tinyvae.classroom.lesson import Claim, Remark, Row, Title
from tinyvae.classroom.presenter.cells import Cells
from tinyvae.classroom.presenter.script import without_claims
from tools.expected import difference, path_of
from tools.site.markup import code_block, render

WORDS = {"=": "equals", "<=": "is at most", "<": "is less than", "!=": "differs from"}


@dataclass
class Shown:
    """What one cell printed, item by item, and the figures it drew: (file name, alt text)."""

    items: list = field(default_factory=list)
    figures: list = field(default_factory=list)


def run(lesson, folder):
    """Run the lesson, its figures into the folder.    ->  a Shown for each step

    Raises RuntimeError if a cell fails, or if what is printed is not what lessons/expected has.
    """
    cells, count, every = Cells(lesson), itertools.count(1), []

    def save(*_, **__):
        for number in plt.get_fignums():
            figure = plt.figure(number)
            name = f"{lesson.path.stem}-{next(count)}.png"
            figure.savefig(folder / name, dpi=110, metadata={"Software": None})
            every[-1].figures.append((name, alt_text(figure)))
        plt.close("all")

    with mock.patch.object(plt, "show", save):
        for number, step in enumerate(lesson.steps):
            every.append(Shown())
            if not step.code:
                continue
            result = cells.run(number)
            every[-1].items = result.items
            if not result.right:
                raise RuntimeError(f"{lesson.path.name}: {result.output.strip().splitlines()[-1]}")
    printed = "".join(result.output for result in cells.results.values())
    expected = path_of(lesson.path.stem).read_text(encoding="utf-8")
    if apart := difference(printed, expected):
        raise RuntimeError(f"{lesson.path.name} prints what lessons/expected has not: {apart}")
    return every


def alt_text(figure):
    """What a figure says in words: its titles, and the names of its axes."""
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    said = ". ".join(" ".join(t.split()) for t in titles if t.strip())
    names = {f"{axes.get_xlabel()} against {axes.get_ylabel()}" for axes in figure.axes
             if axes.get_xlabel() and axes.get_ylabel()}  # fmt: skip
    drawn = f" Drawn: {'; '.join(sorted(names))}." if names else ""
    return (said + "." * bool(said) + drawn).replace("$", "") or "A figure of the lesson."


def body(lesson, shown, link):
    """The lesson's page, between its header and its footer."""
    parts = []
    for step, cell in zip(lesson.steps, shown, strict=True):
        parts.append(render(step.text, link) if step.text else "")
        answer = _code(step) + rows(cell.items) + "".join(map(_figure, cell.figures))
        answer += render(step.afterwards, link) if step.afterwards else ""
        if step.question:
            question = render(step.question.replace("Predict first", "**Predict first**"), link)
            parts.append(f'<div class="predict">{question}</div>')
            parts.append(
                f'<details class="answer"><summary>See the answer</summary>{answer}</details>'
            )
        else:
            parts.append(answer)
    return "\n".join(parts)


def _code(step):
    if not step.code:
        return ""
    folded = step.draws or step.code.startswith(("import", "from"))
    label = "Code of the figure" if step.draws else "Code"
    code = code_block(without_claims(step.code))
    return f"<details{'' if folded else ' open'}><summary>{label}</summary>{code}</details>\n"


def _figure(figure):
    name, alt = figure
    return f'<figure><img src="{name}" alt="{html.escape(alt)}" loading="lazy"></figure>\n'


def rows(items):
    """What a cell printed as HTML: claims as headings, rows as tables, remarks between them."""
    parts = []
    for kind, group in itertools.groupby(items, type):
        if kind is Row:
            parts.append(_table(list(group)))
            continue
        for item in group:
            if isinstance(item, Claim):
                parts.append(f'<p class="claim"><b>{item.number}</b> {html.escape(item.text)}</p>')
            elif isinstance(item, Remark) and item.text.strip():
                parts.append(f'<p class="remark">{html.escape(item.text.strip())}</p>')
            elif not isinstance(item, Remark | Title):
                raise TypeError(f"no way to show a {type(item).__name__}")
    return "\n".join(parts)


def _table(group):
    head = "".join(f'<th scope="col">{name}</th>' for name in
                   ("", "left side", "", "right side", "how far apart", "verdict"))  # fmt: skip
    lines = []
    for row in group:
        relation = f'<abbr title="{WORDS[row.relation]}">{html.escape(row.relation)}</abbr>'
        cells = [("left", html.escape(row.left)), ("relation", relation),
                 ("right", html.escape(row.right)), ("apart", html.escape(row.evidence)),
                 ("verdict " + row.verdict, row.verdict)]  # fmt: skip
        tds = "".join(f'<td class="{name}">{text}</td>' for name, text in cells)
        lines.append(f'<tr><th scope="row">{html.escape(row.text)}</th>{tds}</tr>')
    return (f'<table class="rows"><thead><tr>{head}</tr></thead>'
            f'<tbody>{"".join(lines)}</tbody></table>')  # fmt: skip
