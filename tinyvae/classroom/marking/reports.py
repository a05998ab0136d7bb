"""Marks as a table, a summary of the class, CSV, feedback, JUnit XML and Gradescope's JSON."""

import csv
import os
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from tinyvae.classroom.checker.engine import WIDTH, hinted
from tinyvae.classroom.checker.values import escape

SIGNS = {"right": "+", "wrong": "x", "todo": ".", "cannot": "?"}
LEGEND = "+ right   x wrong   . to do   ? no verdict"

# ---- the terminal --------------------------------------------------------------------------------


def table(marks):
    """Lines: exercise by exercise, a row for each file, a column for each function"""
    for title, of_one in by_exercise(marks):
        names = function_names(of_one)
        yield ""
        yield title or "No exercise"
        if names:
            yield ""
            for number, name in enumerate(names, start=1):
                yield f"  {number}  {name}"
        yield ""
        yield from _rows(of_one, names)
    yield ""
    yield f"  {LEGEND}"


def _rows(marks, names):
    width = min(max(len("file"), *(len(escape(m.name, 200)) for m in marks)), 38)
    columns = "  ".join(f"{n:>2}" for n in range(1, len(names) + 1))
    if names:
        yield f"  {'file':{width}}  {columns}   points   mistakes".rstrip()
    for mark in marks:
        status = {hole.name: hole.status for hole in mark.report.holes}
        cells = "  ".join(f"{SIGNS[status.get(n, 'cannot')]:>2}" for n in names)
        points = f"{number(mark.points)}/{number(mark.out_of)}"
        codes = " ".join(
            dict.fromkeys(code for hole in mark.report.holes for code in codes_of(hole))
        )
        row = f"  {_short(mark.name, width):{width}}  {cells}   {points:>6}   {codes}"
        yield row.rstrip()[:WIDTH]
        lost = dict.fromkeys(h.message for h in mark.report.holes if h.status == "cannot")
        for note in [*lost, *mark.notes]:
            for line in textwrap.wrap(escape(note, 200), WIDTH - 6, break_long_words=True)[:3]:
                yield f"      {line}"


def _short(name, width):
    name = escape(name, 200)
    return name if len(name) <= width else "..." + name[3 - width :]


def number(points):
    """2, 2.5"""
    return f"{points:g}"


def by_exercise(marks):
    """(title, marks) for each exercise, those without one last"""
    groups = {}
    for mark in marks:
        groups.setdefault((mark.report.exercise or 99, mark.report.title), []).append(mark)
    return [(title, groups[n, title]) for n, title in sorted(groups)]


def function_names(marks):
    """The functions that these reports speak of, in their order"""
    names = [h.name for m in marks if m.report.exercise for h in m.report.holes if h.name]
    return list(dict.fromkeys(names))


def codes_of(hole):
    """The museum's codes of the mistakes in a verdict: ["A3"]"""
    from tinyvae.classroom.museum.catalogue import MUSEUM

    return [MUSEUM[name].code for name in hole.names if name in MUSEUM]


def summary(marks):
    """Lines: what the class got right and wrong, most frequent first"""
    from tinyvae.classroom.museum.catalogue import MUSEUM

    for title, of_one in by_exercise(marks):
        if not of_one[0].report.exercise:
            yield ""
            yield f"{_count(len(of_one), 'file')} without a verdict."
            continue
        total = len(of_one)
        yield ""
        yield f"{title}, {_count(total, 'file')}"
        for name in function_names(of_one):
            holes = [h for m in of_one for h in m.report.holes if h.name == name]
            count = Counter(hole.status for hole in holes)
            parts = [f"{count['right']} right", f"{count['wrong']} wrong"]
            if count["cannot"]:
                parts.append(f"{count['cannot']} without a verdict")
            if count["todo"]:
                waiting = sum(h.status == "todo" and bool(h.note) for h in holes)
                not_started = count["todo"] - waiting
                if not_started:
                    parts.append(f"{not_started} have not started it" if not_started > 1
                                 else "1 has not started it")  # fmt: skip
                if waiting:
                    parts.append(f"{waiting} wait for another function")
            yield from _wrapped(f"{name}: {', '.join(parts)}")
        made = Counter(
            (name, hole.name)
            for mark in of_one
            for hole in mark.report.holes
            for name in hole.names
            if name in MUSEUM
        )
        for (name, function), times in made.most_common():
            bug = MUSEUM[name]
            yield from _wrapped(f'{times} of {total} made {bug.code} "{bug.title}" in {function}')


def _wrapped(text):
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="      ")


def _count(n, word):
    return f"{n} {word}{'' if n == 1 else 's'}"


# ---- files ---------------------------------------------------------------------------------------


