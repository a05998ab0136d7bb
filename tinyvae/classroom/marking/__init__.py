"""Marks for a folder of submissions.

    submissions   which files there are, and what can be said of one without running it
    marks         a verdict for each function of each file, several files at a time
    worker        the process that marks one file after the other
    reports       table, summary, CSV, feedback, JUnit, Gradescope
    command       `tinyvae mark FOLDER`
    cell          `check_here()`, in a cell of a notebook
    autograder    the zip file for Gradescope

Outside of this package only `command` (by the command line) and `cell` (by users) are imported.
"""
