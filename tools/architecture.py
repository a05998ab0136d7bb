"""Draw the house from its imports: docs/architecture.svg.

    python -m tools.architecture

A box is a module of the package, or one of its folders; an arrow means "imports".  Arrows that
follow from others are left out.  A box stands one floor above the highest that it imports.
"""

import ast
import html
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tinyvae"
PICTURE = ROOT / "docs" / "architecture.svg"
FOLDERS = ("oracles", "beyond", "web", "classroom.presenter", "classroom.museum",
           "classroom.checker", "classroom.marking")  # fmt: skip
WIDTH, HEIGHT, FLOOR, GAP, MARGIN = 118, 30, 74, 14, 20  # pixels
COLOURS = {"classroom": "#CC79A7", "web": "#CC79A7", "oracles": "#009E73", "cli": "#E69F00"}


def box_of(module):
    """The box in which a module of the package lies: "tinyvae.oracles.cubature" -> "oracles" """
    name = module.removeprefix("tinyvae.")
    inside = [f for f in FOLDERS if name == f or name.startswith(f + ".")]
    return inside[0] if inside else name


def imports():
    """box -> the boxes that it imports, also inside functions"""
    modules = {}
    for path in PACKAGE.rglob("*.py"):
        if path.stem not in ("__init__", "__main__"):
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            modules[".".join(("tinyvae", *parts))] = path
    found = {}
    for module, path in modules.items():
        arrows = found.setdefault(box_of(module), set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _named(node):
                target = box_of(name)
                if (name in modules or target in FOLDERS) and target != box_of(module):
                    arrows.add(target)
    return found


def _named(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tinyvae"):
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Constant) and str(node.value).startswith("tinyvae."):
        return [node.value]  # the command line imports a command's module when it is called for
    return []


def floors(arrows):
    """box -> its floor, 0 for what imports nothing.    Raises graphlib.CycleError for a circle."""
    level = {}
    for box in TopologicalSorter(arrows).static_order():
        level[box] = 1 + max((level[below] for below in arrows.get(box, ())), default=-1)
    return level


def reduced(arrows):
    """The arrows without those that follow from others."""
    below = {}
    for box in TopologicalSorter(arrows).static_order():
        nearest = arrows.get(box, set())
        below[box] = nearest.union(*(below[b] for b in nearest))
    return {box: {b for b in there if not any(b in below[c] for c in there - {b})}
            for box, there in arrows.items()}  # fmt: skip


def picture(arrows):
    """The SVG as text"""
    level = floors(arrows)
    rows = [sorted(box for box in level if level[box] == n) for n in range(max(level.values()) + 1)]
    width = 2 * MARGIN + max(len(row) for row in rows) * (WIDTH + GAP) - GAP
    height = 2 * MARGIN + len(rows) * FLOOR - (FLOOR - HEIGHT)
    place = {}
    for n, row in enumerate(rows):
        start = (width - len(row) * (WIDTH + GAP) + GAP) / 2
        for i, box in enumerate(_near_what_they_import(row, arrows, place)):
            place[box] = (start + i * (WIDTH + GAP), height - MARGIN - HEIGHT - n * FLOOR)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="sans-serif" font-size="12">',
        "<title>The modules of tinyvae; an arrow means: imports</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        '<defs><marker id="tip" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L6 3L0 6z" fill="#555"/></marker></defs>',
    ]
    for box, there in sorted(reduced(arrows).items()):
        for target in sorted(there):
            (x1, y1), (x2, y2) = place[box], place[target]
            lines.append(
                f'<line x1="{x1 + WIDTH / 2:.0f}" y1="{y1 + HEIGHT:.0f}" x2="{x2 + WIDTH / 2:.0f}" '
                f'y2="{y2 - 1:.0f}" stroke="#777" stroke-width="1" marker-end="url(#tip)"/>'
            )
    for box, (x, y) in sorted(place.items()):
        colour = COLOURS.get(box.partition(".")[0], "#56B4E9")
        name = html.escape(box.removeprefix("classroom."))
        lines.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="5" '
            f'fill="#fff" stroke="{colour}" stroke-width="2.5"/>'
            f'<text x="{x + WIDTH / 2:.0f}" y="{y + 20:.0f}" text-anchor="middle">{name}</text>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _near_what_they_import(row, arrows, place):
    """The boxes of a floor in the order of what they stand on, so that arrows cross less."""

    def middle(box):
        below = [place[b][0] for b in arrows.get(box, ()) if b in place]
        return (sum(below) / len(below) if below else 0, box)

    return sorted(row, key=middle)


if __name__ == "__main__":
    PICTURE.write_text(picture(imports()), encoding="utf-8")
