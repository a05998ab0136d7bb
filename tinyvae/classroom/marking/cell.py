"""Check an exercise from a cell of the notebook that it is written in.

    from tinyvae.classroom import check_here
    check_here()

Nothing is started: the functions are called right here, so an endless loop ends with the kernel's
stop button.  In a browser (JupyterLite, Pyodide) it works the same.
"""

import sys
from dataclasses import replace

from tinyvae.classroom.checker.engine import ALL_HINTS, hinted
from tinyvae.classroom.checker.exercises import judge_file
from tinyvae.classroom.checker.function import LocalFile


def check_here(function=None, *, exercise=None, hints=ALL_HINTS, seed=0, namespace=None):
    """Judge the functions that are defined where this is called; print and return the Report.

    function    the name of the only one to judge
    exercise    its number, if neither EXERCISE = ... nor the functions' names tell
    hints       0 the law, 1 the smallest case, 2 the name of the mistake, 3 the formula
    namespace   a dict or module to look in, in the place of the caller's

    Raises CannotRun, a ValueError, with one sentence if there is no exercise there.
    """
    space = sys._getframe(1).f_globals if namespace is None else namespace
    report = judge_file(
        LocalFile(space), function=function, exercise=exercise, seed=seed, shown="this notebook"
    )
    report = replace(report, holes=[hinted(hole, hints) for hole in report.holes])
    print(report)
    return report