def write_csv(marks, path):
    """One row for each file: points, a column with the status of each function, mistakes, notes"""
    columns = []
    for _, of_one in by_exercise(marks):
        if of_one[0].report.exercise:
            number = of_one[0].report.exercise
            columns += [(number, name) for name in function_names(of_one)]
    with open(
        path, "w", newline="", encoding="utf-8-sig"
    ) as file:  # the mark of UTF-8 is for Excel
        writer = csv.writer(file)
        head = ["file", "exercise", "points", "out_of"]
        writer.writerow([*head, *(f"{n} {name}" for n, name in columns), "mistakes", "notes"])
        for mark in marks:
            report = mark.report
            status = {(report.exercise, hole.name): hole.status for hole in report.holes}
            codes = dict.fromkeys(code for hole in report.holes for code in codes_of(hole))
            notes = [
                *mark.notes,
                *dict.fromkeys(h.message for h in report.holes if h.status == "cannot"),
            ]
            row = [mark.name, report.exercise or "", number_cell(mark.points)]
            row += [number_cell(mark.out_of), *(status.get(column, "") for column in columns)]
            writer.writerow(map(_cell, [*row, " ".join(codes), " ".join(notes)]))


def number_cell(points):
    """Points for a table of numbers"""
    return int(points) if points == int(points) else points


def _cell(value):
    """A text that a spreadsheet takes for a text, not for a formula"""
    text = escape(value, 1000) if isinstance(value, str) else value
    return f"'{text}" if isinstance(text, str) and text[:1] in "=+-@" and text else text


def feedback(mark, level):
    """What a student reads: the report with hints up to that level, and the points"""
    report = replace(mark.report, holes=[hinted(hole, level) for hole in mark.report.holes])
    text = str(report) if report.exercise else f"{report.holes[0].message}\n"
    points = f"{number(mark.points)} of {number(mark.out_of)} points."
    return (
        f"{escape(mark.name, 300)}\n\n{text}\n{points if report.exercise else ''}".rstrip() + "\n"
    )


def write_feedback(marks, folder, level):
    """One text for each file, in the folders of the submissions:  DIR/Ada/05.py.txt"""
    folder = Path(folder)
    for mark in marks:
        path = folder / (mark.name + ".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(feedback(mark, level), encoding="utf-8")


def _output(hole, level):
    """What is said of one function, as lines"""
    from tinyvae.classroom.checker.engine import details

    hole = hinted(hole, level)
    lines = [hole.note, hole.law, *details(hole)]
    return "\n".join(line for line in lines if line).strip() or hole.status


def write_junit(marks, path, level):
    """A test suite for each file, a test case for each function"""
    root = ElementTree.Element("testsuites", name="tinyvae mark")
    totals = Counter()
    for mark in marks:
        count = Counter(hole.status for hole in mark.report.holes)
        totals += count
        suite = ElementTree.SubElement(
            root, "testsuite", name=_xml(mark.name), tests=str(len(mark.report.holes)),
            failures=str(count["wrong"]), errors=str(count["cannot"]), skipped=str(count["todo"]),
        )  # fmt: skip
        for hole in mark.report.holes:
            of = f"exercise {mark.report.exercise}" if mark.report.exercise else _xml(mark.name)
            case = ElementTree.SubElement(
                suite, "testcase", classname=of, name=hole.name or "the file", time="0"
            )
            kind = {"wrong": "failure", "cannot": "error", "todo": "skipped"}.get(hole.status)
            if kind:
                element = ElementTree.SubElement(case, kind)
                element.set("message", _xml(hole.note or hole.law or hole.message or "to do"))
                if kind != "skipped":
                    element.text = _xml(_output(hole, level))
    for name, status in (("failures", "wrong"), ("errors", "cannot"), ("skipped", "todo")):
        root.set(name, str(totals[status]))
    root.set("tests", str(sum(totals.values())))
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _xml(text):
    """Characters that XML may hold"""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in str(text))


def gradescope(marks, worth, level):
    """The object that Gradescope reads from results.json: a test for each function"""
    tests = []
    for mark in marks:
        several = len({m.report.exercise for m in marks}) > 1 or len(marks) > len(
            {m.report.exercise for m in marks}
        )
        for hole in mark.report.holes:
            name = hole.name or os.path.basename(mark.name)
            tests.append(
                {
                    "name": f"{mark.name}: {name}" if several else name,
                    "score": worth(hole.name) if hole.right else 0.0,
                    "max_score": worth(hole.name) if hole.name else 0.0,
                    "status": "passed" if hole.right else "failed",
                    "output": _output(hole, level),
                }
            )
    notes = [f"{mark.name}: {note}" for mark in marks for note in mark.report.notes]
    made = {"output": "\n".join(notes) or "Marked by tinyvae.", "tests": tests}
    if not any(test["max_score"] for test in tests):
        made["score"] = 0.0
    return made
