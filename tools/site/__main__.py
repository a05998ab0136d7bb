"""Build the site: see `tools.site`."""

import argparse
import itertools
import json
import os
import shutil
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import jinja2

import tinyvae
from tinyvae.classroom.presenter.script import find_lessons
from tools.expected import ROOT
from tools.site import lessons as lesson_pages
from tools.site.markup import render, words

HERE = Path(__file__).parent
SECTIONS = [
    ("tinyvae", "index.html"),
    ("Lessons", "lessons.html"),
    ("Exercises", "docs/exercises.html"),
    ("Explore", "explorer.html"),
    ("Museum", "docs/bugs.html"),
    ("Check", "docs/check.html"),
    ("Teaching", "docs/teaching/course.html"),
    ("Glossary", "docs/glossary.html"),
    ("API", "api/tinyvae.html"),
]
DOCUMENTED = [
    "tinyvae",
    "tinyvae.network",
    "tinyvae.beyond",
    "tinyvae.oracles",
    "tinyvae.classroom",
]


@dataclass
class Page:
    """One page of the site: where it lies, what it is called, what it says."""

    address: str  # from the top of the site
    title: str
    body: str
    before: "Page | None" = None
    after: "Page | None" = None


def build(out, numbers=None):
    """Write the site into the folder `out`, which it replaces.    ->  the pages

    `numbers` are the lessons to run, all by default.
    """
    out = Path(out)
    with tempfile.TemporaryDirectory(prefix="tinyvae-site-") as made:
        made = Path(made)
        pages = lesson_list(made, numbers)
        pages += documents()
        pages += explorers(made)
        pages.append(front_page())
        write(pages, made)
        write_api(made)
        if out.exists():
            shutil.rmtree(out)
        shutil.copytree(made, out)
    return pages


# ---- what there is -------------------------------------------------------------------------------


def lesson_list(folder, numbers):
    """The page of each lesson, and the one that lists them."""
    (folder / "lessons").mkdir(parents=True)
    pages, lines = [], ["# The lessons", "", "Predict, run, compare: each in ten minutes.", ""]
    for lesson in find_lessons(ROOT).values():
        if numbers and lesson.number not in numbers:
            continue
        print(f"running lesson {lesson.number}", file=sys.stderr)
        shown = lesson_pages.run(lesson, folder / "lessons")
        address = f"lessons/{lesson.path.stem}.html"
        title = lesson.heading.partition(": ")[2]
        pages.append(Page(address, f"{lesson.number}. {title}",
                          lesson_pages.body(lesson, shown, linker("lessons/x.md"))))  # fmt: skip
        lines += [f"{lesson.number}. [{title}]({address}). {lesson.summary}"]
    for before, after in itertools.pairwise(pages):
        before.after, after.before = after, before
    return [*pages, Page("lessons.html", "The lessons", render("\n".join(lines)))]


def documents():
    """The Markdown files of docs/, and those at the top that readers are sent to."""
    files = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "RELIABILITY.md", ROOT / "CHANGELOG.md",
             ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md", ROOT / "data" / "README.md",
             *sorted((ROOT / "benchmarks").glob("*.md"))]  # fmt: skip
    for file in files:
        if file.exists():
            near = file.relative_to(ROOT).as_posix()
            text = file.read_text(encoding="utf-8")
            title = text.partition("\n")[0].lstrip("# ").replace("`", "")
            yield Page(near.removesuffix(".md") + ".html", title, render(text, linker(near)))


def explorers(folder):
    """The explorers' own pages, copied as they are, and the page that lists them."""
    made = sorted((ROOT / "docs" / "explorer").glob("*.html"))
    (folder / "explorer").mkdir()
    lines = [
        "# Explore",
        "",
        "Pages to play with; each is one file, and computes in the browser.",
        "",
    ]
    for file in made:
        shutil.copyfile(file, folder / "explorer" / file.name)
        title = file.read_text(encoding="utf-8").partition("<title>")[2].partition("</title>")[0]
        lines.append(f"- [{title}](explorer/{file.name})")
    text = ROOT / "docs" / "explorer.md"
    if text.exists():
        lines += ["", *text.read_text(encoding="utf-8").splitlines()[1:]]
    yield Page("explorer.html", "Explore", render("\n".join(lines), linker("explorer.md")))


def front_page():
    """The README's text, with a box to search in all pages."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    search = (
        '<div id="search" role="search"><label for="query">Search all pages</label>'
        '<input id="query" type="search" autocomplete="off"><p id="search-status" role="status">'
        '</p><ul id="found"></ul></div><script src="search-index.js"></script>'
        '<script src="search.js"></script>'
    )
    return Page("index.html", "tinyvae", render(text, linker("README.md")) + search)


def linker(file):
    """A function: the target of a link in this Markdown file  ->  its target on the site

    Markdown files and lessons have pages; other files of the repository are copied beside them.
    """
    folder = Path(file).parent

    def link(target):
        path, hash_, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return target
        near = os.path.normpath(folder / path)
        if near.startswith("..") or not (ROOT / near).exists():
            return target
        if path.endswith(".md"):
            return path.removesuffix(".md") + ".html" + hash_ + anchor
        if near.startswith("lessons/") and Path(near).match("lessons/[0-9][0-9]_*.py"):
            return path.removesuffix(".py") + ".html" + hash_ + anchor
        FILES.add(near)
        return target

    return link


FILES = set()  # files of the repository that pages link to


# ---- writing -------------------------------------------------------------------------------------


def write(pages, folder):
    """Write the pages, what they share, and the files that they link to."""
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), undefined=jinja2.StrictUndefined
    ).get_template("page.html")
    for page in pages:
        file = folder / page.address
        file.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * page.address.count("/")
        there = [s for s in SECTIONS if s[1] in {p.address for p in pages} or s[0] == "API"]
        file.write_text(
            template.render(title=page.title, body=page.body, before=page.before, after=page.after,
                            up=up, here=page.address, sections=there,
                            version=tinyvae.__version__), encoding="utf-8")  # fmt: skip
    for name in "style.css", "search.js":
        shutil.copyfile(HERE / name, folder / name)
    index = [[page.title, page.address, words(page.body)] for page in pages]
    said = json.dumps(index, ensure_ascii=True, separators=(",", ":"))
    (folder / "search-index.js").write_text(f"const pages = {said};\n", encoding="utf-8")
    for near in sorted(FILES):
        target = folder / near
        if not target.exists():
            source = ROOT / near
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                target.mkdir(exist_ok=True)
            else:
                shutil.copyfile(source, target)


def write_api(folder):
    """The reference of all public functions, from their docstrings."""
    import pdoc

    pdoc.render.configure(docformat="markdown", footer_text=f"tinyvae {tinyvae.__version__}")
    with warnings.catch_warnings():  # of types that are imported for annotations alone
        warnings.simplefilter("ignore")
        pdoc.pdoc(*DOCUMENTED, output_directory=folder / "api")


def main(argv=None):
    """`python -m tools.site`    ->  exit status"""
    parser = argparse.ArgumentParser("python -m tools.site", description=__doc__)
    parser.add_argument("-o", "--out", default="build/site", help="the folder (%(default)s)")
    parser.add_argument("--lessons", type=int, nargs="+", metavar="N", help="run these alone")
    args = parser.parse_args(argv)
    try:
        pages = build(args.out, args.lessons)
    except (RuntimeError, OSError) as error:
        print(f"tools.site: {error}", file=sys.stderr)
        return 2
    print(f"{len(pages)} pages in {args.out}; open {Path(args.out, 'index.html')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
